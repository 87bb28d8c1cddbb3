"""Several integrations in one process: what they share, and what none can do to the others."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import requests
from grouped import LOOPBACK, WITHIN, Rig, rigged
from scripted import Quick
from waiting import wait_until

from ocean_actors import (
    Actor,
    IntegrationRegistered,
    LiveHandler,
    Message,
    OnFailure,
    ResyncAborted,
    ResyncHandler,
    ResyncRun,
    RunEnded,
    RunReported,
    Supervision,
    handles,
)
from ocean_actors.control.report import report
from ocean_actors.errors import UsageError
from ocean_actors.log import ContextFilter
from ocean_actors.messages import RunStarted
from ocean_actors.testing import wait_idle


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged() as rig:
        yield rig


class Crashing(Actor):
    """Ends its system when it hears of the first run."""

    subscribes_to: ClassVar[tuple[type[Message], ...]] = (RunEnded,)
    supervision = Supervision(on_failure=OnFailure.ESCALATE)

    @handles(RunEnded)
    def on_run(self, _event: RunEnded) -> None:
        raise ValueError("broken on purpose")


def serve_requests(rig: Rig, *identifiers: str) -> None:
    """See a further run of each complete."""
    for identifier in identifiers:
        rig[identifier].request_resync("still at work?")
    for identifier in identifiers:
        ended = rig.expect(identifier, RunEnded)
        assert (ended.run.reason, ended.status) == ("still at work?", "completed")


def test_one_that_crashes_leaves_the_others_at_work(rig: Rig) -> None:
    rig.add("shop", [Quick], http=LOOPBACK)
    rig.add("broken", [Quick], [Crashing])
    rig.add("blog", [Quick])
    group = rig.make()
    group.start()
    for name in ("shop", "blog"):
        assert rig.expect(name, RunEnded).status == "completed"
    assert rig["broken"].wait(WITHIN)
    serve_requests(rig, "shop", "blog")
    status, told = rig.get("/health/live")
    assert status == 200
    assert told["integrations"]["shop"] == {"ok": True}
    assert told["integrations"]["broken"] == {
        "ok": False, "reason": "the system has ended because of a failure",
    }  # fmt: skip
    assert rig.get("/health/ready")[0] == 503
    assert rig.get("/shop/health/ready")[0] == 200
    assert not group.wait(0)
    assert group.stop()
    assert group.exit_code == 1
    assert group.cause is not None
    assert group.cause.startswith("broken: actor Crashing failed: ValueError: broken on purpose")


class Hook(LiveHandler):
    path = "hook"

    def authenticate(self, call: Any) -> bool:
        return True

    def handle(self, call: Any, live: Any) -> None:
        pass


def test_one_that_hangs_leaves_the_others_at_work(rig: Rig) -> None:
    done, entered = threading.Event(), threading.Semaphore(0)

    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            entered.release()
            done.wait(WITHIN)

    class DeafHook(Hook):
        def authenticate(self, call: Any) -> bool:  # in a thread of the web server
            entered.release()
            return done.wait(WITHIN)

    rig.add("shop", [Quick, Hook], http={**LOOPBACK, "threads": 4})
    rig.add("hung", [Deaf, DeafHook], resync={"abortGrace": 0.1})
    group = rig.make()
    callers = [threading.Thread(target=rig.post, args=("/hung/live/hook",)) for _ in range(2)]
    try:
        group.start()
        assert entered.acquire(timeout=WITHIN)
        assert rig.expect("shop", RunEnded).status == "completed"
        live = rig["hung"]._parts.live
        assert live is not None
        wait_until(lambda: live.intakes[0].is_open, "the intake")
        for caller in callers:
            caller.start()
            assert entered.acquire(timeout=WITHIN)
        wait_until(lambda: rig.post("/shop/live/hook").status_code == 202, "an accepted call")
        assert rig.get("/health/live")[0] == 200
        serve_requests(rig, "shop")
        rig["hung"].shutdown()
        assert rig["hung"].wait(WITHIN)
        assert "handler-Deaf" in rig["hung"].left_behind
        serve_requests(rig, "shop")
    finally:
        done.set()
        for caller in callers:
            caller.join(WITHIN)


def test_one_that_ends_leaves_the_others_at_work(rig: Rig) -> None:
    rig.add("shop", [Quick], http=LOOPBACK)
    rig.add("nightly", [Quick], eventListener={"type": "ONCE"})
    group = rig.make()
    group.start()
    assert rig["nightly"].wait(WITHIN)
    assert rig.expect("shop", RunEnded).status == "completed"
    serve_requests(rig, "shop")
    wait_until(lambda: rig.get("/health/ready")[0] == 200, "a ready group")
    assert rig.get("/health/ready")[1]["integrations"]["nightly"]["ended"]
    rig["shop"].shutdown()
    assert group.wait(WITHIN)  # all have ended
    assert (group.exit_code, group.cause) == (0, None)


def test_one_that_cannot_start_leaves_the_others_at_work(rig: Rig) -> None:
    class Unbuildable(Actor):
        def __init__(self) -> None:
            raise ValueError("broken on purpose")

    rig.add("broken", [Quick], [Unbuildable], eventListener={"type": "ONCE"})
    rig.add("shop", [Quick], http=LOOPBACK)
    group = rig.make()
    group.start()
    assert rig.expect("shop", RunEnded).status == "completed"
    status, told = rig.get("/health/ready")
    assert status == 503
    assert not told["integrations"]["broken"]["ended"]  # not as asked
    assert not rig.get("/health/live")[1]["integrations"]["broken"]["ok"]
    cause = "cannot start: ValueError: broken on purpose"
    assert rig["broken"].status()["cause"] == cause
    group.stop()
    assert (group.exit_code, group.cause) == (1, f"broken: {cause}")


def test_what_one_has_done_is_shown_after_its_end(rig: Rig) -> None:
    rig.add("shop", [Quick], http=LOOPBACK)
    rig.add("nightly", [Quick], eventListener={"type": "ONCE"})
    group = rig.make()
    group.start()
    assert rig["nightly"].wait(WITHIN)
    status = rig["nightly"].status()
    assert status["resync"] is not None
    assert (status["resync"]["run"], status["resync"]["state"]) == (None, "stopped")
    assert [run["status"] for run in status["resync"]["runs"]] == ["completed"]
    page = list(report(status))
    assert page[0].startswith("nightly: stopped (listens by ONCE, ")
    assert "listener" not in [line.split()[0] for line in page]
    metrics = group.metrics()[0].decode()
    labels = 'integration="nightly",outcome="completed",trigger="once"'
    assert f"ocean_actors_runs_total{{{labels}}} 1.0" in metrics
    assert 'ocean_actors_active{integration="nightly"} 0.0' in metrics


def test_all_are_stopped_at_the_same_time(rig: Rig) -> None:
    both, entered, left = threading.Barrier(2), threading.Semaphore(0), threading.Semaphore(0)

    class Rendezvous(ResyncHandler):
        """Obeys an abort once the other integration was told to abort as well."""

        def resync(self, run: ResyncRun) -> None:
            entered.release()
            try:
                run.sleep(3600)
            except ResyncAborted:
                both.wait(WITHIN)
                left.release()
                raise

    for name in ("shop", "blog"):
        rig.add(name, [Rendezvous], resync={"abortGrace": WITHIN})
    group = rig.make()
    group.start()
    for _ in range(2):
        assert entered.acquire(timeout=WITHIN)
    group.shutdown()
    assert group.wait(WITHIN)
    for _ in range(2):
        assert left.acquire(timeout=WITHIN)
    assert (group.exit_code, group.cause) == (0, None)


def test_a_port_in_use_ends_the_group_with_the_reason(rig: Rig) -> None:
    with rigged() as other:
        other.add("first", [Quick], http=LOOPBACK)
        other.make().start()
        port = int(str(other.group.http_url).rpartition(":")[2])
        rig.add("shop", [Quick], http={"host": "127.0.0.1", "port": port})
        rig.add("blog", [Quick])
        group = rig.make()
        group.start()
        assert group.wait(WITHIN)
    assert group.exit_code == 1
    assert group.cause == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use: free the port, or set "
        "http.port and http.host"
    )
    assert rig.sandbox.call_count == 0


def test_a_member_that_cannot_be_made_is_named(rig: Rig) -> None:
    class Issues(Quick):
        blueprints = ({"title": "without an identifier"},)

    rig.add("shop", [Quick])
    rig.add("blog", [Issues])
    with pytest.raises(UsageError, match=r"^blog: .*identifier"):
        rig.make()


def test_it_starts_once(rig: Rig) -> None:
    rig.add("shop", [Quick])
    with rig.make() as group, pytest.raises(RuntimeError, match="starts once"):
        group.start()
    assert group.stop()  # a second time, without effect


def test_async_with_starts_and_stops_it(rig: Rig) -> None:
    rig.add("shop", [Quick])
    rig.add("blog", [Quick])

    async def use() -> None:
        async with rig.make() as group:
            assert not group.wait(0)

    asyncio.run(use())
    assert rig.group.wait(0)
    assert (rig.group.exit_code, rig.group.cause) == (0, None)


def test_one_that_was_stopped_before_its_start_starts_nothing(rig: Rig) -> None:
    """As when a signal comes before the start."""
    rig.add("shop", [Quick], http=LOOPBACK)
    group = rig.make()
    assert group.stop()
    before = set(threading.enumerate())
    group.start()
    assert set(threading.enumerate()) <= before
    assert group.wait(0)
    assert group.http_url is None
    assert group.exit_code == 0


# -- what they share -------------------------------------------------------------------------------


THREADS = {
    "coordinator", "integration", "listener-supervisor", "log-shipper", "polling", "report-sender",
    "reporter", "stopper", "sync-metrics",
}  # fmt: skip
"""Of each integration; tests/system/test_counts.py says what each is for."""

SHARED = {
    "group",  # waits for the end of all
    "timers",  # of all
}


@pytest.mark.parametrize("count", [1, 3])
def test_each_integration_has_nine_threads_and_one_for_each_handler(
    rig: Rig, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("opentelemetry.trace", "opentelemetry.context"):  # else there is one more
        monkeypatch.delitem(sys.modules, module, raising=False)
    names = [f"shop-{number}" for number in range(count)]
    for name in names:
        rig.add(name, [Quick])
    before = set(threading.enumerate())
    group = rig.make()
    group.start()
    for name in names:
        rig.expect(name, RunReported)
        wait_idle(rig[name]._actors, WITHIN)
    threads = [each for each in threading.enumerate() if each not in before]
    for thread in [each for each in threads if each.name == "port-call"]:
        thread.join(WITHIN)  # it ends with its call
        threads.remove(thread)
    found = Counter(each.name for each in threads if each.name != "EventRecorder")
    assert found == Counter(SHARED) + Counter([*THREADS, "handler-Quick"] * count)
    assert group.stop()
    assert set(threading.enumerate()) <= before


def test_one_metrics_page_names_the_integration_of_each_sample(rig: Rig) -> None:
    rig.add("shop", [Quick], http=LOOPBACK)
    rig.add("blog", [Quick])
    rig.make().start()
    for name in ("shop", "blog"):
        rig.expect(name, RunEnded)
    page = requests.get(f"{rig.group.http_url}/metrics", timeout=WITHIN).text
    for name in ("shop", "blog"):
        labels = f'integration="{name}",outcome="completed",trigger="polling"'
        assert f"ocean_actors_runs_total{{{labels}}} 1.0" in page


def test_metrics_are_hidden_of_all_if_one_may_not_show_them(rig: Rig) -> None:
    """It listens by WEBHOOK: the port, which all share, faces the internet."""
    webhook = {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}
    rig.add("shop", [Quick], http=LOOPBACK)
    rig.add("blog", [Quick], eventListener=webhook)
    rig.make().start()
    for path in ("/metrics", "/shop/metrics", "/blog/metrics", "/shop/else"):
        answer = requests.get(f"{rig.group.http_url}{path}", timeout=WITHIN)
        assert answer.status_code == 404
        assert "GET /metrics" not in answer.text


def test_the_state_of_each_actor_is_logged_for_its_integration(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("shop", "blog"):
        rig.add(name, [Quick])
    with rig.make() as group:
        for name in ("shop", "blog"):
            rig.expect(name, RunEnded)
        caplog.clear()
        caplog.handler.addFilter(ContextFilter())
        with caplog.at_level("INFO"):
            group.log_state()
    told = {
        getattr(each, "integration", None)
        for each in caplog.records
        if each.message.startswith("coordinator")
    }
    assert told == {"shop", "blog"}


def test_one_control_server_steers_each(rig: Rig) -> None:
    rig.add("shop", [Quick], control={"port": 0})
    rig.add("blog", [Quick])
    rig.make().start()
    for name in ("shop", "blog"):
        rig.expect(name, RunEnded)
    url = f"{rig.group.control_url}/api"
    assert requests.get(f"{url}/integrations", timeout=WITHIN).json() == {
        "integrations": ["shop", "blog"]
    }
    assert requests.post(
        f"{url}/resync?integration=blog", json={"reason": "by hand"},
        headers={"X-Ocean-Actors": "1"}, timeout=WITHIN,
    ).status_code == 202  # fmt: skip
    assert rig.expect("blog", RunStarted).run.reason == "by hand"
    told = requests.get(f"{url}/events?integration=blog", timeout=WITHIN).json()["events"]
    assert any("Port was reached" in each["text"] for each in told)  # the first event of all


def test_port_calls_each_webhook_by_its_own_path(rig: Rig) -> None:
    webhook = {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}
    for name in ("shop", "my blog"):
        rig.add(name, [Quick], eventListener=webhook, http=LOOPBACK)
    rig.make().start()
    for name in ("shop", "my blog"):
        rig.expect(name, IntegrationRegistered)
    destinations = [
        (rig.sandbox.integration(name) or {})["changelogDestination"]["url"]
        for name in ("shop", "my blog")
    ]
    assert destinations == ["http://127.0.0.1:9/shop/resync", "http://127.0.0.1:9/my%20blog/resync"]
    wait_until(lambda: rig.get("/health/ready")[0] == 200, "a ready group")
    rig.sandbox.request_resync("my blog")
    assert rig.post("/my%20blog/resync", json={}).status_code == 202
    assert rig.expect("my blog", RunEnded).run.trigger == "webhook"
    resync = rig["shop"].status()["resync"]
    assert resync is not None
    assert resync["requests"] == 0
    assert rig.post("/resync", json={}).status_code == 404
