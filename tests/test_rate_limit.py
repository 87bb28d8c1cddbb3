"""`run.session.limit`: when calls may begin, who is next, and what shows while they wait."""

from __future__ import annotations

import itertools
import queue
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import Pacing, RateLimiter, WaitTally
from ocean_actors.session import CancellableSession
from ocean_actors.testing import ManualClock, SandboxedSystem

SOON = 30  # seconds; bounds what must happen at once, on a machine that may be busy


class Stopped(Cancelled):
    pass


class System:
    """A third-party system: it answers when `gate` is open, with the next of `answers` or 200."""

    def __init__(self) -> None:
        self.heads: queue.Queue[str] = queue.Queue()
        self.answers: queue.Queue[tuple[int, dict[str, str]]] = queue.Queue()
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.heads.put(self.path)
                outer.gate.wait(SOON)
                try:
                    status, headers = outer.answers.get_nowait()
                except queue.Empty:
                    status, headers = 200, {}
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def await_calls(self, count: int) -> list[str]:
        return [self.heads.get(timeout=SOON) for _ in range(count)]


@pytest.fixture
def system() -> Iterator[System]:
    system = System()
    thread = threading.Thread(target=system.server.serve_forever, args=(0.01,))
    thread.start()
    yield system
    system.gate.set()
    system.server.shutdown()
    system.server.server_close()
    thread.join()


