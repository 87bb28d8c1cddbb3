"""What a system and a group of systems have in common: each starts once and stops once."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING

from ocean_actors.actors.in_thread import uninterrupted

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNAL_SECONDS = 1.0  # a signal that just misses the waiting thread is handled at the next turn


class Stoppable(ABC):
    """Starts once and stops once; `with` and `async with` do both."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._stopped = threading.Event()

    @abstractmethod
    def start(self) -> None:
        """Start everything and return."""

    @abstractmethod
    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        """Have everything stopped, in a thread of its own; returns at once."""

    @property
    @abstractmethod
    def stop_seconds(self) -> float:
        """How long a stop may take, in seconds."""

    @property
    @abstractmethod
    def left_behind(self) -> list[str]:
        """The names of the threads that had not ended when everything else had stopped."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything has stopped; returns whether it has.

        Without a `timeout` (seconds) it waits without a limit. Then `exit_code` and `cause` say
        how it ended. The library handles no signals: an exception that a signal handler
        raises in the waiting thread, such as KeyboardInterrupt, is passed on.
        """
        if timeout is not None:
            return self._stopped.wait(timeout)
        while not self._stopped.wait(SIGNAL_SECONDS):
            pass
        return True

    def stop(self) -> bool:
        """Stop, and wait for at most `stop_seconds`.

        Returns whether everything ended. A run in flight is aborted and reported as aborted.
        Threads that do not end (a handler that ignores the abort) are named in the log and left
        behind; they are daemons.
        """
        if self._is_forked():
            return True  # nothing of it runs in this process
        self.shutdown()
        return self.wait(self.stop_seconds) and not self.left_behind

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start, without blocking the event loop. If cancelled meanwhile, stop as well."""
        import asyncio

        try:
            await uninterrupted(self.start)
        except asyncio.CancelledError:
            await uninterrupted(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, without blocking the event loop, and wait for the end even if cancelled."""
        if not self._is_forked():
            self.shutdown()  # also if no thread can be started to wait for the end
        await uninterrupted(self.stop)

    def _is_forked(self) -> bool:
        """Returns whether this process is a copy of the one in which it was made."""
        return os.getpid() != self._process
