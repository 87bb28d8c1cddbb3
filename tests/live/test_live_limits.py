"""What live handlers cannot do to the system: standby, hung threads, garbage, misuse."""

from __future__ import annotations

import functools
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from rig import Hooked, Nothing, counts, hooked, post, serving, tell, wait_for_counts
from tracker import signature_of
from waiting import wait_until

from ocean_actors import (
    Actor,
    Live,
    LiveCall,
    LiveEventFailed,
    LiveHandler,
    Message,
    OceanSystem,
    Settings,
    handles,
)
from ocean_actors.actors import Backoff
from ocean_actors.live.flood import CALLS, SECONDS, Flood
from ocean_actors.live.handler import LiveHandlerError, built_handlers
from ocean_actors.live.router import LOOK_SECONDS
from ocean_actors.messages import RoleChanged
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

QUICK = Backoff(initial=0.01, maximum=0.02)


def nothing(call: LiveCall, live: Live) -> None:
    """Does nothing."""


# -- standby ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TakeRole(Message):
    active: bool


class Chooser(Actor):
    """Has the instance become active or stand by."""

    subscribes_to = (TakeRole,)

    @handles(TakeRole)
    def on_take_role(self, command: TakeRole) -> None:
        self.context.set_role(active=command.active)


def test_on_standby_calls_are_refused_so_that_they_are_made_again_at_the_leader() -> None:
    settings: dict[str, Any] = {
        "http": {"host": "127.0.0.1", "port": 0},
        "integration": {"identifier": "under-test"},
    }
    with SandboxedSystem([Nothing, hooked(nothing)], [Chooser], **settings) as rig:
        assert tell(rig, "A")[0] == 202
        for active, status in ((False, 503), (True, 202)):
            rig.system._actors.events.publish(TakeRole(active))
            while rig.expect(RoleChanged).active is not active:
                pass  # the role at the start is told, too
            wait_idle(rig.system._actors)
            found, answer = tell(rig, "A")
            assert found == status
            assert ("retry-after" in answer["headers"]) is (status == 503)


def test_an_instance_that_begins_on_standby_refuses_calls() -> None:
    kafka = {"type": "KAFKA", "brokers": "127.0.0.1:1", "kafkaSecurityEnabled": False}
    with serving(hooked(nothing), eventListener=kafka) as rig:
        status, answer = tell(rig, "A")
        assert (status, answer["headers"]["retry-after"]) == (503, "1")
        assert counts(rig)["accepted"] == 0


# -- hung handlers ---------------------------------------------------------------------------------


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def advanced(rig: SandboxedSystem, clock: ManualClock, seconds: float) -> None:
    actors = rig.system._actors
    clock.advance(seconds, settle=lambda: wait_idle(actors, parked="live-tracker-*"))


def test_a_thread_that_hangs_is_left_behind_and_its_key_goes_on(go: threading.Event) -> None:
    clock = ManualClock()
    begun = threading.Semaphore(0)

    def work(call: LiveCall, live: Live) -> None:
        if call.json().get("hangs"):
            begun.release()
            go.wait(60)

    with serving(hooked(work, workers=1, timeout=10.0), clock=clock) as rig:
        tell(rig, "A", hangs=True)
        tell(rig, "A")
        assert begun.acquire(timeout=30)
        advanced(rig, clock, 15.0)
        event = rig.expect(LiveEventFailed)
        assert "its thread is left behind" in event.failure
        assert event.attempts == 1
        wait_idle(rig.system._actors, parked="live-tracker-*")
        assert counts(rig)["handled"] == 1
        assert rig.system.status()["leftBehind"] == ["live-tracker-1"]
        go.set()


