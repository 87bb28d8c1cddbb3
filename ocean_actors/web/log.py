"""Log lines that outsiders can cause: one clean line each, at a bounded rate."""

from __future__ import annotations

import logging
import sys
import traceback

from ocean_actors.actors import Clock, SystemClock
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

logger = logging.getLogger(__name__)

BURST = 5
SECONDS = 60.0


class WebLog:
    """Logs at most `BURST` lines in `SECONDS` for each kind of event; later lines say how many
    were left out.

    Text that came from outside is made one line of printable characters. Safe to use from any
    thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttles: dict[object, Throttle] = {}

    def refused(self, status: int, source: str, message: str) -> None:
        """Log that a call from `source` was answered with the error `status`."""
        self.add(status, logging.WARNING, f"answered {status} to {source}: {message}")

    def failed(self, what: str, error: BaseException) -> None:
        """Log that serving `what` raised `error`, with the frames that led there."""
        self.add("failed", logging.ERROR, f"{what} failed: {one_line(error)}", stack_of(error))

    def cut_short(self, what: str, error: BaseException) -> None:
        """Log that the answer to `what` could not be sent to its end."""
        text = f"the answer to {what} was cut short: {one_line(error)}"
        self.add("cut short", logging.WARNING, text)

    def add(self, kind: object, level: int, message: str, stack: str = "") -> None:
        """Log a line, or count it for the next line of its `kind`; `stack` follows it."""
        throttle = self._throttles.get(kind)
        if throttle is None:
            new = Throttle(self._clock, burst=BURST, seconds=SECONDS)
            throttle = self._throttles.setdefault(kind, new)
        admission = throttle.admit()
        if not admission.admitted:
            return
        logger.log(level, "%s%s%s", one_line(message), admission.more, stack and f"\n{stack}")


class ServerLog:
    """Stands in for waitress's logger, whose lines quote callers and are not throttled.

    What only concerns a caller (it disconnected, for instance) is not logged.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._log = WebLog(SystemClock())

    def log(self, level: int, message: object, *args: object) -> None:
        """Log a warning or an error."""
        if level >= logging.WARNING:
            text = str(message) % args if args else str(message)
            self._log.add(level, level, f"the server on {self._address}: {text}")

    def info(self, message: object, *args: object) -> None:
        """Log nothing: waitress says here what callers did."""

    def warning(self, message: object, *args: object) -> None:
        """Log a warning."""
        self.log(logging.WARNING, message, *args)

    def error(self, message: object, *args: object) -> None:
        """Log an error."""
        self.log(logging.ERROR, message, *args)

    def exception(self, _message: object, *_args: object) -> None:
        """Log the exception that is being handled; waitress's message only quotes the caller."""
        error = sys.exc_info()[1]
        if error is not None:
            self._log.failed(f"a call to the server on {self._address}", error)


def stack_of(error: BaseException) -> str:
    """Returns the frames that led to `error` and to what caused it.

    Unlike a formatted traceback it holds no text of the exceptions but one clean line for each,
    as their text may come from outside.
    """
    parts: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.insert(0, f"{frames}{one_line(current)}")
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return "\nwhich led to:\n".join(parts)
