"""What the router of a path writes into the log."""

from __future__ import annotations

import logging

from ocean_actors.actors import Clock
from ocean_actors.live.call import LiveCall
from ocean_actors.live.handler import LiveSpec
from ocean_actors.live.queue import QueuedEvent
from ocean_actors.live.worker import Failure
from ocean_actors.log import get_logger
from ocean_actors.text import one_line
from ocean_actors.web.log import WebLog

logger = get_logger(__name__)


class RouterLog:
    """Logs what becomes of the events of one path; failures at a bounded rate."""

    def __init__(self, spec: LiveSpec, clock: Clock) -> None:
        self._spec = spec
        self._log = WebLog(clock)

    def retried(self, event: QueuedEvent[LiveCall], failure: Failure, seconds: float) -> None:
        """Log that an attempt failed, and that the next one is due after `seconds`."""
        self._log.add(
            "retry", logging.WARNING,
            f"live event of {self._spec.path} failed, attempt {event.attempt} of "
            f"{self._spec.attempts}; the next one is in {seconds:.1f} s: {failure.text}",
        )  # fmt: skip

    def given_up(self, event: QueuedEvent[LiveCall], failure: Failure) -> None:
        """Log that an event is not tried again."""
        key = one_line(event.key, 100)
        about = f" (key {key})" if key else ""
        attempts = f"{event.attempt} attempt{'s' * (event.attempt > 1)}"
        self._log.add(
            "dead", logging.ERROR,
            f"live event of {self._spec.path}{about} is given up after {attempts}: "
            f"{failure.text}",
            failure.stack,
        )  # fmt: skip

    def hung(self, threads: int) -> None:
        """Log that no event is started, as `threads` threads hang."""
        logger.error(
            "live handler %s hangs in %d threads: no event of %s is handled until one ends",
            self._spec.name, threads, self._spec.path,
        )  # fmt: skip

    def lost(self, count: int) -> None:
        """Log how many events are lost, if any."""
        if count:
            logger.warning(
                "live events of %s: %d were accepted and not handled, and are lost; the "
                "next resync brings their changes (resyncOnStart)",
                self._spec.path, count,
            )  # fmt: skip