def test_a_path_whose_threads_all_hang_waits_for_one_and_refuses_what_is_too_much(
    go: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    begun = threading.Semaphore(0)

    def work(call: LiveCall, live: Live) -> None:
        begun.release()
        go.wait(60)

    with serving(hooked(work, workers=8, timeout=10.0, capacity=9), clock=clock) as rig:
        for number in range(8):
            tell(rig, f"A{number}")
            assert begun.acquire(timeout=30)
            clock.advance(1.0)  # slower than a flood
        advanced(rig, clock, 15.0)
        for _ in range(8):
            rig.expect(LiveEventFailed)
        tell(rig, "B")
        wait_idle(rig.system._actors, parked="live-tracker-*")
        assert not begun.acquire(blocking=False)
        assert counts(rig)["queued"] == 1
        assert "hangs in 8 threads: no event of tracker is handled until one ends" in caplog.text
        go.set()
        assert begun.acquire(timeout=30)


def test_an_attempt_that_obeys_the_end_of_its_time_is_tried_again() -> None:
    clock = ManualClock()
    begun = threading.Semaphore(0)

    def work(call: LiveCall, live: Live) -> None:
        begun.release()
        live.token.sleep(60.0, clock)

    with serving(hooked(work, timeout=10.0, attempts=2, backoff=QUICK), clock=clock) as rig:
        tell(rig, "A")
        for _ in range(2):
            assert begun.acquire(timeout=30)
            advanced(rig, clock, 10.0)
            advanced(rig, clock, 1.0)
        event = rig.expect(LiveEventFailed)
        assert (event.attempts, event.failure) == (2, "it took longer than 10 s")


# -- floods ----------------------------------------------------------------------------------------


def test_a_flood_is_many_calls_in_a_short_time() -> None:
    flood = Flood()
    for number in range(CALLS):
        assert not flood.lasts(1.0)
        flood.arrived(1.0 + number * SECONDS / 100)
    assert flood.lasts(1.0 + SECONDS / 2)
    assert not flood.lasts(1.0 + SECONDS)


def test_during_a_flood_the_router_looks_and_is_not_told_of_each_call() -> None:
    clock, go_on = ManualClock(), threading.Event()

    def work(_call: LiveCall, _live: Live) -> None:
        go_on.wait(30)

    with serving(hooked(work), clock=clock) as rig:

        def handled() -> int:
            wait_idle(rig.system._actors, 30, parked="live-tracker-*")
            actors = {each["name"]: each["handled"] for each in rig.system._actors.snapshot()}
            return int(actors["live-tracker"])

        for number in range(CALLS + 1):  # the last begins the flood: its end is far away
            assert tell(rig, str(number))[0] == 202
            before = handled()
        for number in range(50):
            assert tell(rig, f"more-{number}")[0] == 202
        assert handled() == before
        clock.advance(LOOK_SECONDS)
        assert handled() == before + 1
        go_on.set()
        wait_for_counts(rig, handled=CALLS + 51)


def test_in_a_flood_one_event_is_handled_at_a_time_and_then_all(go: threading.Event) -> None:
    clock = ManualClock()

    def work(call: LiveCall, live: Live) -> None:
        go.wait(60)

    with serving(hooked(work, workers=4), clock=clock) as rig:
        for _ in range(CALLS):  # within no time at all, and in order
            tell(rig, "A")
        for name in "BCD":
            tell(rig, name)
        wait_idle(rig.system._actors, parked="live-tracker-*")
        assert counts(rig)["running"] == 1
        advanced(rig, clock, SECONDS)
        assert counts(rig)["running"] == 4
        go.set()


# -- garbage ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_rig() -> Iterator[SandboxedSystem]:
    def work(call: LiveCall, live: Live) -> None:
        item = call.json()
        live.port.upsert("issue", [item])
        live.port.delete("issue", [item["id"]])

    with serving(hooked(work, attempts=1), http={"port": 0, "maxBodyBytes": 2000}) as rig:
        yield rig


@pytest.fixture
def quiet() -> Iterator[None]:
    logger = logging.getLogger("ocean_actors")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@pytest.mark.usefixtures("quiet")
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=2200), header=HEADER, signed=st.booleans())
def test_no_body_and_no_header_costs_more_than_its_call(
    open_rig: SandboxedSystem, body: bytes, header: str, signed: bool
) -> None:
    signature = signature_of(body) if signed else header
    status, _ = post(open_rig, "/live/tracker", body, **{"X-Tracker-Signature": signature})
    wanted = {202, 400, 500} if signed else {401}
    assert status in (wanted if len(body) <= 2000 else {413})


ODD: list[Any] = [
    None, True, 0, -1.5, 2**70, "", "A", "a/b\0\n", "\u2028", "x" * 1500, [], [None], ["A", ["B"]],
    {}, {"": None}, {"title": "A"}, {"project": "A"}, {"project": ["A", None, 7]},
    {"combinator": "and", "rules": []}, {"combinator": {}, "rules": [{"property": []}]},
]  # fmt: skip


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("field", ["identifier", "title", "properties", "relations"])
def test_no_value_that_reaches_handle_ends_more_than_its_event(
    open_rig: SandboxedSystem, field: str
) -> None:
    for value in ODD:
        assert tell(open_rig, "A", **{"identifier": "A", field: value})[0] == 202
    assert open_rig.system.exit_code == 0


def test_after_all_that_garbage_events_are_handled(open_rig: SandboxedSystem) -> None:
    handled = counts(open_rig)["handled"]
    tell(open_rig, "last", identifier="last")
    open_rig.sandbox.wait_for(
        lambda: any(call.raw and b'"last"' in call.raw for call in open_rig.sandbox.calls), 30
    )
    wait_until(lambda: counts(open_rig)["handled"] > handled, "an event that is handled")


# -- misuse ----------------------------------------------------------------------------------------


def refused(*factories: Callable[[], LiveHandler]) -> str:
    with pytest.raises(LiveHandlerError) as caught:
        built_handlers(factories)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Fussy(Hooked):
    def __init__(self, secret: str) -> None:
        self.secret = secret


class Broken(Hooked):
    def __init__(self) -> None:
        raise ValueError("no\nway")


class Eager(Backoff):
    """Has a delay of its own."""

    def delay(self, failures: int, jitter: float) -> float:
        raise OSError


def test_a_path_that_two_handlers_have_is_refused() -> None:
    other = type("Other", (Hooked,), {})
    assert refused(Hooked, other) == "handlers: Hooked and Other have the same path 'tracker'"


