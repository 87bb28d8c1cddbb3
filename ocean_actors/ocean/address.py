"""Where the child process serves HTTP."""

from __future__ import annotations


class ChildAddress:
    """The address of the child's web server, for those who pass calls on to it.

    `url` is `http://127.0.0.1:<port>` while a child is ready, and None while there is none: before
    the first is ready, between two of them, and on standby. Any thread may read it. One actor
    sets it; a new child may listen on another port.
    """

    def __init__(self) -> None:
        self.url: str | None = None
