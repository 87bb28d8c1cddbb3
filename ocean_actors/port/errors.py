"""What can go wrong between us and Port."""

from __future__ import annotations

from ocean_actors.errors import OceanError


class PortError(OceanError):
    """A call to Port failed. `str` is one line: method, path, status, and what Port said.

    `status` is the answer's, None if there was none. `temporary`: the same call may well
    succeed later. `asked_wait`: how many seconds Port asks us to wait before that, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        temporary: bool = False,
        asked_wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.temporary = temporary
        self.asked_wait = asked_wait


class ReconcileRefused(OceanError):
    """Nothing was deleted, because what this run did not send may well still exist."""

    lasting = True


class UnexpectedAnswer(OceanError):
    """A parser cannot use an answer; says what it expected. Callers see a PortError."""
