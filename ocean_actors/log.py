"""Loggers that never raise where a line is logged, and what each line carries about its run.

Nothing here changes the `logging` of the process that embeds this package: what a line carries is
kept in a context variable, and gets into the records of those handlers that have a `ContextFilter`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ocean_actors.text import one_line

if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:
    _LoggerAdapter = logging.LoggerAdapter

owner: ContextVar[object | None] = ContextVar("ocean_actors_log_owner", default=None)
"""The actor system in whose thread or task a line is logged; None outside of any."""

_reported: set[type[BaseException]] = set()
_reporting = threading.Lock()


def get_logger(name: str) -> logging.Logger:
    """Returns the logger `name`, changed so that a handler or filter that raises loses its record.

    Handlers belong to whoever embeds this package. Without this, one that raises (its server is
    away, its disk is full) would break whatever logs: an actor, the clock, a stop. The first
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


@dataclass(frozen=True)
class LogContext:
    """What the lines of a thread or task are about; None for what does not apply."""

    integration: str | None = None
    run: str | None = None
    """The run's id."""
    trigger: str | None = None
    handler: str | None = None
    shard: str | None = None


NO_CONTEXT = LogContext()
FIELDS = ("integration", "run", "trigger", "handler", "shard")
"""The attributes that a `ContextFilter` puts on records."""

_context: ContextVar[LogContext] = ContextVar("ocean_actors_log_context", default=NO_CONTEXT)


def current_context() -> LogContext:
    """Returns what the lines of this thread or task are about."""
    return _context.get()


def set_context(context: LogContext) -> None:
    """Set what the lines of this thread or task, and of tasks that it starts, are about."""
    _context.set(context)


@contextlib.contextmanager
def logging_context(context: LogContext) -> Iterator[None]:
    """Set what the lines of this thread or task are about while the `with` block runs."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class ContextFilter(logging.Filter):
    """Puts `integration`, `run`, `trigger`, `handler` and `shard` on records, None where unknown.

    Add it to a handler (not to a logger, whose filters do not see the records of its children).
    Values that a record already has, as those of `run.logger` do, are kept. With a
    `QueueHandler`, add it to that one: its listener works in another thread.
    """

    def __init__(self, integration: str | None = None) -> None:
        """`integration` is for lines that are logged outside of any integration's threads."""
        super().__init__()
        self._integration = integration

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; returns True."""
        context = _context.get()
        for name in FIELDS:
            if getattr(record, name, None) is None:
                setattr(record, name, getattr(context, name))
        if record.integration is None:  # type: ignore[attr-defined]  # it was set above
            record.integration = self._integration
        return True


class RunLogger(_LoggerAdapter):
    """A logger whose lines carry a context in whichever thread they are logged."""

    def __init__(self, logger: logging.Logger, context: LogContext) -> None:
        self.context = context
        fields = {name: value for name, value in asdict(context).items() if value is not None}
        super().__init__(logger, fields)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the context to the `extra` of the call, whose other fields are kept."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


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
