"""What can go wrong between us and Port."""

from __future__ import annotations

from ocean_actors.errors import OceanError

LONGEST_WAIT = 300.0
"""Seconds; if Port asks us to wait longer, it is asked again after these."""


class PortError(OceanError):
    """A call to Port failed. `str` is one line: method, address, status, and what Port said.

    | attribute | |
    |---|---|
    | `status` | the status of the answer; None if there was none |
    | `temporary` | the same call may succeed later |
    | `lasting` | it will not before somebody changes something: a certificate is not trusted, a name does not exist, or Port refuses us or the call |
    | `asked_wait` | the seconds that Port asks us to wait before the next call; None if it does not |

    A certificate or a name may be fixed without us: such an error is both temporary and lasting.
    """  # noqa: E501  (a table's row cannot be wrapped)

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        temporary: bool = False,
        lasting: bool | None = None,
        asked_wait: float | None = None,
    ) -> None:
        """Describe a failure. `lasting` is the opposite of `temporary` unless given."""
        super().__init__(message)
        self.status = status
        self.temporary = temporary
        self.lasting = not temporary if lasting is None else lasting
        self.asked_wait = asked_wait

    def delay(self, backoff: float) -> float:
        """Returns the seconds to wait before the next attempt: the caller's own backoff.

        If Port asks us to wait, the backoff comes after that wait, so that callers spread.
        """
        return min(self.asked_wait or 0.0, LONGEST_WAIT) + backoff


class AnswerTooLarge(PortError):
    """Port's answer has more bytes than the call allows."""


class ReconcileRefused(OceanError):
    """Nothing was deleted, because what this run did not send may still exist."""

    lasting = True


class UnexpectedAnswer(OceanError):
    """A parser cannot use an answer; says what it expected. Callers see a PortError."""
