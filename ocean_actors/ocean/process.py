"""The child process of Port Ocean: started, listened to, told commands, and ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocean_actors.log import get_logger
from ocean_actors.ocean import protocol
from ocean_actors.text import escaped, one_line

logger = get_logger(__name__)

CHILD = Path(__file__).with_name("child")
BOOT = """\
import importlib.util, sys
folder, commands, events, level = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "ocean_actors_child", folder + "/__init__.py", submodule_search_locations=[folder]
)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
from ocean_actors_child.main import main
main(int(commands), int(events), level)
"""
"""Imports the child by its folder: the rest of this package may not be installed there."""

LAST_LINES = 6
LONGEST_LAST = 200  # characters of them
LONGEST_OUTPUT = 2_000  # bytes of one line that it prints
READ = 65_536
REST_SECONDS = 0.5
"""Seconds to read what is left in the pipes of a process that has ended, if they stay open."""

CLOSED_SECONDS = 5.0
"""Seconds for a process that has closed its pipe of events to end, before it is killed.

It can no longer say how a run ended.
"""

Listener = Callable[["protocol.Event | Printed | Garbage | Ended"], object]


@dataclass(frozen=True)
class Printed:
    """Lines that the process wrote to standard output or, with `error`, to standard error."""

    text: str
    error: bool


@dataclass(frozen=True)
class Garbage:
    """A line on the pipe of events that is not an event; `why` is one line."""

    why: str


@dataclass(frozen=True)
class Ended:
    """The process has ended; a listener is told nothing more. `text` says how, in one line."""

    code: int
    text: str


class ChildProcess:
    """One process, in a group of its own with all that it forks.

    It logs at `level` unless its environment says otherwise. `listener` is called in the
    process's own thread with each event and line, and finally with `Ended`. Raises OSError if the
    process cannot be started, RuntimeError if there are no threads.
    """

    def __init__(
        self,
        python: str,
        folder: Path,
        environment: Mapping[str, str],
        level: str,
        listener: Listener,
    ) -> None:
        self._listener = listener
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._killed: str | None = None
        theirs_in, self._commands = os.pipe()
        events, theirs_out = os.pipe()
        self._exited, self._wake = os.pipe()
        try:
            os.set_blocking(self._commands, False)
            self._process = subprocess.Popen(  # noqa: S603  (the interpreter that the user names)
                [python, "-c", BOOT, str(CHILD), str(theirs_in), str(theirs_out), level],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs_in, theirs_out],
                start_new_session=True,  # Ctrl-C is for us: we end the child
            )
        except BaseException:
            for descriptor in (self._commands, events, self._exited, self._wake):
                os.close(descriptor)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._events = events
        self._lock = threading.Lock()  # of `_commands` and the group's number, which end once
        self._gone = False
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="ocean-reader", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="ocean-waiter", daemon=True)
        try:
            self._waiter.start()
            self._reader.start()
        except RuntimeError:
            self._kill_group()
            raise

    # -- commands ------------------------------------------------------------------------------

    def tell(self, command: bytes) -> bool:
        """Send a command; returns False if the process does not take it."""
        with self._lock:
            if self._gone:
                return False
            try:
                return os.write(self._commands, command) == len(command)
            except OSError:  # it has ended, or has read nothing for very long
                return False

    def kill(self, why: str) -> None:
        """Kill the process and all that it has forked; `Ended.text` says why."""
        with self._lock:
            if self._gone:  # its number may be that of another group by now
                return
            if self._killed is None:
                self._killed = why
            self._kill_group()

    def join(self, seconds: float) -> bool:
        """Wait for the process and the threads to end; returns whether they have."""
        until = time.monotonic() + seconds
        for thread in (self._waiter, self._reader):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))
        return not (self._waiter.is_alive() or self._reader.is_alive())

    # -- the threads ---------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for the end of the process, then kill what it has forked."""
        if hasattr(os, "waitid"):  # the number of the group is not given to another one meanwhile
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        with self._lock:
            self._kill_group()
            self._process.wait()  # at once: it has ended
            self._gone = True
            os.close(self._commands)
        os.close(self._wake)  # the reader hears of it

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        """Tell the listener what comes, until the process has ended and nothing is left."""
        process = self._process
        # They are pipes.
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor, lines in (
                    (self._events, _Lines(protocol.LONGEST_LINE, self._on_events)),
                    (process.stdout.fileno(), _Lines(LONGEST_OUTPUT, self._on_output)),
                    (process.stderr.fileno(), _Lines(LONGEST_OUTPUT, self._on_error)),
                    (self._exited, None),
                ):
                    selector.register(descriptor, selectors.EVENT_READ, lines)
                self._serve(selector)
        finally:
            process.stdout.close()
            process.stderr.close()
            os.close(self._events)
            os.close(self._exited)
        self._say(Ended(process.wait(), self._end_text(process.wait())))

    def _serve(self, selector: selectors.BaseSelector) -> None:
        until: float | None = None
        exited = False
        while selector.get_map():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                if exited:
                    return
                self.kill("it closed its pipe of events")
                until = left = None
            for key, _ in selector.select(left):
                data = os.read(key.fd, READ)
                if data:
                    key.data.feed(data)
                    continue
                selector.unregister(key.fd)
                if key.data is None:
                    exited, until = True, time.monotonic() + REST_SECONDS
                    continue
                key.data.end()
                if key.fd == self._events and not exited:
                    until = time.monotonic() + CLOSED_SECONDS

    def _on_events(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            try:
                event = protocol.parsed(line)
            except protocol.ProtocolError as error:
                self._say(Garbage(str(error)))
                continue
            if isinstance(event, protocol.Logged) and event.level in ("ERROR", "CRITICAL"):
                self._keep(event.text)
            self._say(event)

    def _on_output(self, lines: Sequence[bytes]) -> None:
        self._say(Printed(_text(lines), error=False))

    def _on_error(self, lines: Sequence[bytes]) -> None:
        text = _text(lines)
        self._keep(text)
        self._say(Printed(text, error=True))

    def _keep(self, text: str) -> None:
        self._last.extend(
            kept for line in text.splitlines()[-LAST_LINES:] if (kept := line.strip())
        )

    def _say(self, event: protocol.Event | Printed | Garbage | Ended) -> None:
        """Tell the listener; what it raises must not end this thread, which empties the pipes."""
        try:
            self._listener(event)
        except Exception:
            logger.exception("an event of the Ocean process could not be handled")

    def _end_text(self, code: int) -> str:
        if self._killed is not None:
            return f"it was killed: {self._killed}"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}{self._last_text()}"
        return f"exit code {code}{self._last_text()}"

    def _last_text(self) -> str:
        """Returns the last lines that fit, as the cause of the end is usually the last of all."""
        fitting: list[str] = []
        for line in reversed(self._last):
            fitting.insert(0, one_line(line, LONGEST_LAST))
            if sum(map(len, fitting)) > LONGEST_LAST:
                del fitting[0]
                break
        return f"; its last lines: {' | '.join(fitting)}" if fitting else ""


def _text(lines: Sequence[bytes]) -> str:
    """Returns lines that were printed at once, as a traceback is, as one text."""
    return escaped(b"\n".join(lines).decode(errors="replace")[-protocol.LONGEST_TEXT :], "\n\t")


class _Lines:
    """Splits what comes from a pipe into lines; the first `limit` bytes of each are kept."""

    def __init__(self, limit: int, take: Callable[[Sequence[bytes]], object]) -> None:
        self._limit = limit
        self._take = take
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the lines that are complete now, all at once."""
        *lines, rest = data.split(b"\n")
        complete = [self._completed(line) for line in lines]
        self._add(rest)
        self._hand_over(complete)

    def end(self) -> None:
        """Take what is left without a line break."""
        self._hand_over([self._completed(b"")])

    def _completed(self, part: bytes) -> bytes:
        self._add(part)
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _add(self, part: bytes) -> None:
        self._rest += part[: max(0, self._limit - len(self._rest))]

    def _hand_over(self, lines: Sequence[bytes]) -> None:
        written = [line for line in lines if line.strip()]
        if written:
            self._take(written)
