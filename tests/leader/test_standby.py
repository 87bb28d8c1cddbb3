"""What an instance does while another one leads, and when it gains or loses the lead."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import memory
import pytest
import requests
from packages import write_dist_info
from scripted import WITHIN, Quick, Script
from waiting import wait_until

from ocean_actors import (
    IntegrationRegistered,
    LiveHandler,
    OceanSystem,
    ResyncHandler,
    RunEnded,
    Settings,
    SettingsError,
    plugins,
)
from ocean_actors.assembly import Assembly
from ocean_actors.check import check
from ocean_actors.control.report import report
from ocean_actors.errors import UsageError
from ocean_actors.leader.actor import LeaderActor
from ocean_actors.leader.spec import LeaderSpec
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import port_of

HTTP = {"host": "127.0.0.1", "port": 0}
MEMORY = {"type": "MEMORY"}
POLLING = {"type": "POLLING", "interval": 0.1, "resyncOnStart": False}
WEBHOOK = {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}  # where nobody hears Port


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> memory.MemoryServer:
    """Installs a package with the engine MEMORY, and returns a new server for it."""
    write_dist_info(tmp_path, "ocean_actors.leaders", "MEMORY = memory:SPEC", "memory")
    monkeypatch.syspath_prepend(str(tmp_path))
    server = memory.MemoryServer()
    monkeypatch.setattr(memory, "SERVER", server)
    return server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[Callable[..., SandboxedSystem]]:
    """Starts one more instance."""
    with ExitStack() as stack:

        def start(*handlers: Any, **settings: Any) -> SandboxedSystem:
            given = {"leader": MEMORY, "eventListener": POLLING, "http": HTTP, **settings}
            return stack.enter_context(SandboxedSystem(handlers, sandbox=sandbox, **given))

        yield start


def state(rig: SandboxedSystem) -> Any:
    return rig.system.status()["leader"]["state"]


def probe(rig: SandboxedSystem, path: str) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{rig.system.http_url}/health/{path}", timeout=WITHIN)
    return answer.status_code, answer.json()


def post(rig: SandboxedSystem, path: str) -> tuple[int, Mapping[str, str]]:
    answer = requests.post(f"{rig.system.http_url}{path}", json={}, timeout=WITHIN)
    return answer.status_code, answer.headers


def listening(rig: SandboxedSystem) -> Any:
    return rig.system.status()["listening"]["state"]


def leading(rig: SandboxedSystem) -> bool:
    return bool(state(rig) == "leading" and listening(rig) == "running")


class Pages(LiveHandler):
    path = "pages"

    def authenticate(self, call: object) -> bool:
        return True

    def handle(self, call: Any, live: Any) -> None:
        live.port.upsert("page", [{"identifier": "first"}])


def test_a_standby_is_live_and_not_ready_and_asks_port_for_the_organisation_alone(
    start: Callable[..., SandboxedSystem], sandbox: Sandbox
) -> None:
    first = start(Quick)
    wait_until(lambda: probe(first, "ready")[0] == 200, "a ready leader")
    standby = start(Quick, integration={"identifier": "under-test", "type": "second"})
    wait_until(lambda: state(standby) == "standby", "a standby")
    status, body = probe(standby, "ready")
    assert (status, body["standby"]) == (503, True)
    assert probe(standby, "live") == (200, {"ok": True})
    asked = {
        f"{call.method} {call.path}"
        for call in sandbox.calls
        if "/second/" in {name.lower(): text for name, text in call.headers.items()}["user-agent"]
    }
    assert asked == {"POST /v1/auth/access_token", "GET /v1/organization"}
    assert standby.system.status()["resync"]["state"] == "standby"


def test_calls_of_a_standby_are_refused_to_be_sent_again(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    first = start(Quick, Pages, eventListener=WEBHOOK)
    wait_until(lambda: leading(first), "a leader")
    second = start(Quick, Pages, eventListener=WEBHOOK)
    wait_until(lambda: state(second) == "standby", "a standby")
    for path in ("/resync", "/live/pages"):
        status, headers = post(second, path)
        assert (status, int(headers["Retry-After"]) > 0) == (503, True)
        assert post(first, path)[0] == 202


def test_a_request_to_a_standby_is_kept_and_run_when_it_leads(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    first = start(Quick)
    wait_until(lambda: leading(first), "a leader")
    second = start(Quick, leader={**MEMORY, "ttl": 3.0})  # it asks twice a second
    wait_until(lambda: state(second) == "standby", "a standby")
    second.system.request_resync("please")
    first.system.stop()
    assert second.expect(RunEnded).run.reason == "please"


def test_an_instance_that_loses_the_lead_aborts_its_run_and_may_lead_again(
    start: Callable[..., SandboxedSystem],
    server: memory.MemoryServer,
    script: Script,
    scripted: type[ResyncHandler],
) -> None:
    rig = start(scripted)
    wait_until(lambda: leading(rig), "a leader")
    rig.sandbox.request_resync("under-test")
    run = script.wait_until_at_work()
    rig.sandbox.wait_for(lambda: rig.statuses() == ["running"], WITHIN)
    somebody = object()
    server.give_to(somebody)
    assert rig.expect(RunEnded).status == "aborted"
    assert run.aborted
    wait_until(
        lambda: state(rig) == "standby" and listening(rig) is None, "a standby that does not listen"
    )
    assert rig.statuses() == ["running"]
    server.free(somebody)
    script.wait_until_at_work()
    script.let_finish()
    rig.sandbox.wait_for(
        lambda: rig.statuses() == ["running", "aborted", "running", "completed"], WITHIN
    )
    wait_until(lambda: probe(rig, "ready")[0] == 200, "readiness")


@pytest.mark.parametrize("kind", [POLLING, WEBHOOK], ids=lambda each: each["type"])
def test_an_answer_for_a_listener_that_the_loss_of_the_lead_stopped_is_dropped_silently(
    start: Callable[..., SandboxedSystem],
    sandbox: Sandbox,
    server: memory.MemoryServer,
    kind: dict[str, Any],
) -> None:
    name = kind["type"].lower()
    sandbox.fail("hang", path="-request$")
    rig = start(Quick, eventListener=kind)
    # the listener waits for Port's answer
    wait_until(lambda: leading(rig) and not sandbox.faults, "a leader that listens")
    server.give_to(object())
    wait_until(lambda: state(rig) == "standby", "a standby")
    wait_idle(rig.system._actors, 30, parked=name)  # it has been told to stop
    sandbox.release()
    wait_until(
        lambda: name not in {each["name"] for each in rig.system.status()["actors"]},
        "the end of its listener",
    )
    assert rig.system.status()["deadLetters"] == {}


def test_its_state_is_shown_before_the_campaign_has_begun(
    start: Callable[..., SandboxedSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_start = LeaderActor.on_start
    begin = threading.Event()

    def wait_and_start(actor: LeaderActor) -> None:
        assert begin.wait(WITHIN)
        on_start(actor)

    monkeypatch.setattr(LeaderActor, "on_start", wait_and_start)
    rig = start(Quick)
    early = rig.system.status()["leader"]
    begin.set()
    wait_until(lambda: leading(rig), "a leader")
    assert (early["engine"], early["state"], early["error"]) == ("MEMORY", "campaigning", None)
    assert early.keys() == rig.system.status()["leader"].keys()


def test_an_instance_that_leads_before_its_start_is_over_registers_once(
    start: Callable[..., SandboxedSystem], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn_leader = Assembly._spawn_leader

    def is_told() -> bool:
        return any(call.path.endswith("/resync-request") for call in sandbox.calls)

    def spawn_and_wait(assembly: Assembly) -> None:
        spawn_leader(assembly)
        wait_until(is_told, "a listener that was told of the registration")

    monkeypatch.setattr(Assembly, "_spawn_leader", spawn_and_wait)
    rig = start(Quick, eventListener=WEBHOOK)
    rig.expect(IntegrationRegistered)
    wait_idle(rig.system._actors, 30)
    with pytest.raises(AssertionError, match="no IntegrationRegistered within 0 s"):
        rig.expect(IntegrationRegistered, within=0)


def test_without_an_engine_it_leads_until_its_lease_ends(
    sandbox: Sandbox, server: memory.MemoryServer, script: Script, scripted: type[ResyncHandler]
) -> None:
    clock = ManualClock()
    settings: dict[str, Any] = {"leader": MEMORY, "eventListener": {"type": "POLLING"}}
    with SandboxedSystem([scripted], sandbox=sandbox, clock=clock, **settings) as rig:
        run = script.wait_until_at_work()
        server.away = True
        advance_until(clock, lambda: rig.system.status()["leader"]["error"] is not None)
        leader = rig.system.status()["leader"]
        assert (leader["state"], leader["error"]) == ("leading", "nobody answers at 127.0.0.1")
        assert not run.aborted
        advance_until(clock, lambda: run.aborted)
        assert rig.expect(RunEnded).status == "aborted"
        advance_until(clock, lambda: state(rig) == "standby")
        assert rig.system.status()["leader"]["error"] == "nobody answers at 127.0.0.1"
        server.away = False
        advance_until(clock, lambda: state(rig) == "leading")
        again = script.wait_until_at_work()
        assert again.id != run.id
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"


def advance_until(clock: ManualClock, condition: Callable[[], bool]) -> None:
    """Let time pass until it is so. The threads need real time, too."""

    def so() -> bool:
        if condition():
            return True
        clock.advance(0.5)
        return False

    wait_until(so, "what time brings")


def test_once_fails_when_the_engine_gives_no_answer_for_the_start_timeout(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    server.away = True
    rig = start(Quick, eventListener={"type": "ONCE"}, startTimeout=0.1)
    assert rig.system.wait(WITHIN)
    assert rig.system.exit_code == 1
    assert rig.system.cause == (
        "MEMORY: no election was held for 0.1 s (startTimeout): nobody answers at 127.0.0.1"
    )


def test_credentials_that_port_refuses_end_it_at_once(
    start: Callable[..., SandboxedSystem], sandbox: Sandbox
) -> None:
    sandbox.configure(refuse_credentials=True)
    rig = start(Quick)
    assert rig.system.wait(WITHIN)
    assert rig.system.exit_code == 1
    assert rig.system.cause is not None
    assert "401" in rig.system.cause


def test_a_bug_of_an_engine_restarts_the_actor_which_campaigns_again(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    server.bug = ZeroDivisionError("a bug")
    rig = start(Quick)
    wait_until(lambda: leading(rig), "a leader")
    actors = {actor["name"]: actor for actor in rig.system.status()["actors"]}
    assert actors["leader"]["restarts"] == 1


def test_an_engine_that_cannot_be_interrupted_is_left_behind(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    server.answers.clear()
    rig = start(Quick)
    assert server.asked.wait(WITHIN)
    try:
        rig.system.stop()
        assert rig.system.left_behind == ["leader"]  # so the process is ended despite the thread
    finally:
        server.answers.set()


def test_with_an_engine_that_has_no_election_an_instance_leads(
    start: Callable[..., SandboxedSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = LeaderSpec("MEMORY", memory.MemorySettings, None)
    monkeypatch.setattr(memory, "SPEC", alone)
    rig = start(Quick)
    wait_until(lambda: probe(rig, "ready")[0] == 200, "readiness")
    assert rig.system.status()["leader"] is None


def test_the_command_line_shows_who_leads(
    start: Callable[..., SandboxedSystem], server: memory.MemoryServer
) -> None:
    rig = start(Quick)
    wait_until(lambda: leading(rig), "a leader")
    status = rig.system.status()
    (line,) = [line for line in report(status) if line.startswith("leader")]
    assert re.fullmatch(r"leader     leading for \d+\.\d s \(MEMORY\)", line)
    status["leader"]["error"] = "nobody answers"
    assert any(line.endswith("(MEMORY): nobody answers") for line in report(status))


def test_under_kafka_the_consumer_group_decides_and_a_note_says_so(
    start: Callable[..., SandboxedSystem], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    nowhere = {"type": "KAFKA", "brokers": "127.0.0.1:9", "kafkaSecurityEnabled": False}
    rig = start(Quick, eventListener=nowhere)
    assert rig.system.status()["leader"] is None
    assert "leader.type MEMORY is not used: under KAFKA" in caplog.text


def settings(**leader: Any) -> Settings:
    port = {"clientId": "id", "clientSecret": "secret"}
    return Settings.from_dict({"port": port, "leader": leader}, {})


def test_the_settings_are_checked_like_those_of_listeners() -> None:
    with pytest.raises(SettingsError) as error:
        settings(type="REDIS")
    known = ", ".join(plugins.known(plugins.LEADERS))
    assert str(error.value) == f"leader.type: expected one of {known}, got 'REDIS'"
    assert known.startswith("NONE, POSTGRES")
    assert known.endswith("MEMORY")
    with pytest.raises(SettingsError, match=r"^leader.dsn: missing; set it in the file or as"):
        settings(type="POSTGRES")
    with pytest.raises(SettingsError, match=r"^leader.ttl: expected 1 or more, got 0"):
        settings(type="POSTGRES", dsn="postgresql://me@host/db", ttl=0.5)
    with pytest.raises(SettingsError, match=r"^leader.ttll: unknown key; did you mean leader.ttl"):
        settings(type="POSTGRES", dsn="postgresql://me@host/db", ttll=5)


def test_an_unreadable_dsn_is_told_without_what_it_says() -> None:
    with pytest.raises(UsageError, match=r"^leader.dsn: expected postgresql://") as error:
        OceanSystem(settings(type="POSTGRES", dsn="hidden password"), [Quick])
    assert "hidden" not in str(error.value)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'ocean-actors\[postgres\]'"):
        OceanSystem(settings(type="POSTGRES", dsn="postgresql://me@host/db"), [Quick])


def test_check_tells_whether_the_settings_can_be_used(sandbox: Sandbox) -> None:
    def told(dsn: str, listener: str = "POLLING") -> list[str]:
        given = {
            "port": port_of(sandbox),
            "eventListener": {"type": listener},
            "leader": {"type": "POSTGRES", "dsn": dsn},
        }
        lines = check(Settings.from_dict(given, {}), "here")
        return [str(line) for line in lines if line.topic == "leader"]

    assert told("postgresql://me@host/db") == [
        "ok     leader       POSTGRES; this command does not connect to it"
    ]
    (line,) = told("hidden password")
    assert line.startswith("FAILED leader       leader.dsn: expected postgresql://")
    assert told("hidden password", "KAFKA") == []  # as `run` does not use it
