"""A run starts one round trip after Port is asked, and nothing else delays its handlers."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from typing import Any

import pytest
from scripted import Quick, Script

from ocean_actors import (
    Actor,
    IntegrationRegistered,
    OceanSystem,
    ResyncHandler,
    RunEnded,
    RunStarted,
    Settings,
)
from ocean_actors.port.background import in_background
from ocean_actors.port.errors import PortError
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import port_of

CALM = {"type": "POLLING", "interval": 3600}
WITHIN = 30.0


def hanging(rig: SandboxedSystem) -> set[str]:
    """Returns the last parts of the paths of the calls that Port has not answered."""
    return {call.path.rpartition("/")[2] for call in rig.sandbox.calls if call.status is None}


def answered(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Returns the method and the last part of the path of each call that Port has answered."""
    return [
        (call.method, call.path.rpartition("/")[2])
        for call in sandbox.calls
        if call.status is not None
    ]


def test_the_two_questions_before_a_run_are_asked_at_the_same_time() -> None:
    with SandboxedSystem([Quick], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "completed"])
        for path in (f"/{rig.identifier}$", "/resync-request$"):
            rig.sandbox.fail("hang", method="GET", path=path)
        rig.system.request_resync()
        rig.sandbox.wait_for(
            lambda: hanging(rig) == {rig.identifier, "resync-request"}, WITHIN
        )  # the second comes although the first has no answer
        rig.sandbox.release()
        assert rig.expect(RunEnded).status == "completed"


def test_the_access_token_is_fetched_while_the_rest_starts() -> None:
    with Sandbox() as sandbox:

        class Patient(Actor):
            """Is made once Port has given the access token, before anything needs it."""

            def __init__(self) -> None:
                super().__init__()
                sandbox.wait_for(lambda: answered(sandbox) == [("POST", "access_token")], WITHIN)

        with SandboxedSystem([Quick], [Patient], sandbox=sandbox, eventListener=CALM) as rig:
            rig.expect(RunEnded)
            assert answered(sandbox).count(("POST", "access_token")) == 1


def test_a_start_that_fails_ends_the_call_for_the_access_token() -> None:
    class Unwilling(Actor):
        """Cannot be made, and fails once Port was asked for the access token."""

        def __init__(self) -> None:
            sandbox.wait_for(lambda: sandbox.calls, WITHIN)
            assert any(thread.name == "integration" for thread in threading.enumerate())
            raise ValueError("unwilling")

    with Sandbox() as sandbox:
        sandbox.fail("hang", path="/auth/access_token$")
        with (
            pytest.raises(ValueError, match="unwilling"),
            SandboxedSystem([Quick], [Unwilling], sandbox=sandbox, eventListener=CALM),
        ):
            raise AssertionError("it started")
        assert [
            thread.name for thread in threading.enumerate() if "integration" in thread.name
        ] == []
        assert [call.path for call in sandbox.calls] == ["/v1/auth/access_token"]


def test_an_access_token_that_port_refuses_is_asked_for_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", status=401, path="/auth/access_token$")
        with SandboxedSystem([Quick], sandbox=sandbox, eventListener=CALM) as rig:
            assert rig.system.wait(WITHIN)
        assert answered(sandbox) == [("POST", "access_token")]
    assert caplog.text.count("check port.clientId and port.clientSecret") == 1


def test_an_answer_that_failed_at_the_start_is_not_kept() -> None:
    def errors() -> set[int]:
        return {id(each) for each in gc.get_objects() if issubclass(type(each), PortError)}

    gc.collect()
    before = errors()
    gc.disable()
    logging.disable(logging.CRITICAL)  # pytest keeps records, and so their errors
    try:
        with Sandbox() as sandbox:
            sandbox.fail("status", status=503, path="/auth/access_token$")
            with SandboxedSystem([Quick], sandbox=sandbox, eventListener=CALM) as rig:
                rig.expect(RunEnded)
                assert errors() <= before
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def test_a_name_that_exists_only_once_all_have_started_does_not_end_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = threading.Event()
    exists = threading.Event()
    look_up = socket.getaddrinfo

    def answer(host: Any, *args: Any, **keywords: Any) -> Any:
        if host == "port.example" and not exists.is_set():
            looked_up.set()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up("127.0.0.1" if host == "port.example" else host, *args, **keywords)

    class Tunnel(Actor):
        def __init__(self) -> None:
            super().__init__()
            assert looked_up.wait(WITHIN)
            exists.set()

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with Sandbox() as sandbox:
        values = {
            "port": {**port_of(sandbox), "baseUrl": f"http://port.example:{sandbox.port}"},
            "integration": {"identifier": "under-test"},
            "eventListener": {"type": "ONCE"},
        }
        with OceanSystem(
            Settings.from_dict(values, {}), [Quick], [Tunnel], serve_http=False
        ) as system:
            assert system.wait(WITHIN)
        assert (system.exit_code, system.cause) == (0, None)
        assert sandbox.statuses("under-test") == ["running", "completed"]


def test_a_resync_request_that_port_does_not_tell_delays_no_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with SandboxedSystem([Quick], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        rig.sandbox.fail("status", status=500, path="/resync-request$")
        rig.system.request_resync()
        assert rig.expect(RunStarted).run.answers is None
        assert "may be served once more" in caplog.text


def test_the_report_of_a_run_delays_no_handler(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], eventListener={**CALM, "resyncOnStart": False}) as rig:
        rig.expect(IntegrationRegistered)
        wait_idle(rig.system._actors, WITHIN)
        rig.sandbox.fail("hang", method="PATCH", path="/resync-state$")
        rig.system.request_resync()
        script.wait_until_at_work()
        rig.sandbox.wait_for(lambda: hanging(rig) == {"resync-state"}, WITHIN)
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        assert rig.statuses() == [], "Port has not answered the report of the start yet"
        rig.sandbox.release()
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "completed"], WITHIN)


def test_a_call_in_the_background_gives_its_result_or_what_it_raised() -> None:
    assert in_background(lambda: threading.current_thread().name)() == "port-call"

    def fail() -> None:
        raise SystemExit("over")

    with pytest.raises(SystemExit, match="over"):
        in_background(fail)()


def test_without_a_thread_the_call_is_made_by_whoever_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    result = in_background(threading.current_thread)
    assert result() is threading.current_thread()
