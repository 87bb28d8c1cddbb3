"""The process ends once the system has stopped, whatever user code has left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import runs_of

COMMAND = [sys.executable, "-c", "import sys; from ocean_actors.cli import main; sys.exit(main())"]
WITHIN = 30.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def start(tmp_path: Path, sandbox: Sandbox, body: str, **streams: Any) -> subprocess.Popen[str]:
    """Start ONCE with a handler whose `resync` is `body`."""
    (tmp_path / "work.py").write_text(
        "import atexit, logging, os, sys, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from ocean_actors import ResyncHandler\n\n"
        "class Work(ResyncHandler):\n"
        f"    def resync(self, run):\n{textwrap.indent(textwrap.dedent(body), ' ' * 8)}\n"
    )
    (tmp_path / "config.yaml").write_text(
        f"port: {{clientId: {sandbox.client_id}, clientSecret: {sandbox.client_secret}, "
        f"baseUrl: '{sandbox.url}'}}\n"
        "integration: {identifier: demo}\neventListener: {type: ONCE}\n"
    )
    environment = {key: value for key, value in os.environ.items() if "OCEAN__" not in key}
    environment["PYTHONUNBUFFERED"] = ""  # the output waits in a buffer, as it does by default
    return subprocess.Popen(
        [*COMMAND, "run", "config.yaml", "--handler", "work.py:Work"],
        cwd=tmp_path, text=True, env=environment, **streams,
    )  # fmt: skip


def log_of(tmp_path: Path, sandbox: Sandbox, body: str) -> str:
    """The log of a process whose handler does `body`, and which ends with exit code 0."""
    with start(tmp_path, sandbox, body, stderr=subprocess.PIPE) as process:
        try:
            _, log = process.communicate(timeout=WITHIN)
        finally:
            process.kill()
    assert process.returncode == 0, log
    return log


@pytest.mark.parametrize(
    "body",
    [
        "ThreadPoolExecutor(1).submit(threading.Event().wait)",
        "atexit.register(threading.Event().wait)",
        "threading.Thread(target=threading.Event().wait, daemon=False).start()",
    ],
    ids=["a thread of a pool", "an exit function", "a thread"],
)
def test_what_a_handler_has_left_does_not_hold_up_the_end(
    tmp_path: Path, sandbox: Sandbox, body: str
) -> None:
    log = log_of(tmp_path, sandbox, body)
    assert "did not end within 4 s of the stop and is ended" in log
    named = log.partition("threads at work: ")[2].splitlines()[0].split(", ")
    assert not {"signals", "stop"} & {*named}  # ours, which never hold up the end
    assert runs_of(sandbox.reports("demo")) == ["completed"]


def test_output_that_is_not_read_does_not_hold_up_the_end(tmp_path: Path, sandbox: Sandbox) -> None:
    fill = """
    os.set_blocking(1, False)
    try:
        while True:
            os.write(1, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(1, True)
    print("waits in the buffer")
    """
    with start(tmp_path, sandbox, fill, stdout=subprocess.PIPE) as process:
        try:
            assert process.wait(WITHIN) == 0
        finally:
            process.kill()


def test_a_process_without_standard_streams_runs(tmp_path: Path, sandbox: Sandbox) -> None:
    def close_all() -> None:
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    body = "(tmp := open('numbers', 'w')).write(str(tmp.fileno()))"
    with start(tmp_path, sandbox, body, preexec_fn=close_all) as process:
        try:
            assert process.wait(WITHIN) == 0
        finally:
            process.kill()
    assert int((tmp_path / "numbers").read_text()) > 2
    assert runs_of(sandbox.reports("demo")) == ["completed"]


def test_a_log_call_whose_arguments_do_not_fit_costs_its_line_only(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    body = "logging.getLogger('mine').warning('%d of %d', 'one')"
    log = log_of(tmp_path, sandbox, body)
    assert '"%d of %d (its arguments do not fit: ' in log


@pytest.mark.parametrize(
    ("ends", "code"), [("return", 0), ("raise SystemExit(3)", 3), ("raise ValueError", 1)]
)
def test_a_process_that_a_handler_forks_ends_when_it_comes_back(
    tmp_path: Path, sandbox: Sandbox, ends: str, code: int
) -> None:
    body = f"""
    child = os.fork()
    if child == 0:
        {ends}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {code}
    """
    log_of(tmp_path, sandbox, body)
    assert runs_of(sandbox.reports("demo")) == ["completed"]
