"""What an actor is doing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """The message or hook that an actor is in, and since when by its clock, in seconds."""

    name: str
    since: float
