"""Loggers whose callers never fail because of a logging handler."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading

from ocean_actors.text import one_line

_reported: set[type[BaseException]] = set()
_reporting = threading.Lock()


def get_logger(name: str) -> logging.Logger:
    """Returns the logger `name`, changed so that a handler or filter that raises costs its record.

    Handlers belong to whoever embeds this package. Without this, one that raises (its server is
    away, its disk is full) would fail whatever logs: an actor, the clock, a stop. The first
    failure of each type is reported on stderr.
    """
    logger = logging.getLogger(name)
    if "handle" not in vars(logger):
        handle = logger.handle

        def guarded(record: logging.LogRecord) -> None:
            try:
                handle(record)
            except Exception as error:  # noqa: BLE001  (the handler is not ours)
                _report(error)

        logger.handle = guarded  # type: ignore[method-assign]  # the records keep their call site
    return logger


def _report(error: Exception) -> None:
    with _reporting:
        if type(error) in _reported:
            return
        _reported.add(type(error))
    with contextlib.suppress(Exception):
        sys.stderr.write(
            f"ocean_actors: a logging handler raised {one_line(error)}; its record is lost, and "
            f"further failures of this type are not reported\n"
        )
