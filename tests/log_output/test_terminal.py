"""The command line on a terminal: what its screen shows, as an emulator reads it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from waiting import wait_until

from ocean_actors.log_output.live_lines import LiveLines
from ocean_actors.sandbox import Sandbox

WITHIN = 60.0
HANDLERS = """
import sys, time
from pathlib import Path
from ocean_actors import ResyncHandler

class Steps(ResyncHandler):
    def resync(self, run):
        run.logger.info("began")
        print("printed to stdout")
        print("printed to stderr", file=sys.stderr)
        run.progress(3, 10)
        while not Path("go").exists():
            run.sleep(0.05)
        run.logger.info("ended")
"""


class Terminal:
    """A process on a pseudo-terminal, and the screen that it draws."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.screen = pyte.HistoryScreen(100, 20, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        self.resize(100)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ocean_actors", "run", "config.yaml", *arguments],
            cwd=folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={"TERM": "xterm-256color", "PATH": os.environ["PATH"], **(env or {})},
        )  # fmt: skip
        os.close(slave)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        self.screen.resize(20, columns)

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        def so() -> bool:
            if condition():
                return True
            self.read()
            return False

        wait_until(so, lambda: "\n".join(self.lines()))

    def read(self) -> None:
        if select.select([self._master], [], [], 0.1)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # nobody has the other side open
                return
            self.raw += data
            self._stream.feed(data)

    def finish(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.wait_for(lambda: self.process.poll() is not None)
        self.read()
        return self.process.returncode

    def hang_up(self) -> None:
        os.close(self._master)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Sandbox() as sandbox:
        (tmp_path / "work.py").write_text(HANDLERS)
        (tmp_path / "config.yaml").write_text(
            textwrap.dedent(f"""
            port: {{clientId: {sandbox.client_id}, clientSecret: {sandbox.client_secret},
                    baseUrl: "{sandbox.url}"}}
            integration: {{identifier: demo}}
            eventListener: {{type: POLLING, interval: 1}}
            http: {{host: 127.0.0.1, port: 0}}
            control: {{port: 0}}
            """)
        )
        yield tmp_path


@pytest.fixture
def open_terminal(folder: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, env: dict[str, str] | None = None) -> Terminal:
        opened.append(Terminal(folder, "--handler", "work.py:Steps", *arguments, env=env))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def test_the_live_lines_follow_a_run_below_the_log_and_vanish_at_the_end(
    folder: Path, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal()
    terminal.wait_for(lambda: any("3/10" in line for line in terminal.lines()))
    *_, state, bars = terminal.lines()
    assert state.startswith("running | run ")
    assert bars.startswith("Steps ━")
    for columns in (60, 140, 100):  # the bars stay the last line, once
        terminal.resize(columns)
        terminal.wait_for(lambda: terminal.lines()[-1].startswith("Steps ━"))
    (folder / "go").touch()
    terminal.wait_for(lambda: terminal.lines()[-1].startswith("idle | last run "))
    assert "completed after" in terminal.lines()[-1]
    assert terminal.finish() == 0, terminal.raw
    lines = terminal.lines()
    assert lines[-1].endswith("integration demo stopped")
    assert not any("3/10" in line or line.startswith(("idle", "running")) for line in lines)
    for printed in ("printed to stdout", "printed to stderr"):
        assert lines.count(printed) == 1
    assert b"\x1b[32mINFO" in terminal.raw


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--log-format", "json"], {}),
        ([], {"NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
    ],
)
def test_where_it_is_not_wanted_the_terminal_gets_lines_and_no_escape_sequence(
    folder: Path, open_terminal: Callable[..., Terminal], arguments: list[str], env: dict[str, str]
) -> None:
    (folder / "go").touch()
    terminal = open_terminal(*arguments, env=env)
    terminal.wait_for(lambda: b"completed after" in terminal.raw)
    assert terminal.finish() == 0, terminal.raw
    assert b"\x1b" not in terminal.raw
    assert (b'"message": "ended"' in terminal.raw) == bool(arguments)
    assert (b"ocean_actors.run.Steps: ended [run=" in terminal.raw) == (not arguments)


def test_a_terminal_that_goes_away_stops_it_as_a_hangup_does(
    folder: Path, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal()
    terminal.wait_for(lambda: any("3/10" in line for line in terminal.lines()))
    terminal.hang_up()
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(WITHIN) == 0


def test_without_standard_output_and_error_it_works(folder: Path) -> None:
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace("POLLING, interval: 1", "ONCE")
    )
    (folder / "go").touch()
    (folder / "work.py").write_text(re.sub(r"print\(.*\)", "pass", HANDLERS))
    closed = 'exec "$@" >&- 2>&-'
    command = [sys.executable, "-m", "ocean_actors", "run", "config.yaml"]
    done = subprocess.run(
        ["/bin/sh", "-c", closed, "sh", *command, "--handler", "work.py:Steps"],
        cwd=folder, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0


STATUS = {
    "resync": {
        "state": "running",
        "pauses": [{"owner": "api", "reason": "evil\x1b[2J\nreason", "since": "now"}],
        "pending": ["polling"],
        "kinds": {f"Handler{number}": [] for number in range(9)},
        "run": {
            "id": "r-2", "trigger": "polling", "startedAt": "2026-01-01T00:00:00+00:00",
            "handlers": ["Handler0"],
            "progress": {"Handler0": {"done": 5, "total": 10, "message": None}},
        },
        "runs": [
            {"id": "r-1", "status": "failed", "seconds": 2.5, "entities": 3,
             "failures": ["Handler0: ValueError: bad\x1b[31m"]},
        ],
    }
}  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_live_lines_are_two_and_shorter_than_the_terminal(width: int) -> None:
    lines = LiveLines("utf-8")
    lines.statuses = (STATUS,)
    screen = pyte.Screen(width, 5)
    pyte.Stream(screen).feed("\r\n".join(lines.render(width)))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    assert len(shown) == 2
    assert all(len(line) < width for line in shown)
    if width == 200:
        assert "paused: evil [2J reason | 1 waiting | last run r-1 failed after 2.5 s" in shown[0]
        assert shown[1].endswith("+6 more")


def test_calls_that_wait_for_a_rate_limit_show_beside_their_handler() -> None:
    lines = LiveLines("utf-8")
    run = {
        "id": "r-1", "trigger": "schedule", "startedAt": "2026-01-01T00:00:00+00:00",
        "handlers": ["Issues", "Users"], "waiting": {"Issues": 3},
    }  # fmt: skip
    lines.statuses = (
        {"resync": {"state": "running", "run": run, "kinds": {"Issues": [], "Users": []}}},
    )
    screen = pyte.Screen(120, 5)
    pyte.Stream(screen).feed("\r\n".join(lines.render(120)))
    issues, users = screen.display[1].split("Users")
    assert issues.rstrip().endswith("at work 3 rate-limited")
    assert users.rstrip().endswith("at work")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = LiveLines("ascii")
    lines.statuses = (STATUS,)
    assert all(line.isascii() for line in lines.render(100))


@pytest.mark.parametrize("resync", [None, {}, {"state": "idle", "run": None, "runs": []}])
def test_a_status_without_answers_makes_one_line(resync: object) -> None:
    lines = LiveLines("utf-8")
    lines.statuses = ({"resync": resync},)
    assert len(lines.render(80)) == 1


def test_with_several_integrations_each_has_a_line_with_its_name() -> None:
    lines = LiveLines("utf-8")
    ended = {"integration": "blog", "stopped": True, "cause": "actor coordinator\nfailed"}
    asked = {"integration": "docs", "stopped": True, "cause": None}
    lines.statuses = ({"integration": "shop", **STATUS}, ended, asked)
    screen = pyte.Screen(200, 5)
    pyte.Stream(screen).feed("\r\n".join(lines.render(200)))
    shown = [line.rstrip() for line in screen.display]
    assert shown[0].startswith("shop | running | run r-2 by polling")
    assert shown[1:] == ["blog | failed: actor coordinator failed", "docs | stopped", "", ""]


def test_of_many_integrations_the_first_have_a_line_and_the_others_are_counted() -> None:
    lines = LiveLines("utf-8")
    lines.statuses = tuple({"integration": f"shop-{number}"} for number in range(20))
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed("\r\n".join(lines.render(80)))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    assert len(shown) == 9
    assert shown[-1] == "and 12 more integrations"
