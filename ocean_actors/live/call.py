"""One call of the third-party system, as a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ocean_actors.errors import OceanError
from ocean_actors.text import one_line


class UnreadableCall(OceanError):
    """The body of a call is not JSON; one readable line."""

    lasting = True


class Headers(Mapping[str, str]):
    """Headers of a call, by names in any case. Immutable."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def __hash__(self) -> int:
        return hash(frozenset(self._headers.items()))

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._headers)}>"  # the values may be secrets


@dataclass(frozen=True)
class LiveCall:
    """One call of `POST /live/<path>`: `path` is that of the handler, `body` is as it was sent.

    `source` is the caller's address, `received_at` is in UTC.
    """

    path: str
    method: str
    headers: Headers
    body: bytes = field(repr=False)
    source: str
    received_at: datetime

    def json(self) -> Any:
        """Returns the body as JSON. Raises UnreadableCall if it is not."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise UnreadableCall(f"the body is not JSON: {one_line(error, 120)}") from None
