"""The log of the child of an Ocean integration, as lines of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ocean_actors.actors import Clock
from ocean_actors.log import current_context, get_logger, logging_context
from ocean_actors.ocean.handler import NAME
from ocean_actors.ocean.job import OceanJob
from ocean_actors.ocean.process import Garbage, Printed
from ocean_actors.ocean.protocol import Logged
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)
upstream_logger = get_logger("port_ocean")
"""What the integration logs. Upstream sends it to Port by itself, so it is not under ours."""

ChildLine = Logged | Printed | Garbage


class ChildLog:
    """Logs what the child logs and prints. Made in the thread of the actor that owns the child.

    `job` returns the resync that was given to the child, if any; it is called in other threads.
    """

    def __init__(self, clock: Clock, job: Callable[[], OceanJob | None]) -> None:
        self._garbage = Throttle(clock)
        self._job = job
        self._context = current_context()

    def take(self, line: ChildLine) -> None:
        """Log a line, in the thread that reads it."""
        with logging_context(self._context):
            self._take(line)

    def _take(self, line: ChildLine) -> None:
        match line:
            case Logged(level, text, run):
                job = self._job()
                extra = {"run": run}
                if run is not None:
                    trigger = job.trigger if job is not None and job.run_id == run else None
                    extra |= {"handler": NAME, "trigger": trigger}
                upstream_logger.log(logging.getLevelName(level), "%s", text, extra=extra)
            case Printed(text, error):
                upstream_logger.log(logging.WARNING if error else logging.INFO, "%s", text)
            case Garbage(why):
                admission = self._garbage.admit()
                if admission.admitted:
                    logger.warning("%s%s", why, admission.more)
