"""What users' classes declare, raise and return costs a run at most, and is shown as plain data."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import logging
import pickle
import struct
import threading
from abc import ABCMeta
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, cast
from unittest.mock import ANY
from zoneinfo import ZoneInfo

import pytest
from coordinator_rig import WITHIN, CoordinatorRig, handler, opened_rigs
from simulation import NOON, asked

from ocean_actors import (
    HandlerEnded,
    IntegrationRegistered,
    Message,
    OceanSystem,
    PortError,
    ReconcileRefused,
    RequestSettled,
    ResyncAborted,
    ResyncHandler,
    ResyncRun,
    RetryLater,
    RunEnded,
    RunInfo,
    RunProgressed,
    RunStarted,
    Settings,
    handles,
)
from ocean_actors.actors import Actor, MailboxPolicy
from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.messages import ResyncRequested, Written
from ocean_actors.resync.handlers import named_handlers
from ocean_actors.testing import Probe

rigs = pytest.fixture(opened_rigs)


NOTHING: Any = None
ODD: Any = "odd"


class Plain(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        pass


def outcome(rig: CoordinatorRig, number: int = 1) -> RunEnded:
    """The end of a run of that rig."""
    rig.do(asked("test", number))
    rig.answer()
    return rig.stream.expect(RunEnded, WITHIN)


# -- handlers --------------------------------------------------------------------------------------


class NeedsUrl(ResyncHandler):
    kinds = ("page",)

    def __init__(self, url: str) -> None:
        self.url = url

    def resync(self, run: ResyncRun) -> None:
        pass


class Abstract(ResyncHandler):
    pass


async def coroutine() -> Plain:
    return Plain()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Plain(), "expected the class Plain, not an object of it"),
        ("handlers.py:Plain", "expected ResyncHandler classes, got handlers.py:Plain"),
        (None, "expected ResyncHandler classes, got None"),
        (Abstract, "Abstract is abstract: it has no method resync"),
        (NeedsUrl, "NeedsUrl is built without arguments, but: missing a required argument: 'url'"),
        (functools.partial(cast("Any", NeedsUrl), "a", "b"), "too many positional arguments"),
        (functools.partial(cast("Any", Abstract)), "Abstract is abstract"),
        (int, "int is not a subclass of ResyncHandler"),
        (coroutine, "expected ResyncHandler classes"),
        (lambda url: NeedsUrl(url), "is built without arguments"),
    ],
)
def test_what_cannot_be_built_is_refused_when_the_system_is_made(given: Any, said: str) -> None:
    settings = Settings.from_dict({"port": {"clientId": "i", "clientSecret": "s"}}, {})
    with pytest.raises(TypeError, match=r"^handlers: ") as caught:
        OceanSystem(settings, [given])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_handlers_have_to_be_a_list_that_is_not_empty() -> None:
    with pytest.raises(ValueError, match="at least one"):
        named_handlers([])
    with pytest.raises(TypeError, match="expected a list"):
        named_handlers(cast("Any", "handlers.py:Plain"))


def test_a_partial_is_named_like_its_class_and_keeps_its_kinds() -> None:
    named = named_handlers([functools.partial(NeedsUrl, "a"), functools.partial(NeedsUrl, url="b")])
    assert list(named) == ["NeedsUrl", "NeedsUrl-2"]
    assert [spec.kinds for spec in named.values()] == [("page",), ("page",)]
    built = named["NeedsUrl-2"].build()
    assert isinstance(built, NeedsUrl)
    assert built.url == "b"


class Raising(ABCMeta):
    @property
    def kinds(cls) -> None:
        raise RuntimeError("no kinds today")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("not printable")


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        (("a", "b"), ["a", "b"]),
        ("repository", ["repository"]),
        (None, []),
        (property(lambda _self: ("repository",)), []),
        (7, []),
        ((1, b"x", Unprintable()), ["1", "b'x'", "(its __str__ raised RuntimeError)"]),
    ],
)
def test_kinds_of_any_type_are_shown_as_texts(kinds: Any, shown: Any) -> None:
    odd = type("Odd", (Plain,), {"kinds": kinds})
    assert list(named_handlers([odd])["Odd"].kinds) == shown


def test_kinds_that_raise_are_shown_as_none(caplog: pytest.LogCaptureFixture) -> None:
    odd = Raising("Odd", (ResyncHandler,), {"resync": Plain.resync})
    assert named_handlers([odd])["Odd"].kinds == ()
    assert "handler Odd: kinds cannot be read" in caplog.text


def test_a_factory_that_makes_something_else_fails_the_run(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    def Factory() -> Any:  # noqa: N802
        return object()

    (failure,) = outcome(rigs(Factory)).failures
    assert "built as a object, which is not a ResyncHandler" in failure


async def no_pages() -> AsyncIterator[Any]:
    yield []


@pytest.mark.parametrize(
    "returned",
    [[1], (), {"identifier": "a"}, iter([]), (n for n in [0]), map(str, []), no_pages()],
    ids=["list", "tuple", "dict", "iterator", "generator", "map", "async generator"],
)
@pytest.mark.parametrize("way", ["def", "async def"])
def test_a_resync_that_returns_what_it_should_have_sent_has_failed(
    rigs: Callable[..., CoordinatorRig], returned: Any, way: str
) -> None:
    async def later(_run: ResyncRun) -> Any:
        return returned

    work = later if way == "async def" else lambda _run: returned
    ended = outcome(rigs(handler(work)))
    assert ended.status == "failed"
    assert f"resync returned a {type(returned).__name__}, which is not used" in ended.failures[0]


@pytest.mark.parametrize("returned", [None, 0, "done", Message()])
def test_a_resync_may_return_what_is_no_collection(
    rigs: Callable[..., CoordinatorRig], returned: Any
) -> None:
    assert outcome(rigs(handler(lambda _run: returned))).status == "completed"


def test_a_session_that_cannot_be_closed_fails_the_run_and_no_more(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    def work(run: ResyncRun) -> None:
        def broken() -> None:
            raise OSError("close failed")

        run.session.close = broken  # type: ignore[method-assign]  # as users do

    rig = rigs(handler(work))
    assert outcome(rig).failures == ("Working: OSError: close failed",)
    assert outcome(rig, 2).status == "failed"


# -- exceptions ------------------------------------------------------------------------------------


class WithoutInit(RetryLater):
    def __init__(self, answer: Any) -> None:
        Exception.__init__(self, f"rate limited: {answer}")


class Soon(RetryLater):
    def __init__(self, seconds: float) -> None:
        super().__init__(1.0, "rate limited")
        self.seconds = seconds


class Never(RetryLater):
    @property
    def seconds(self) -> float:
        raise RuntimeError("who knows")

    @seconds.setter
    def seconds(self, value: float) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (lambda: WithoutInit(429), "WithoutInit: rate limited: 429"),
        (lambda: Soon(float("nan")), "Soon: rate limited"),
        (lambda: Soon(cast("Any", "soon")), "Soon: rate limited"),
        (lambda: Soon(-1), "Soon: rate limited"),
        (lambda: Never(1, "rate limited"), "Never: rate limited"),
        (
            lambda: RetryLater(cast("Any", "soon")),
            "ValueError: seconds: expected a number, 0 or more, got soon",
        ),
        (lambda: RetryLater(10**400), "ValueError: seconds: expected a number, 0 or more"),
    ],
)
def test_a_wish_that_cannot_be_read_is_a_failure_with_its_reason(
    rigs: Callable[..., CoordinatorRig], error: Any, reason: str
) -> None:
    def work(_run: ResyncRun) -> None:
        raise error()

    rig = rigs(handler(work))
    ended = outcome(rig)
    assert ended.status == "failed"
    assert ended.failures[0].startswith(f"Working: {reason}")
    assert rig.status()["state"] == "idle"


@pytest.mark.parametrize(
    "error",
    [
        RetryLater(30, "rate limited"),
        RetryLater(30),
        PortError("no", status=503, temporary=True, asked_wait=3.0),
        ReconcileRefused("no"),
        ResyncAborted("superseded"),
    ],
)
def test_public_exceptions_survive_a_process_pool(error: Any) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    "error", [PortError("Port says no"), ReconcileRefused("too many"), RetryLater(5, "limited")]
)
def test_an_expected_failure_is_one_line_of_the_log(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture, error: Any
) -> None:
    def work(_run: ResyncRun) -> None:
        raise error

    outcome(rigs(handler(work)))
    ours = [item for item in caplog.records if item.name == "ocean_actors.resync.handler_actor"]
    assert len(ours) == 1
    assert ours[0].exc_info is None
    assert "run-1" in ours[0].getMessage()


# -- progress, reasons, status ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((float("nan"), float("inf"), b"page"), (0, None, "b'page'")),
        (("many", [], Unprintable()), (0, None, "(its __str__ raised RuntimeError)")),
        ((2**80, 1.5, "two\nlines\x1b[2J"), (2**63 - 1, 1.5, "two lines [2J")),
        ((10**5000, True, None), (2**63 - 1, 1, None)),
    ],
)
def test_status_is_json_whatever_the_progress(
    rigs: Callable[..., CoordinatorRig], values: Any, shown: Any
) -> None:
    held = threading.Event()

    def work(run: ResyncRun) -> None:
        run.progress(*values)
        held.wait(WITHIN)

    rig = rigs(handler(work))
    heard = Probe(rig.system, name="heard").subscribe(RunProgressed)
    rig.coordinator.ask(asked("test", 1).request)
    rig.answer()
    progress = heard.expect(RunProgressed, WITHIN).progress
    status = json.loads(json.dumps(rig.status(), allow_nan=False))
    held.set()
    assert (progress.done, progress.total, progress.message) == shown
    assert status["run"]["progress"]["Working"] == {
        **dict(zip(("done", "total", "message"), shown, strict=True)),
        "rate": None,
        "secondsLeft": None,
    }


def test_a_reason_that_cannot_be_printed_is_one_line_before_it_reaches_an_actor(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    rig = rigs(Plain)
    request = ResyncRequested(
        reason=cast("Any", Unprintable()),
        trigger="a\nb",
        requested_at=asked("a", 1).request.requested_at,
    )
    assert request.trigger == "a b"
    rig.coordinator.ask(request)
    rig.answer()
    assert rig.stream.expect(RunEnded).run.reason == "(its __str__ raised RuntimeError)"


def test_an_unknown_policy_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="policy: expected one of abort, drop, queue, ignore"):
        asked("a", 1, cast("Any", "later"))
    with pytest.raises(ValueError, match="policy: expected one of abort, drop, queue, ignore"):
        asked("a", 1, cast("Any", ANY))  # equals everything


class OddText(str):
    """A text that equals everything, and that no dictionary takes."""

    __slots__ = ()

    def __eq__(self, _other: object) -> bool:
        return True

    def __hash__(self) -> int:
        raise OSError("no hash")


def test_a_policy_of_an_odd_class_is_the_text_that_it_holds(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    rig = rigs(Plain)
    request = asked("a", 1, cast("Any", OddText("queue"))).request
    assert rig.coordinator.ask(request) == "accepted"
    rig.answer()
    assert rig.stream.expect(RunEnded, WITHIN).status == "completed"
    assert type(request.policy) is str
    with pytest.raises(ValueError, match="policy: expected one of"):
        asked("a", 1, cast("Any", OddText("later")))


def test_kinds_and_parameters_of_odd_classes_are_the_texts_that_they_hold(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    rig = rigs(Plain)
    for reason in ("first", "second"):  # they are joined
        request = ResyncRequested(
            reason=reason,
            trigger="a",
            requested_at=NOON,
            kinds=(OddText("page"), OddText("page")),
            parameters=cast("Any", {"since": OddText("2026")}),
        )
        assert rig.coordinator.ask(request) == "accepted"
    rig.answer()
    rig.answer()  # once more, for the second request
    ended = rig.stream.expect(RunEnded, WITHIN)
    assert (ended.status, ended.run.parameters) == ("completed", {"since": "2026"})
    assert request.kinds == ("page",)
    assert type(request.kinds[0]) is str


class OddNumber(int):
    """A number that cannot be compared."""

    def __eq__(self, _other: object) -> bool:
        raise OSError("not comparable")

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (OddNumber(7), r"got 7 \(OddNumber\)"),
        ({"deep": [OddNumber(7)]}, r"got 7 \(OddNumber\)"),
        ({OddNumber(7): "as a key"}, r"got 7 \(OddNumber\)"),
        (Unprintable(), r"its __str__ raised RuntimeError\) \(Unprintable\)"),
        ({1, 2}, r"got {1, 2} \(set\)"),
    ],
)
def test_parameters_that_the_coordinator_could_not_compare_are_the_callers_error(
    value: object, shown: str
) -> None:
    for parameters in ({"a": value}, freeze({"a": value})):
        with pytest.raises(TypeError, match=f"^parameters: expected JSON-like data.*{shown}$"):
            ResyncRequested(
                reason="r", trigger="t", requested_at=NOON, parameters=cast("Any", parameters)
            )


class OddZone(tzinfo):
    """A time zone that works in the test's thread only."""

    def utcoffset(self, _when: datetime | None) -> timedelta:
        assert threading.current_thread() is threading.main_thread()
        return timedelta(hours=2)

    def dst(self, _when: datetime | None) -> None:
        return None

    def tzname(self, _when: datetime | None) -> str:
        raise OSError("no name")


