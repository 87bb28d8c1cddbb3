"""Signals of the command line: the first stops, the second ends the process at once.

A signal handler interrupts the main thread anywhere, also in the middle of a write to the log. So
it does nothing itself: one thread that exists from the start stops, and another logs, which may be
held up by a full pipe without holding up the stop.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType

from ocean_actors.log import get_logger

logger = get_logger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], object]


class SignalHandlers:
    """Installs handlers for the process; make one in the main thread.

    A child that is forked later, a pool's worker for example, gets the handlers back that the
    process had before, so that it ends when it is terminated. The signals are blocked meanwhile:
    Python forgets those that a child gets before its first line of code.
    """

    def __init__(self) -> None:
        self._before: dict[int, Handler | int | None] = {}
        self._calls = _calling_thread("signals")
        self._stops = _calling_thread("stop")
        self._masks = threading.local()  # of each thread that forks
        os.register_at_fork(
            before=self._block, after_in_parent=self._unblock, after_in_child=self._restore
        )

    def call_on(self, number: int, call: Callable[[], object]) -> None:
        """Have a thread call `call` at each signal `number`."""
        self._install(number, lambda *_: self._calls.put(call))

    def stop_on_signals(
        self, stop: Callable[[], object], seconds: float, describe: Callable[[str], str | None]
    ) -> None:
        """Have a thread call `stop` at the first of `STOP_SIGNALS`.

        `describe` is called with the signal's name before `stop`, as its line, if any, may be
        about work that the stop ends. A second signal ends the process at once, as does the end
        of `seconds`: exit code 1 in both cases. SIGHUP is left alone if it is ignored, as under
        `nohup`.
        """

        def stop_and_tell(name: str) -> None:
            try:
                if line := describe(name):
                    self._calls.put(lambda: logger.info("%s", line))
            finally:
                stop()

        def on_first(number: int, _frame: FrameType | None) -> None:
            for each in STOP_SIGNALS:
                if each in self._before:
                    signal.signal(each, on_second)
            self._install(signal.SIGALRM, on_late)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            name = signal.Signals(number).name
            self._stops.put(lambda: stop_and_tell(name))

        def on_second(number: int, _frame: FrameType | None) -> None:
            end_now(f"{signal.Signals(number).name} again: the process ends at once")

        def on_late(_number: int, _frame: FrameType | None) -> None:
            end_now(f"not stopped within {seconds:g} s: the process ends")

        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._install(number, on_first)

    def _install(self, number: int, handler: Handler) -> None:
        before = signal.signal(number, handler)
        self._before.setdefault(number, before)

    def _block(self) -> None:
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, list(self._before))

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _restore(self) -> None:
        for number, before in self._before.items():
            # None: not installed from Python, so not ours to know
            signal.signal(number, before or signal.SIG_DFL)
        self._before.clear()
        self._unblock()


def _calling_thread(name: str) -> queue.SimpleQueue[Callable[[], object]]:
    """Start a thread that calls what is put into the queue."""
    calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def call_all() -> None:
        while True:
            calls.get()()

    threading.Thread(target=call_all, name=name, daemon=True).start()
    return calls


def end_now(text: str, code: int = 1) -> None:
    """End the process, with a line if standard error takes one without blocking."""
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, f"ocean-actors: {text}\n".encode())
    except (OSError, ValueError):
        pass
    os._exit(code)
