"""Hung handlers leave threads behind; the system ends with the cause before they are too many."""

from __future__ import annotations

import subprocess
import sys
import textwrap

WITHIN = 100.0

HANG = """
import os, resource, threading, time
from ocean_actors import ResyncHandler, RunStarted
from ocean_actors.testing import SandboxedSystem

class Deaf(ResyncHandler):
    def resync(self, run):
        threading.Event().wait()

resync = {"abortGrace": 0.01, "onNewRequest": "drop"}
listener = {"type": "POLLING", "interval": 3600}
rig = SandboxedSystem([Deaf], eventListener=listener, resync=resync)
rig.__enter__()
rig.expect(RunStarted)
"""

ASK = """
while not rig.system.wait(0):
    try:
        rig.system.request_resync()
        rig.expect(RunStarted, within=5)
    except (RuntimeError, AssertionError):
        break
print("stopped:", rig.system.wait(30), "exit code:", rig.system.exit_code)
print("cause:", rig.system.cause)
print("Port:", rig.statuses()[-1], flush=True)
os._exit(0)  # a normal exit would wait for the handlers
"""

LIMIT = """
if os.getuid() == 0:  # whom the limit does not concern
    os.setgid(65534); os.setuid(65534)
threads = threading.active_count() + 20  # as the limit of a container's process ids
resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=WITHIN, check=True,
    )  # fmt: skip
    return done.stdout


def test_a_hundred_handlers_that_never_return_end_the_system_with_the_cause() -> None:
    output = run(HANG + ASK)
    assert "stopped: True exit code: 1" in output
    assert "at most 100 may" in output
    assert "Port: aborted" in output


def test_a_kernel_that_gives_no_more_threads_ends_the_system_with_the_cause() -> None:
    output = run(HANG + LIMIT + ASK)
    assert "stopped: True exit code: 1" in output
    assert "can't start new thread" in output


def test_a_stop_while_the_interpreter_exits_ends_the_system() -> None:
    """Python 3.12 and later start no thread then."""
    program = """
    import atexit
    from ocean_actors import ResyncHandler, RunStarted
    from ocean_actors.testing import SandboxedSystem

    class Sleeper(ResyncHandler):
        def resync(self, run):
            run.sleep(60)

    rig = SandboxedSystem([Sleeper])
    rig.__enter__()
    rig.expect(RunStarted)
    atexit.register(lambda: print("stopped:", rig.system.stop(), rig.statuses()[-1]))
    """
    assert run(program) == "stopped: True aborted\n"