class Run:
    """What the calls of one run share, and the threads that make them."""

    def __init__(self) -> None:
        self.token = CancelToken(Stopped)
        self.clock = ManualClock()
        self.limiter = RateLimiter(self.clock)
        self.waits = WaitTally()
        self._pauses = SharedPauses()
        self._sessions: list[CancellableSession] = []
        self._threads = ThreadPoolExecutor(8)
        self._sleeps: queue.Queue[None] = queue.Queue()
        self.clock.on_sleep.add(lambda: self._sleeps.put(None))

    def session(self) -> CancellableSession:
        """Returns the session of one more handler."""
        made = CancellableSession(
            self.token, clock=self.clock, limiter=self.limiter, pauses=self._pauses,
            waits=self.waits, jitter=lambda: 0.0,
        )  # fmt: skip
        self._sessions.append(made)
        return made

    def turn(self) -> AbstractContextManager[float]:
        return self.limiter.turn(self.token, self.waits)

    def begin(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Make a call in another thread."""
        return self._threads.submit(call, *arguments)

    def await_sleeper(self) -> None:
        """Wait until one more call waits by the clock."""
        self._sleeps.get(timeout=SOON)

    def close(self) -> None:
        self.token.cancel("the test is over")
        self._threads.shutdown()
        for session in self._sessions:
            session.close()


@pytest.fixture
def run(system: System) -> Iterator[Run]:
    # `system` comes first, so that its server stops after the calls have ended.
    run = Run()
    yield run
    run.close()


# -- the decision ----------------------------------------------------------------------------------


@given(
    per_second=st.floats(0.01, 1000),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_no_second_has_more_calls_than_the_limit_and_none_waits_without_need(
    per_second: float, gaps: list[float]
) -> None:
    pacing, now, ats, comes = Pacing().limited(per_second), 8191.0, [], []
    for gap in gaps:
        now += gap
        at, pacing = pacing.reserve(now)
        comes.append(now)
        ats.append(at)
    spaces = [late - early for early, late in itertools.pairwise(ats)]
    assert all(space > 1 / per_second - 1e-6 for space in spaces)
    earliest = [comes[0], *(at + 1 / per_second for at in ats)]
    assert all(
        at == pytest.approx(max(came, free))
        for at, came, free in zip(ats, comes, earliest, strict=False)
    )


def test_without_a_limit_every_call_begins_at_once() -> None:
    pacing = Pacing()
    for now in (5.0, 5.0, 6.0):
        at, pacing = pacing.reserve(now)
        assert at == now


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "limit: expected per_second, concurrency or both"),
        ({"per_second": 0}, "limit: per_second: expected a number above 0, got 0"),
        ({"per_second": -1.5}, "limit: per_second: expected a number above 0, got -1.5"),
        ({"per_second": float("nan")}, "limit: per_second: expected a number above 0, got nan"),
        ({"per_second": float("inf")}, "limit: per_second: expected a number above 0, got inf"),
        ({"per_second": 1e-320}, "limit: per_second: expected a number above 0, got 1e-320"),
        ({"per_second": True}, "limit: per_second: expected a number above 0, got True"),
        ({"per_second": "1\n0"}, r"limit: per_second: expected a number above 0, got '1\n0'"),
        ({"concurrency": 0}, "limit: concurrency: expected a whole number above 0, got 0"),
        ({"concurrency": 1.5}, "limit: concurrency: expected a whole number above 0, got 1.5"),
        ({"concurrency": True}, "limit: concurrency: expected a whole number above 0, got True"),
    ],
)
def test_a_value_that_is_no_limit_is_refused_in_one_line(
    run: Run, given: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        run.limiter.limit(**given)


def test_a_limit_that_is_half_wrong_changes_nothing(run: Run) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        run.limiter.limit(per_second=0.001, concurrency=0)
    for _ in range(2):
        with run.turn() as waited:
            assert waited == 0


# -- who waits, and for how long -------------------------------------------------------------------


def test_calls_of_all_sessions_share_one_pace(system: System, run: Run) -> None:
    first, second = run.session(), run.session()
    first.limit(per_second=2)
    first.get(f"{system.url}/1")
    call = run.begin(second.get, f"{system.url}/2")
    run.await_sleeper()
    run.clock.advance(0.49)
    assert run.clock.pending() == 1, "it waits on"
    assert system.await_calls(1) == ["/1"]
    run.clock.advance(0.01)
    assert call.result(SOON).status_code == 200


def test_retries_count_as_calls(system: System, run: Run) -> None:
    session = run.session()
    session.limit(per_second=0.01)
    system.answers.put((503, {}))
    call = run.begin(session.get, system.url)
    run.await_sleeper()  # the backoff
    system.await_calls(1)
    run.clock.advance(20)
    run.await_sleeper()  # its turn, 100 s after the first attempt
    run.clock.advance(79)
    assert run.clock.pending() == 1, "it waits on"
    run.clock.advance(1)
    assert call.result(SOON).status_code == 200, "waiting for a turn is no part of the minute"


def test_the_strictest_of_several_limits_counts(system: System, run: Run) -> None:
    session = run.session()
    session.limit(per_second=1)
    session.limit(per_second=100, concurrency=5)
    session.get(system.url)
    call = run.begin(session.get, system.url)
    run.await_sleeper()
    run.clock.advance(0.9)
    assert run.clock.pending() == 1, "it waits on"
    run.clock.advance(0.1)
    call.result(SOON)


def test_no_more_calls_are_under_way_than_the_limit_allows(system: System, run: Run) -> None:
    first, second = run.session(), run.session()
    first.limit(concurrency=2)
    system.gate.clear()
    calls = [run.begin(each.get, system.url) for each in (first, second) * 2]
    system.await_calls(2)
    wait_until(lambda: run.waits.waiting == 2, "two calls that wait")
    assert system.heads.empty()
    system.gate.set()
    assert [call.result(SOON).status_code for call in calls] == [200] * 4
    system.await_calls(2)
    assert run.waits.waiting == 0


def test_calls_begin_in_the_order_in_which_they_came(run: Run) -> None:
    run.limiter.limit(concurrency=1)
    order: list[int] = []

    def call(number: int) -> None:
        with run.turn():
            order.append(number)

    with run.turn():
        calls = []
        for number in range(6):
            calls.append(run.begin(call, number))
            wait_until(lambda: run.waits.waiting == len(calls), "all calls that wait")
    for each in calls:
        each.result(SOON)
    assert order == list(range(6))


@pytest.mark.parametrize("limit", [{"per_second": 0.001}, {"concurrency": 1}])
def test_a_call_that_waits_for_its_turn_ends_when_the_run_is_aborted(
    run: Run, limit: dict[str, Any]
) -> None:
    run.limiter.limit(**limit)

    def call() -> None:
        with run.turn():
            raise AssertionError("its turn never comes")

    with run.turn():
        calls = [run.begin(call) for _ in range(3)]
        wait_until(lambda: run.waits.waiting == 3, "three calls that wait")
        run.token.cancel("enough")
        for each in calls:
            with pytest.raises(Stopped, match="enough"):
                each.result(SOON)
    assert run.waits.waiting == 0
    assert run.clock.pending() == 0


def test_a_call_that_fails_makes_way_for_the_next(run: Run) -> None:
    run.limiter.limit(concurrency=1)
    for _ in range(3):
        with pytest.raises(KeyError), run.turn():
            raise KeyError


def test_all_handlers_wait_when_a_server_asks_one_to(system: System, run: Run) -> None:
    first, second = run.session(), run.session()
    system.answers.put((429, {"Retry-After": "30"}))
    asked = run.begin(first.get, f"{system.url}/first")
    run.await_sleeper()
    other = run.begin(second.get, f"{system.url}/second")
    run.await_sleeper()
    assert system.await_calls(1) == ["/first"]
    assert system.heads.empty()
    run.clock.advance(30)
    assert {asked.result(SOON).status_code, other.result(SOON).status_code} == {200}


def test_a_call_in_the_queue_obeys_what_a_server_has_asked_for_meanwhile(
    system: System, run: Run
) -> None:
    session = run.session()
    session.limit(concurrency=1)
    system.gate.clear()
    system.answers.put((429, {"Retry-After": "30"}))
    calls = [run.begin(session.get, system.url)]
    system.await_calls(1)
    calls.append(run.begin(session.get, system.url))
    wait_until(lambda: run.waits.waiting == 1, "a call that waits")
    system.gate.set()
    run.await_sleeper()
    run.await_sleeper()
    assert system.heads.empty()
    run.clock.advance(31)
    assert [call.result(SOON).status_code for call in calls] == [200, 200]


# -- what shows ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=8))
def test_the_tally_is_the_sum_of_all_waits(waits: list[tuple[float, float]]) -> None:
    clock, tally = ManualClock(), WaitTally()
    expected = 0.0
    for outer, inner in waits:
        before = clock.monotonic()
        with tally.wait(clock):
            clock.advance(outer)
            with tally.wait(clock):
                clock.advance(inner)
                assert tally.waiting == 2
                under_way = clock.monotonic() - before + inner
                assert tally.seconds(clock.monotonic()) == pytest.approx(
                    expected + under_way, abs=1e-6
                )
        expected += outer + 2 * inner
    assert tally.waiting == 0
    assert tally.seconds(clock.monotonic()) == pytest.approx(expected, abs=1e-6)


def test_the_limit_of_one_handler_holds_for_all_of_the_run_and_shows(system: System) -> None:
    limited = threading.Event()

    class Limits(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.session.limit(concurrency=1)
            limited.set()
            run.session.get(f"{system.url}/limits")

    class Follows(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            limited.wait(SOON)
            system.heads.get(timeout=SOON)
            run.session.get(f"{system.url}/follows")

    system.gate.clear()
    with SandboxedSystem([Limits, Follows]) as rig:
        wait_until(lambda: waiting(rig) == {"Follows": 1}, "a handler that waits")
        assert b'ocean_actors_rate_limit_wait_seconds_total{handler="Limits"} 0.0' in metrics(rig)
        before = waited(rig, "Follows")
        wait_until(lambda: waited(rig, "Follows") > before, "more time waited")
        system.gate.set()
        assert rig.expect(RunEnded).status == "completed"
        after = waited(rig, "Follows")
        assert after > before
        assert waited(rig, "Follows") == after


def test_an_abort_ends_a_handler_that_waits_for_its_turn() -> None:
    class Waits(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.session.limit(per_second=0.0001)
            for _ in range(2):
                with pytest.raises(requests.ConnectionError):
                    run.session.post("http://127.0.0.1:1/")

    with SandboxedSystem([Waits], resync={"abortGrace": 30}) as rig:
        wait_until(lambda: waiting(rig) == {"Waits": 1}, "a handler that waits")
        rig.system.abort("bad mapping")
        assert rig.expect(RunEnded).status == "aborted"
        assert rig.system.status()["leftBehind"] == []


def test_a_call_within_a_call_does_not_wait_for_it(system: System) -> None:
    class RenewsItsToken(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            def renew(answer: requests.Response, **_: object) -> None:
                if answer.status_code == 401:
                    run.session.get(f"{system.url}/token", hooks={"response": []})

            run.session.limit(concurrency=1)
            run.session.hooks["response"].append(renew)
            assert run.session.get(f"{system.url}/page").status_code == 401
            assert run.session.get(f"{system.url}/page").status_code == 200

    system.answers.put((401, {}))
    with SandboxedSystem([RenewsItsToken]) as rig:
        assert rig.expect(RunEnded).status == "completed"
    assert [system.heads.get_nowait() for _ in range(3)] == ["/page", "/token", "/page"]


def test_a_call_within_a_call_keeps_the_pace(run: Run) -> None:
    run.limiter.limit(per_second=1, concurrency=1)
    began = run.clock.monotonic()

    def calls() -> None:
        for _ in range(2):
            with run.turn(), run.turn():
                pass

    done = run.begin(calls)
    for _ in range(3):
        run.await_sleeper()
        assert run.waits.waiting == 1
        run.clock.advance(1)
    done.result(SOON)
    assert run.clock.monotonic() == began + 3


def waiting(rig: SandboxedSystem) -> Any:
    resync = rig.system.status()["resync"] or {}
    return (resync.get("run") or {}).get("waiting")


def metrics(rig: SandboxedSystem) -> bytes:
    return rig.system.metrics()[0]


def waited(rig: SandboxedSystem, handler: str) -> float:
    start = f'ocean_actors_rate_limit_wait_seconds_total{{handler="{handler}"}} '
    (line,) = (each for each in metrics(rig).decode().splitlines() if each.startswith(start))
    return float(line.removeprefix(start))
