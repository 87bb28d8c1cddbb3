"""From POST /live/<path> over real sockets to entities in the sandbox."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from rig import Nothing, counts, hooked, post, serving, tell, titles, wait_for_counts
from tracker import Tracker, signature_of

from ocean_actors import Live, LiveCall, LiveEventFailed, LiveHandler, OceanSystem, RetryLater
from ocean_actors.actors import Backoff

QUICK = Backoff(initial=0.01, maximum=0.02)


def write(call: LiveCall, live: Live) -> None:
    item = call.json()
    live.port.upsert("issue", [{"identifier": item["id"], "title": item.get("title")}])


def test_a_change_in_the_tracker_becomes_an_entity() -> None:
    def change(call: LiveCall, live: Live) -> None:
        event = call.json()
        if event["action"] == "deleted":
            assert live.port.delete("issue", [event["id"]]) == 1
        else:
            title = tracker.issues[event["id"]]["title"]
            live.port.upsert("issue", [{"identifier": event["id"], "title": title}])

    tracker = Tracker(projects=1, issues=2)
    with serving(hooked(change)) as rig:
        tracker.hook = f"{rig.system.http_url}/live/tracker"
        tracker.change("issue", "updated", {"id": "P0-1", "title": "changed"})
        rig.sandbox.wait_for(lambda: titles(rig) == {"P0-1": "changed"})
        tracker.change("issue", "deleted", {"id": "P0-1"})
        rig.sandbox.wait_for(lambda: titles(rig) == {})
        wait_for_counts(rig, queued=0, running=0, accepted=2, handled=2, dead=0)


def test_an_async_handler_is_awaited() -> None:
    async def work(call: LiveCall, live: Live) -> None:
        await asyncio.to_thread(write, call, live)

    with serving(hooked(work)) as rig:
        assert tell(rig, "A", title="one")[0] == 202
        rig.sandbox.wait_for(lambda: titles(rig) == {"A": "one"})


def test_what_live_events_write_is_owned_like_what_runs_write_and_marked_as_live() -> None:
    with serving(hooked(write)) as rig:
        tell(rig, "A")
        (entity,) = rig.sandbox.wait_for(lambda: rig.sandbox.entities("issue"))
        assert entity["writer"].endswith(f"/{rig.identifier}/exporter")
        (call,) = (each for each in rig.sandbox.calls if each.path.endswith("entities/bulk"))
        assert call.query["ocean_info_event_type"] == "http_request"
        assert "ocean_info_resync_id" not in call.query


@pytest.mark.parametrize("signature", ["", "0" * 64, signature_of(b"{}")])
def test_a_forged_call_is_refused(signature: str) -> None:
    with serving(hooked(write)) as rig:
        status, answer = post(
            rig, "/live/tracker", b'{"id": "A"}', **{"X-Tracker-Signature": signature}
        )
        assert (status, answer["error"]) == (401, "unauthorized")
        assert counts(rig)["accepted"] == 0


def test_nobody_may_call_a_handler_that_does_not_say_who_may() -> None:
    class Open(LiveHandler):
        path = "tracker"

        def handle(self, call: LiveCall, live: Live) -> None: ...

    with serving(Open) as rig:
        assert tell(rig, "A")[0] == 401


@pytest.mark.parametrize("answer", [None, 1, "yes", ValueError("a secret"), SystemExit(3)])
def test_only_true_authenticates(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    def authenticate(self: Any, call: LiveCall) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with serving(hooked(write, authenticate=authenticate)) as rig:
        status, body = tell(rig, "A")
        assert status == 401
        assert "secret" not in str(body)
        assert "Hooked.authenticate" in caplog.text


def test_an_async_authenticate_lets_nobody_in() -> None:
    async def authenticate(self: Any, call: LiveCall) -> bool:
        return True

    with serving(hooked(write, authenticate=authenticate)) as rig:
        assert tell(rig, "A")[0] == 401


def test_a_body_that_the_key_cannot_be_read_from_is_a_bad_request() -> None:
    with serving(hooked(write)) as rig:
        body = b"no json\xff"
        sign = {"X-Tracker-Signature": signature_of(body)}
        assert post(rig, "/live/tracker", body, **sign)[0] == 400


@pytest.mark.parametrize("answer", [None, 7, ValueError("x"), SystemExit()])
def test_a_failing_key_costs_its_call(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    def key(self: Any, call: LiveCall) -> Any:
        if call.json()["id"] == "good":
            return "good"
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with serving(hooked(write, key=key)) as rig:
        assert tell(rig, "A")[0] == 500
        assert "Hooked.key" in caplog.text
        assert tell(rig, "good")[0] == 202
        wait_for_counts(rig, handled=1)


def test_paths_methods_and_sizes_are_checked() -> None:
    with serving(hooked(write), http={"host": "127.0.0.1", "port": 0, "maxBodyBytes": 100}) as rig:
        status, answer = post(rig, "/live/other", b"{}")
        assert status == 404
        assert "tracker" not in answer["message"]
        assert post(rig, "/live/tracker/", b"{}")[0] == 404
        assert post(rig, "/live/tracker", b"x" * 101)[0] == 413
        assert post(rig, "/live/tracker", b"")[0] == 401


def test_a_failed_event_is_tried_again_and_then_given_up(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def fail(call: LiveCall, live: Live) -> None:
        seen.append(call.json()["id"])
        raise ValueError("the tracker\nis down")

    with serving(hooked(fail, attempts=3, backoff=QUICK)) as rig:
        tell(rig, "A")
        event = rig.expect(LiveEventFailed)
        assert (event.path, event.key, event.attempts) == ("tracker", "A", 3)
        assert event.failure == "ValueError: the tracker is down"
        assert seen == ["A"] * 3
        wait_for_counts(rig, dead=1, retried=2, queued=0, running=0)
        line = "live event of tracker (key A) is given up after 3 attempts: ValueError"
        assert line in caplog.text
        metrics = rig.system.metrics()[0].decode()
        assert 'ocean_actors_live_events_total{outcome="dead",path="tracker"} 1.0' in metrics
        assert 'ocean_actors_live_queue{path="tracker"} 0.0' in metrics


def test_an_event_that_fails_once_is_handled_by_the_next_attempt() -> None:
    failures = [ValueError("once"), RetryLater(0.1), SystemExit(1)]

    def work(call: LiveCall, live: Live) -> None:
        if failures:
            raise failures.pop()
        write(call, live)

    with serving(hooked(work, backoff=QUICK)) as rig:
        tell(rig, "A", title="late")
        rig.sandbox.wait_for(lambda: titles(rig) == {"A": "late"})
        wait_for_counts(rig, handled=1, retried=3, dead=0)


def test_a_lasting_error_is_not_tried_again() -> None:
    def work(call: LiveCall, live: Live) -> None:
        live.port.upsert("unknown", [{"identifier": "A"}])

    with serving(hooked(work)) as rig:
        tell(rig, "A")
        event = rig.expect(LiveEventFailed)
        assert event.attempts == 1
        assert "is there a blueprint 'unknown' in Port?" in event.failure


@pytest.mark.parametrize("returned", [["entities"], (each for each in "ab")])
def test_what_handle_returns_is_refused_unless_it_is_nothing(returned: Any) -> None:
    with serving(hooked(lambda _call, _live: returned, attempts=1)) as rig:
        tell(rig, "A")
        assert (
            "is not used: hand entities to live.port.upsert" in rig.expect(LiveEventFailed).failure
        )


def test_events_of_one_key_are_handled_in_order_even_if_one_fails() -> None:
    seen: list[int] = []
    failed = threading.Event()

    def work(call: LiveCall, live: Live) -> None:
        number = call.json()["number"]
        if number == 3 and not failed.is_set():
            failed.set()
            raise ValueError("once")
        seen.append(number)

    with serving(hooked(work, backoff=QUICK)) as rig:
        for number in range(20):
            tell(rig, "A", number=number)
        wait_for_counts(rig, handled=20)
        assert seen == list(range(20))


def test_events_of_different_keys_are_handled_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)

    with serving(hooked(lambda _call, _live: together.wait() and None, workers=3)) as rig:
        for name in "ABC":
            tell(rig, name)
        wait_for_counts(rig, handled=3)


def test_a_full_queue_refuses_calls_until_there_is_room() -> None:
    go = threading.Event()

    def work(call: LiveCall, live: Live) -> None:
        assert go.wait(30)

    with serving(hooked(work, capacity=3)) as rig:
        assert [tell(rig, name)[0] for name in "ABC"] == [202] * 3
        status, answer = tell(rig, "D")
        assert status == 503
        assert answer["headers"]["retry-after"] == "1"
        assert counts(rig)["refused"] == 1
        go.set()
        wait_for_counts(rig, queued=0, running=0)
        assert tell(rig, "D")[0] == 202


def test_large_bodies_fill_the_queue_as_well() -> None:
    go = threading.Event()

    def work(call: LiveCall, live: Live) -> None:
        assert go.wait(30)

    with serving(hooked(work, capacity_bytes=5000)) as rig:
        assert tell(rig, "A", text="x" * 4000)[0] == 202
        assert tell(rig, "B", text="x" * 4000)[0] == 503
        go.set()


def test_a_hung_event_delays_its_own_key_only_and_not_the_stop() -> None:
    go = threading.Event()

    def work(call: LiveCall, live: Live) -> None:
        if call.json()["id"] == "hung":
            go.wait(60)

    with serving(hooked(work, workers=2)) as rig:
        tell(rig, "hung")
        for number in range(5):
            tell(rig, f"A{number}")
        wait_for_counts(rig, handled=5, running=1)
        rig.system.stop()
        assert rig.system.status()["stopped"]
        go.set()


def test_an_event_whose_time_is_over_is_ended_and_tried_again() -> None:
    attempts: list[str] = []

    def work(call: LiveCall, live: Live) -> None:
        attempts.append("begun")
        if len(attempts) == 1:
            live.token.sleep(60, rig.system._actors.clock)

    with serving(hooked(work, timeout=0.2, backoff=QUICK)) as rig:
        tell(rig, "A")
        wait_for_counts(rig, handled=1, retried=1)


def test_calls_before_the_start_and_after_the_stop_are_refused_with_503() -> None:
    answers: list[str] = []

    def call(system: OceanSystem) -> None:
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/live/tracker", "REMOTE_ADDR": "::1"}
        system.wsgi_app(environ, lambda status, *_: answers.append(status))

    with serving(hooked(write)) as rig:
        fresh = OceanSystem(rig.system.settings, [Nothing, hooked(write)])
        call(fresh)
        fresh.stop()
        rig.system.stop()
        call(rig.system)
    assert answers == ["503 Service Unavailable"] * 2


def test_a_stop_handles_what_it_can_and_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def work(call: LiveCall, live: Live) -> None:
        begun.set()
        go.wait(60)

    with serving(hooked(work)) as rig:
        for _ in range(3):
            tell(rig, "A")
        assert begun.wait(30)
        rig.system.stop()
        go.set()
    assert "live events of tracker: 3 were accepted and not handled, and are lost" in caplog.text


def test_a_stop_waits_for_events_that_are_handled_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(hooked(write)) as rig:
        for number in range(5):
            tell(rig, f"A{number}")
        rig.system.stop()
        assert counts(rig)["handled"] == 5
    assert "are lost" not in caplog.text
