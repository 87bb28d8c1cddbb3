"""What a forked child does with the objects whose threads stayed in its parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """An object that owns threads or locks, neither of which survive a fork."""

    def after_fork(self) -> None:
        """Called in the child, by its only thread, before any other code runs there."""


_alive: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register(forkable: Forkable) -> None:
    """Call `forkable.after_fork()` in every child that is forked while `forkable` exists."""
    _alive.add(forkable)


def _after_fork() -> None:
    for forkable in list(_alive):
        forkable.after_fork()


os.register_at_fork(after_in_child=_after_fork)