@pytest.mark.parametrize("path", ["", "/x", "x/", "a//b", "a b", "../x", "a/..", "ü", None, 7])
def test_a_path_that_no_call_could_have_is_refused(path: Any) -> None:
    assert refused(hooked(nothing, path=path)).startswith("handlers: Hooked.path: expected letters")


@pytest.mark.parametrize(
    "attributes",
    [
        {"capacity": 0},
        {"workers": "4"},
        {"attempts": True},
        {"backoff": 1},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"backoff": Eager()},
    ],
)
def test_an_attribute_that_cannot_be_used_is_refused(attributes: dict[str, Any]) -> None:
    (name,) = attributes
    assert refused(hooked(nothing, **attributes)).startswith(f"handlers: Hooked.{name}: expected")


class OddText(str):
    """A text that no dictionary takes."""

    __slots__ = ()
    __hash__: Any = None


class OddNumber(int):
    """A number that cannot be compared."""

    def __lt__(self, _other: int) -> bool:
        raise OSError

    __le__ = __gt__ = __ge__ = __lt__


def test_attributes_become_plain_values() -> None:
    (spec,) = built_handlers(
        [hooked(nothing, path=OddText("tracker"), workers=OddNumber(2), timeout=OddNumber(3))]
    )
    found = (spec.path, spec.workers, spec.timeout)
    assert found == ("tracker", 2, 3.0)
    assert [type(each) for each in found] == [str, int, float]


def test_a_handler_that_cannot_be_built_is_named_with_the_cause() -> None:
    assert refused(Broken) == "handlers: Broken cannot be built: ValueError: no way"
    fussy: Any = Fussy
    assert "missing 1 required positional argument: 'secret'" in refused(fussy)


def test_a_handle_that_yields_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Yielding\.handle yields: hand entities to live\.port"):

        class Yielding(Hooked):
            def handle(self, call: LiveCall, live: Live) -> Any:
                yield {}


def test_a_partial_of_a_live_handler_keeps_its_arguments() -> None:
    (built,) = built_handlers([functools.partial(Fussy, "s")])
    assert isinstance(built.handler, Fussy)
    assert built.handler.secret == "s"


def test_live_handlers_alone_make_no_system() -> None:
    port = {"clientId": "a", "clientSecret": "b"}
    with pytest.raises(ValueError, match="expected at least one ResyncHandler"):
        OceanSystem(Settings.from_dict({"port": port}, {}), [Hooked])


# -- the command line ------------------------------------------------------------------------------

HANDLERS = """
from ocean_actors import LiveHandler, ResyncHandler

class Work(ResyncHandler):
    def resync(self, run): ...

class Changed(LiveHandler):
    path = "tracker"
    def handle(self, call, live): ...

class Again(Changed): ...
"""


def run(folder: Path, *names: str, port: int = 0) -> tuple[int, str]:
    (folder / "work.py").write_text(HANDLERS)
    (folder / "config.yaml").write_text(
        "port: {clientId: a, clientSecret: b, baseUrl: 'http://127.0.0.1:9'}\n"
        f"http: {{host: 127.0.0.1, port: {port}}}\ncontrol: {{enabled: false}}\n"
    )
    handlers = [word for name in names for word in ("--handler", f"work.py:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "ocean_actors", "run", "config.yaml", *handlers],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_the_command_line_refuses_what_cannot_be_used_in_one_line(tmp_path: Path) -> None:
    code, text = run(tmp_path, "Work", "Changed", "Again")
    assert (code, text.count("\n")) == (2, 1)
    assert "Again and Changed have the same path 'tracker'" in text
    code, text = run(tmp_path, "Changed")
    assert (code, text.count("\n")) == (2, 1)
    assert "expected at least one ResyncHandler" in text


def test_a_port_in_use_ends_an_integration_with_live_handlers(tmp_path: Path) -> None:
    with serving(hooked(nothing)) as rig:
        taken = int(str(rig.system.http_url).rpartition(":")[2])
        code, text = run(tmp_path, "Work", "Changed", port=taken)
    assert code == 1
    assert f"{taken}" in text.splitlines()[-1]


def test_live_routes_are_there_when_the_application_is_mounted_elsewhere() -> None:
    answers: list[str] = []
    with SandboxedSystem([Nothing, hooked(nothing)], http={"port": 0}) as rig:
        body = b'{"id": "A"}'
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/live/tracker", "REMOTE_ADDR": "::1",
            "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
            "HTTP_X_TRACKER_SIGNATURE": signature_of(body),
        }  # fmt: skip
        rig.system.wsgi_app(environ, lambda status, *_: answers.append(status))
    assert answers == ["202 Accepted"]


def test_live_handlers_have_http_served_by_default() -> None:
    with SandboxedSystem([Nothing]) as rig:
        assert rig.system.http_url is None
    settings = Settings.from_dict({"port": {"clientId": "a", "clientSecret": "b"}}, {})
    system = OceanSystem(settings, [Nothing, hooked(nothing)])
    assert system._servers._http is not None
    system.stop()
