"""The child process that evaluates JQ for one handler.

JQ blocks every thread of its process while it evaluates, which may take for ever. In a child it
can be ended: after `SECONDS` by an alarm, and at once when the run is aborted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ocean_actors.actors import CancelToken
from ocean_actors.mapping.entry import Plan
from ocean_actors.mapping.errors import JqMissing, MappingError

SECONDS = 60
"""For one request: the items of a batch, or the expressions of an entry."""
MEMORY = 1024**3
"""Bytes of address space."""
LARGEST_ANSWER = 128 * 1024**2
"""Bytes of one answer, which this process has to hold."""
PATIENCE = 30.0
"""More seconds than `SECONDS` before a child that does not answer is killed."""

_CODE = """\
import json, sys
sys.path[:], *limits = json.loads(sys.argv[1])
from ocean_actors.mapping.worker import main
main(*limits)
"""


class JqProcess:
    """Starts the child when it is first needed, and again after it has ended.

    Threads may share it. All methods raise the token's error once the token is cancelled.
    """

    def __init__(self, token: CancelToken, *, seconds: int = SECONDS, memory: int = MEMORY) -> None:
        self._token = token
        self._seconds = seconds
        self._memory = memory
        self._plans: list[Plan] = []
        self._child: _Child | None = None
        self._closed = False
        self._lock = threading.Lock()  # one request at a time

    def prepare(self, plan: Plan) -> int:
        """Compile a plan. Returns its number. Raises MappingError if JQ cannot parse it."""
        with self._lock:
            number = len(self._plans)
            self._plans.append(plan)
            self._require(number)
            return number

    def evaluate(self, number: int, items: Sequence[bytes]) -> list[list[list[Any]]]:
        """Returns the outcomes for each raw item (JSON), as `worker` writes them.

        Raises MappingError if the items need too much time or memory, or make too much.
        """
        with self._lock:
            child = self._require(number)
            header = json.dumps({"evaluate": number, "items": len(items)}).encode()
            answer: list[list[list[Any]]] = self._ask(child, [header, *items])
            return answer

    def close(self) -> None:
        """End the child, even while a thread waits for it. Later calls raise RuntimeError."""
        self._closed = True
        child = self._child
        if child is not None and child.owner == os.getpid():
            child.kill()
        with self._lock:
            self._end()

    def _require(self, number: int) -> _Child:
        """Returns a child that knows the plan."""
        self._token.check()
        if self._child is not None and self._child.owner != os.getpid():
            self._child = None  # it belongs to the process of which this one is a fork
        if self._child is not None and self._child.has_ended:  # somebody killed it
            self._end()
        if self._child is None and not self._closed:
            self._child = _Child(self._seconds, self._memory)
        child = self._child
        if child is None or self._closed:  # asked again: `close` kills only a child that it sees
            raise RuntimeError("the mapping was closed, as its handler has returned")
        if number not in child.plans:
            request = {"compile": number, "plan": asdict(self._plans[number])}
            problem = self._ask(child, [json.dumps(request).encode()])
            if problem is not None:
                raise MappingError(problem)
            child.plans.add(number)
        return child

    def _ask(self, child: _Child, lines: Sequence[bytes]) -> Any:
        forget = self._token.on_cancel(child.kill)
        try:
            answer = child.ask(b"\n".join(lines) + b"\n")
        except BaseException as error:
            code = self._end()
            self._token.check()
            if isinstance(error, OSError | EOFError):
                raise MappingError(self._explained(code)) from None
            raise
        finally:
            forget()
        try:
            return json.loads(answer)
        except RecursionError:
            raise MappingError("a value is nested too deeply") from None

    def _end(self) -> int | None:
        child, self._child = self._child, None
        return None if child is None or child.owner != os.getpid() else child.end()

    def _explained(self, code: int | None) -> str:
        if code == -signal.SIGALRM:
            return f"JQ did not finish within {self._seconds} s"
        if code == -signal.SIGKILL:
            return (
                "the process that evaluates JQ was killed, perhaps because the system's memory "
                "ran out"
            )
        return (
            f"the process that evaluates JQ ended (exit code {code}): an expression may need more "
            f"than {self._memory // 1024**2} MiB of memory"
        )


class _Child:
    """One process and its socket. `plans` are those that it knows."""

    def __init__(self, seconds: int, memory: int) -> None:
        if not _installed():
            raise JqMissing("the mapping is evaluated with jq: pip install 'ocean-actors[jq]'")
        self.owner = os.getpid()
        self.plans: set[int] = set()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(seconds + PATIENCE)
        self._answers = self._socket.makefile("rb")
        with theirs:
            arguments = [[*sys.path], theirs.fileno(), seconds, memory]
            self._process = subprocess.Popen(  # noqa: S603  (our own code)
                [sys.executable, "-I", "-c", _CODE, json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us: we end the child
            )

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def ask(self, request: bytes) -> bytes:
        """Returns the answer.

        Raises OSError or EOFError if the child ended or does not answer, and MappingError if the
        answer is too long.
        """
        self._socket.sendall(request)
        answer = self._answers.readline(LARGEST_ANSWER)
        if len(answer) == LARGEST_ANSWER:
            raise MappingError(f"the result is larger than {LARGEST_ANSWER // 1024**2} MiB")
        if not answer.endswith(b"\n"):
            raise EOFError("the child ended")
        return answer

    def kill(self) -> None:
        """Kill the process; whoever waits for its answer goes on."""
        self._process.kill()

    def end(self) -> int:
        """Close the socket, which ends an idle child, and return the exit code."""
        self._answers.close()
        self._socket.close()
        try:
            return self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("jq") is not None
    except ValueError:  # sys.modules says that it is not to be found
        return False
