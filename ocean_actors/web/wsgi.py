"""The types of a web application, as PEP 3333 has it.

Packages type the environ (typeshed: `dict[str, Any]`, a2wsgi: a TypedDict) and `exc_info`
differently, so these are `Any` here: applications and servers that are typed by either fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol


class StartResponse(Protocol):
    """What a server gives to an application, which calls it before it returns the body."""

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = ..., /
    ) -> Any:  # the old way to write the body, which no application of ours uses
        """Begin the answer: `status` is a code and a phrase, as in `200 OK`."""


WsgiApp = Callable[[Any, StartResponse], Iterable[bytes]]
"""Takes the environ, a dict, and `start_response`; returns the body."""
