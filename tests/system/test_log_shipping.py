"""Which lines of the log reach Port, and what shipping them costs: no run, and bounded memory."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from waiting import wait_until

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.port import log_shipper
from ocean_actors.port.log_shipper import KEPT_LINES, LONGEST_TEXT, buffers
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import IDENTIFIER

WITHIN = 30.0
LOGS = "/ingest/[^/]*/logs$"
CALM = {"type": "POLLING", "interval": 3600}
log = logging.getLogger("ocean_actors.test")


@pytest.fixture(autouse=True)
def everything_is_logged() -> Iterator[None]:
    package = logging.getLogger("ocean_actors")
    before = package.level
    package.setLevel(logging.INFO)
    yield
    package.setLevel(before)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def shipped(sandbox: Sandbox, identifier: str = IDENTIFIER) -> list[str]:
    return [line["message"] for line in sandbox.logs(identifier)]


def wait_for_line(sandbox: Sandbox, text: str, identifier: str = IDENTIFIER) -> dict[str, Any]:
    """Returns the first shipped line that contains `text`."""

    def found() -> list[dict[str, Any]]:
        if sandbox.integration(identifier) is None:
            return []
        return [line for line in sandbox.logs(identifier) if text in line["message"]]

    return sandbox.wait_for(found, WITHIN)[0]


@pytest.fixture(autouse=True)
def shipped_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shipper, "SHIP_SECONDS", 0.05)


class Talker(ResyncHandler):
    """Logs what it is told to, in its own thread."""

    lines: tuple[str, ...] = ("hello",)

    def resync(self, run: ResyncRun) -> None:
        for line in self.lines:
            log.info(line)


def talker(*given: str) -> type[ResyncHandler]:
    class Told(Talker):
        lines = given

    return Told


def test_a_line_is_shipped_in_ports_shape(sandbox: Sandbox) -> None:
    class Handler(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            log.warning("%s of %s", 1, 2, extra={"kind": "thing", "odd": {1}, "nan": float("nan")})

    with SandboxedSystem([Handler], sandbox=sandbox):
        line = wait_for_line(sandbox, "1 of 2")
    assert line.keys() == {"message", "level", "timestamp", "extra"}
    assert (line["message"], line["level"]) == ("1 of 2", "WARNING")
    assert line["timestamp"].endswith("Z")
    run = line["extra"].pop("run")
    assert line["extra"].pop("integration", IDENTIFIER) == IDENTIFIER
    assert run
    assert line["extra"] == {
        "trigger": "polling", "handler": "Handler",
        "logger": "ocean_actors.test", "thread": "handler-Handler",
        "kind": "thing", "odd": "{1}", "nan": "nan",
    }  # fmt: skip


def test_the_lines_of_a_run_and_of_a_stop_are_shipped_in_their_order(sandbox: Sandbox) -> None:
    with SandboxedSystem([talker("hello")], sandbox=sandbox, eventListener=CALM) as rig:
        rig.expect(RunEnded)
    lines = shipped(sandbox)
    places = [
        next(place for place, line in enumerate(lines) if text in line)
        for text in ("registering the integration", " starts: ", "hello", " completed after ")
    ]
    assert places == sorted(places)


def test_a_traceback_is_a_part_of_its_line(sandbox: Sandbox) -> None:
    class Broken(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            raise ValueError("no such thing")

    with SandboxedSystem([Broken], sandbox=sandbox):
        message = wait_for_line(sandbox, "handler Broken failed")["message"]
    assert "Traceback" in message
    assert "ValueError: no such thing" in message


def test_no_secret_is_shipped_in_any_encoding() -> None:
    secret = "s3cr3t/with=odd+characters"
    with Sandbox(client_secret=secret) as own:
        spelled = [
            secret,
            quote(secret, safe=""),
            base64.b64encode(f"x:{secret}".encode()).decode(),
        ]
        long = "x" * (LONGEST_TEXT - 5) + secret
        with SandboxedSystem([talker(*spelled, long, "the end")], sandbox=own):
            wait_for_line(own, "the end")
        text = "\n".join(shipped(own))
        assert text.count("***") >= len(spelled)
        assert not [each for each in (*spelled, secret[:5]) if each in text]


def test_nothing_is_shipped_if_the_settings_say_so(sandbox: Sandbox) -> None:
    from ocean_actors import OceanSystem, Settings
    from ocean_actors.testing.sandboxed import port_of

    settings = Settings.from_dict(
        {
            "port": {**port_of(sandbox), "shipLogs": False},
            "integration": {"identifier": IDENTIFIER},
            "eventListener": {"type": "ONCE"},
        },
        {},
    )
    system = OceanSystem(settings, [Talker])
    system.start()
    assert buffers() == []
    assert system.wait(WITHIN)
    system.stop()
    assert [call for call in sandbox.calls if call.path.endswith("/logs")] == []


def test_two_systems_of_a_process_ship_their_own_lines_only(sandbox: Sandbox) -> None:
    first, second = talker("of the first"), talker("of the second")
    with (
        SandboxedSystem([first], sandbox=sandbox, integration={"identifier": "first"}),
        SandboxedSystem([second], sandbox=sandbox, integration={"identifier": "second"}),
    ):
        wait_for_line(sandbox, "of the first", "first")
        wait_for_line(sandbox, "of the second", "second")
        log.info("of nobody")
        assert len(buffers()) == 2
    assert "of the second" not in shipped(sandbox, "first")
    assert "of the first" not in shipped(sandbox, "second")
    assert "of nobody" not in shipped(sandbox, "first") + shipped(sandbox, "second")


def test_the_lines_of_foreign_threads_are_shipped_by_the_only_system(sandbox: Sandbox) -> None:
    with SandboxedSystem([Talker], sandbox=sandbox):
        wait_for_line(sandbox, "hello")
        log.info("of the main thread")
        wait_for_line(sandbox, "of the main thread")


def test_lines_wait_while_port_is_away_and_its_own_failure_is_never_shipped(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocean_actors.actors import Backoff

    monkeypatch.setattr(log_shipper, "BACKOFF", Backoff(initial=0.05, maximum=0.05))
    sandbox.fail("status", times=3, path=LOGS, status=503)
    with SandboxedSystem([talker("hello")], sandbox=sandbox):
        wait_for_line(sandbox, "hello")
    failures = [line for line in caplog.messages if "is not shown on Port's page" in line]
    assert len(failures) == 1
    assert failures[0] not in shipped(sandbox)


def test_lines_that_port_refuses_are_dropped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocean_actors.actors import Backoff

    monkeypatch.setattr(log_shipper, "BACKOFF", Backoff(initial=0.05, maximum=0.05))
    sandbox.fail("status", times=1, path=LOGS, status=422)
    with SandboxedSystem([talker("first")], sandbox=sandbox, eventListener=CALM) as rig:
        rig.expect(RunEnded)
        sandbox.wait_for(lambda: [c for c in sandbox.calls if c.status == 422], WITHIN)
        log.info("second")
        wait_for_line(sandbox, "second")
    assert not any("registering" in line for line in shipped(sandbox))


def test_a_port_that_hangs_there_holds_up_nothing_and_memory_stays_bounded(
    sandbox: Sandbox,
) -> None:
    class Handler(Talker):
        lines = tuple(map(str, range(3 * KEPT_LINES)))

        def resync(self, run: ResyncRun) -> None:
            sandbox.wait_for(lambda: not sandbox.faults, WITHIN)  # a call hangs from now on
            super().resync(run)

    sandbox.fail("hang", times=1, path=LOGS)
    with SandboxedSystem([Handler], sandbox=sandbox) as rig:
        assert rig.expect(RunEnded).status == "completed"
        (buffer,) = buffers()
        assert len(buffer._lines) <= KEPT_LINES
        sandbox.release()
        line = wait_for_line(sandbox, "older lines were dropped")
        assert int(line["message"].split()[0]) >= 2 * KEPT_LINES


def test_large_lines_go_in_several_calls(sandbox: Sandbox) -> None:
    lines = [f"{number} " + "\N{SNOWMAN}" * LONGEST_TEXT for number in range(60)]
    with SandboxedSystem([talker(*lines, "the end")], sandbox=sandbox):
        wait_for_line(sandbox, "the end")
    bodies = [len(call.raw) for call in sandbox.calls if call.path.endswith("/logs")]
    assert len(bodies) > 5
    assert max(bodies) < 512 * 1024
    snowmen = [line for line in shipped(sandbox) if "\N{SNOWMAN}" in line]
    assert [line.split()[0] for line in snowmen] == [str(number) for number in range(60)]
    assert max(map(len, snowmen)) == LONGEST_TEXT


def test_lines_are_sent_every_five_seconds(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    clock = ManualClock()
    with SandboxedSystem([Talker], sandbox=sandbox, clock=clock, eventListener=CALM) as rig:
        rig.expect(RunEnded)

        def settle() -> None:
            wait_idle(rig.system._actors, WITHIN)

        clock.advance(4.5, settle=settle)
        assert shipped(sandbox) == []
        clock.advance(0.5, settle=settle)
        assert "hello" in shipped(sandbox)


def test_after_the_stop_nothing_is_left_of_it(sandbox: Sandbox) -> None:
    before = threading.active_count()
    with SandboxedSystem([Talker], sandbox=sandbox) as rig:
        rig.expect(RunEnded)
        assert len(buffers()) == 1
    assert buffers() == []
    wait_until(lambda: threading.active_count() <= before, "the end of its threads")


UNCONFIGURED = """
import logging
from ocean_actors import RunEnded
from ocean_actors.testing import SandboxedSystem
from ocean_actors.resync.handlers import ResyncHandler

class Handler(ResyncHandler):
    def resync(self, run):
        logging.getLogger("ocean_actors.test").warning("a warning")
        logging.getLogger("ocean_actors.test").info("an info")

with SandboxedSystem([Handler]) as rig:
    rig.expect(RunEnded)
"""


def test_a_program_that_configures_no_logging_still_sees_warnings_on_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCONFIGURED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.splitlines() == ["a warning"]