def test_parameters_are_compared_and_logged_without_code_of_the_user(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    rig = rigs(Plain)
    for zone in (OddZone(), OddZone()):  # they are joined
        since = datetime(2026, 11, 1, 2, tzinfo=zone)
        request = ResyncRequested(
            reason="r", trigger="t", requested_at=NOON,
            parameters=cast("Any", {"since": since, since: 1, 10**6000: 10**6000}),
        )  # fmt: skip
        assert rig.coordinator.ask(request) == "accepted"
    rig.answer()
    rig.answer()  # once more, for the second request
    ended = rig.stream.expect(RunEnded, WITHIN)
    assert ended.status == "completed"
    assert ended.run.parameters["since"] == datetime(2026, 11, 1, tzinfo=timezone.utc)


# A machine may have no database of time zones, so this one is given as the bytes of a file.
UTC_FILE = b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"


@pytest.mark.parametrize("zone", [None, timezone.utc, ZoneInfo.from_file(io.BytesIO(UTC_FILE))])
def test_a_time_zone_of_python_is_kept(zone: tzinfo | None) -> None:
    since = datetime(2026, 11, 1, tzinfo=zone)
    assert freeze({"since": since})["since"].tzinfo is zone


def test_what_a_frozen_dict_holds_is_frozen_too() -> None:
    inner = {"page": [1]}
    request = ResyncRequested(
        reason="r", trigger="t", requested_at=NOON, parameters=FrozenDict({"a": inner})
    )
    inner["page"].append(2)
    assert request.parameters == {"a": {"page": [1]}}


def test_parameters_may_contain_dates_and_times() -> None:
    parameters = {"since": NOON, "day": NOON.date(), "reach": [timedelta(days=1)], "deep": [None]}
    request = ResyncRequested(
        reason="r", trigger="t", requested_at=NOON, parameters=cast("Any", parameters)
    )
    assert request.parameters == parameters


# -- the log ---------------------------------------------------------------------------------------


def test_a_line_says_every_half_minute_how_far_each_handler_is(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ocean_actors")

    class Counting(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.progress(120, 400, "page 3")
            run.sleep(70)

    class Silent(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.sleep(40)

    rig = rigs(Counting, Silent)
    rig.do(asked("test", 1))
    rig.answer()
    rig.clock.advance(75.0, settle=rig.settle)
    lines = [text for text in caplog.messages if " has run for " in text]
    assert lines == [
        "run run-1 has run for 30 s: Counting is at 120 of 400 (page 3); Silent is at work",
        "run run-1 has run for 60 s: Counting is at 120 of 400 (page 3); Silent has returned",
    ]


def test_a_failed_run_is_a_warning_with_its_id_and_reasons(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    def work(_run: ResyncRun) -> None:
        raise ValueError("no such page\nat all")

    outcome(rigs(handler(work)))
    (line,) = (item for item in caplog.records if "run run-1 failed" in item.getMessage())
    assert line.levelno == logging.WARNING
    assert line.getMessage().endswith(": Working: ValueError: no such page at all")


def test_a_flood_of_ignored_requests_is_a_few_lines(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ocean_actors")
    held = threading.Event()
    rig = rigs(handler(lambda _run: held.wait(WITHIN)), on_new_request="ignore")
    rig.coordinator.ask(asked("test", 1).request)
    rig.answer()
    rig.settle(parked="handler-*")
    for number in range(2, 302):
        assert rig.coordinator.ask(asked("test", number).request) == "ignored"
    assert rig.status()["ignored"] == 300
    assert len([text for text in caplog.messages if text.startswith("ignored the")]) == 5
    rig.clock.advance(61.0)
    rig.coordinator.ask(asked("test", 400).request)
    assert caplog.messages[-1].startswith("ignored the request of test, as run ")
    assert caplog.messages[-1].endswith(
        "-1 is in flight: it gets no run of its own (and 295 more like it)"
    )
    held.set()


# -- a handler's actor that dies, and sessions -----------------------------------------------------


def actor_of(rig: CoordinatorRig, name: str) -> Any:
    coordinator: Any = rig.coordinator._actor
    return coordinator._refs[name]


def test_a_handlers_actor_that_dies_in_a_run_fails_it_and_is_replaced(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work(_run: ResyncRun) -> None:
        entered.set()
        go_on.wait(WITHIN)

    rig = rigs(handler(work))
    rig.coordinator.ask(asked("test", 1).request)
    rig.answer()
    assert entered.wait(WITHIN)
    dying = actor_of(rig, "Working")
    dying._actor._coordinator = rig.reporter.ref  # its report is lost
    stopped = dying.stop(block=False)
    go_on.set()
    stopped.get(timeout=WITHIN)
    ended = rig.stream.expect(RunEnded, WITHIN)
    assert ended.failures == ("Working: its actor died: its thread ended",)
    assert ended.status == "failed"
    assert "the actor of handler Working died and is replaced" in caplog.text
    assert outcome(rig, 2).status == "completed"


def test_a_handlers_actor_that_dies_between_runs_is_replaced(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    rig = rigs(Plain)
    actor_of(rig, "Plain").stop(timeout=WITHIN)
    rig.settle()
    assert outcome(rig).status == "completed"


def test_a_listener_whose_mailbox_is_full_costs_the_coordinator_nothing(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    held, entered = threading.Event(), threading.Event()

    class Full(Actor):
        mailbox = MailboxPolicy(limit=1)

        @handles(Message)
        def on_message(self, _message: Any) -> None:
            entered.set()
            held.wait(WITHIN)

    rig = rigs(Plain)
    listener = rig.system.spawn(Full)
    listener.tell(Message())
    assert entered.wait(WITHIN)
    listener.tell(Message())
    request = replace(asked("test", 1).request, reply_to=listener)
    rig.coordinator.ask(request)
    rig.answer()
    assert rig.stream.expect(RequestSettled, WITHIN).outcome == "completed"
    held.set()
    assert outcome(rig, 2).status == "completed"


def test_threads_of_a_handler_share_one_session(rigs: Callable[..., CoordinatorRig]) -> None:
    found = []

    def work(run: ResyncRun) -> None:
        barrier = threading.Barrier(16)

        def ask() -> None:
            barrier.wait(WITHIN)
            found.append(run.session)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN)

    assert outcome(rigs(handler(work))).status == "completed"
    assert len(found) == 16
    assert len({id(session) for session in found}) == 1


def test_an_aborted_coroutine_may_return_anything(rigs: Callable[..., CoordinatorRig]) -> None:
    entered = threading.Event()

    async def work(_run: ResyncRun) -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return

    rig = rigs(handler(work))
    rig.coordinator.ask(asked("test", 1).request)
    rig.answer()
    assert entered.wait(WITHIN)
    rig.coordinator.ask(asked("test", 2).request)
    assert rig.stream.expect(RunEnded, WITHIN).status == "aborted"


def leave(_self: object) -> float:
    raise SystemExit


class OddSeconds(RetryLater):
    seconds = property(leave)

    def __init__(self) -> None:
        pass


class OddLasting(PortError):
    lasting = property(lambda _self: 1 / 0, lambda *_: None)


@pytest.mark.parametrize("error", [OddSeconds(), OddLasting("why")])
def test_an_error_whose_class_raises_fails_the_run_and_no_actor(
    rigs: Any, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def work(_run: ResyncRun) -> None:
        raise error

    rig = rigs(handler(work))
    for number in (1, 2):
        assert outcome(rig, number).failures == ("Working: failed",)
    assert "with an error that cannot be described" in caplog.text
    assert "restarts in" not in caplog.text


@pytest.mark.parametrize("event", [RunStarted, RunProgressed, HandlerEnded, RunEnded])
def test_an_event_about_no_run_is_refused_before_it_is_published(event: Any) -> None:
    rest = len(fields(event)) - 1

    with pytest.raises(TypeError, match=rf"{event.__name__}\.run is NoneType, not RunInfo"):
        event(None, *[None] * rest)


INFO = RunInfo("run-1", 1, "test", "test", NOON, NOON, FrozenDict())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: IntegrationRegistered(NOTHING), "IntegrationRegistered.snapshot is NoneType"),
        (lambda: RequestSettled(NOTHING, "ignored", None), "RequestSettled.request is NoneType"),
        (lambda: RequestSettled(asked("a", 1).request, ODD, None), "RequestSettled.outcome is odd"),
        (lambda: RunProgressed(INFO, NOTHING), "RunProgressed.progress is NoneType"),
        (lambda: HandlerEnded(INFO, "Work", ODD, NOON), "HandlerEnded.status is odd"),
        (lambda: HandlerEnded(INFO, NOTHING, "failed", NOON), "HandlerEnded.handler is NoneType"),
        (lambda: RunEnded(INFO, ODD, NOON, (), Written()), "RunEnded.status is odd, not one of"),
        (lambda: RunEnded(INFO, "failed", NOTHING, (), Written()), "RunEnded.ended_at is NoneType"),
        (lambda: RunEnded(INFO, "failed", NOON, NOTHING, Written()), "RunEnded.failures is"),
        (lambda: RunEnded(INFO, "failed", NOON, (), NOTHING), "RunEnded.written is NoneType"),
    ],
)
def test_an_event_that_nobody_could_read_is_refused_before_it_is_published(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(TypeError, match=f"^{said}"):
        make()


def test_a_handler_that_cancels_the_runs_token_fails_the_run(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    def work(run: ResyncRun) -> None:
        run.token.cancel("enough")
        run.check()

    ended = outcome(rigs(handler(work)))
    assert ended.status == "failed"
    assert ended.failures == ("Working: a handler cancelled the run's token: enough",)
