"""What a scrape shows after real runs, read by prometheus-client's own parser."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import prometheus_client
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from scripted import Quick, Script
from waiting import wait_until

import ocean_actors
from ocean_actors import Actor, OceanSystem, ResyncHandler, ResyncRun, RunEnded, RunProgressed
from ocean_actors.messages import RequestSettled
from ocean_actors.metrics.catalog import CATALOG
from ocean_actors.metrics.collector import SystemCollector
from ocean_actors.metrics.snapshot import Measured
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import Settings
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}
SECRET = "a-client-secret"


class Scrape:
    """The samples of one exposition."""

    def __init__(self, *systems: Measured) -> None:
        body, self.content_type = SystemCollector(*systems).exposition()
        self.text = body.decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Returns the value of the one sample with exactly these labels."""
        (value,) = (
            sample.value
            for sample in self.samples
            if sample.name == f"ocean_actors_{name}" and sample.labels == labels
        )
        return value

    def by(self, name: str, *labels: str) -> dict[Any, float]:
        """Returns the values that are not 0 by the values of `labels`."""
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for sample in self.samples
            if sample.name == f"ocean_actors_{name}" and sample.value
        }


def settings(identifier: str = "idle") -> Settings:
    return Settings.from_dict(
        {
            "port": {"clientId": "id", "clientSecret": SECRET, "baseUrl": "http://127.0.0.1:9"},
            "integration": {"identifier": identifier},
        },
        {},
    )


class Obedient(ResyncHandler):
    """Works until the script lets it finish, and fails if the reason says so."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def resync(self, run: ResyncRun) -> None:
        self._script.entered.put(run)
        while not self._script.go_on.acquire(timeout=0.01):
            run.check()
        if run.reason == "fail":
            raise ValueError("no such repository")


def expect_settled(rig: SandboxedSystem, count: int = 1) -> None:
    for _ in range(count):
        rig.expect(RequestSettled)


def test_runs_and_requests_are_counted_by_how_they_ended(script: Script) -> None:
    handler = functools.partial(Obedient, script)
    with SandboxedSystem([handler], eventListener=CALM, resync={"onNewRequest": "queue"}) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("not now", policy="ignore")
        rig.system.request_resync("older")
        rig.system.request_resync("newer", policy="abort")
        assert rig.expect(RunEnded).status == "aborted"
        script.wait_until_at_work()
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        expect_settled(rig, 2)  # of the first poll and of "newer"; that of "not now" came before
        rig.system.request_resync("fail")
        script.wait_until_at_work()
        script.let_finish()
        assert rig.expect(RunEnded).status == "failed"
        expect_settled(rig)
        scrape = Scrape(rig.system)

        assert scrape.by("runs_total", "outcome", "trigger") == {
            ("aborted", "polling"): 1,
            ("completed", "manual"): 1,
            ("failed", "manual"): 1,
        }
        assert scrape.by("requests_total", "trigger", "outcome") == {
            ("polling", "completed"): 1,
            ("manual", "ignored"): 1,
            ("manual", "joined"): 1,  # "newer" stands for "older"
            ("manual", "completed"): 1,
            ("manual", "failed"): 1,
        }
        status = rig.system.status()["resync"]
        assert sum(scrape.by("requests_total", "trigger", "outcome").values()) == status["requests"]
        assert scrape.value("run_duration_seconds_count") == len(status["runs"]) == 3
        assert scrape.value("run_duration_seconds_bucket", le="+Inf") == 3
        assert scrape.value("run_duration_seconds_sum") == pytest.approx(
            sum(run["seconds"] for run in status["runs"])
        )
        assert time.time() - scrape.value("last_completed_run_timestamp_seconds") < 600


def test_a_request_that_waits_has_no_outcome_yet(script: Script) -> None:
    handler = functools.partial(Obedient, script)
    with SandboxedSystem([handler], eventListener=CALM, resync={"onNewRequest": "queue"}) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("later")
        assert Scrape(rig.system).by("requests_total", "trigger", "outcome") == {}
        script.let_finish(2)
        expect_settled(rig, 2)
        assert Scrape(rig.system).by("requests_total", "trigger", "outcome") == {
            ("polling", "completed"): 1,
            ("manual", "completed"): 1,
        }


def test_series_exist_before_their_first_failure(script: Script) -> None:
    handler = functools.partial(Obedient, script)
    with SandboxedSystem([handler], eventListener=CALM) as rig:
        script.wait_until_at_work()
        scrape = Scrape(rig.system)
        assert scrape.value("runs_total", outcome="failed", trigger="polling") == 0
        assert scrape.value("actor_restarts_total", actor="coordinator") == 0
        assert scrape.value("last_completed_run_timestamp_seconds") == 0
        script.let_finish()


def test_progress_and_entities_show_while_a_run_is_in_flight(script: Script) -> None:
    class Sends(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("package", [{"identifier": "one"}, {"no": "identifier"}])
            run.progress(1, 4)
            script.go_on.acquire(timeout=60)

    with Sandbox() as port:
        port.create_blueprint("package")
        with SandboxedSystem([Sends, Quick], sandbox=port, eventListener=CALM) as rig:
            rig.expect(RunProgressed)
            wait_until(
                lambda: Scrape(rig.system).by("handler_progress_ratio", "handler").get(("Quick",)),
                "the progress of Quick",
            )
            scrape = Scrape(rig.system)
            shares = scrape.by("handler_progress_ratio", "handler")
            assert shares == {("Sends",): 0.25, ("Quick",): 1}
            assert scrape.by("entities_total", "result") == {("upserted",): 1, ("failed",): 1}
            script.let_finish()
            rig.expect(RunEnded)
            scrape = Scrape(rig.system)
            assert scrape.by("handler_progress_ratio", "handler") == {}
            assert scrape.by("entities_total", "result") == {("upserted",): 1, ("failed",): 1}


def test_every_request_that_port_saw_is_counted(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 2)
        rig.sandbox.fail("status", status=503, times=1, path=f"/v1/integration/{rig.identifier}")
        rig.system.request_resync("again")
        rig.expect(RunEnded)
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4)
        wait_until(
            lambda: answers(rig.sandbox) == Scrape(rig.system).by(*PORT_REQUESTS),
            "the count of every call",
        )
        scrape = Scrape(rig.system)
        counts = scrape.by(*PORT_REQUESTS)
        assert sum(count for (_, code), count in counts.items() if code == "503") == 1
        assert scrape.value("port_request_duration_seconds_count") == sum(counts.values())


def answers(port: Sandbox) -> Counter[tuple[str, str]]:
    return Counter((call.method, str(call.status)) for call in port.calls)


PORT_REQUESTS = ("port_requests_total", "method", "code")


def test_incidents_of_actors_stay_counted_after_their_end(quick: type[ResyncHandler]) -> None:
    class Fragile(Actor):
        subscribes_to = (RunEnded,)

        def on_receive(self, message: Any) -> None:
            raise ValueError("no such chat")

    with SandboxedSystem([quick], [Fragile], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        wait_until(
            lambda: Scrape(rig.system).by("actor_restarts_total", "actor") == {("Fragile",): 1},
            "a restart",
        )
        assert Scrape(rig.system).by("runs_total", "outcome") == {("completed",): 1}
    stopped = Scrape(rig.system)
    assert stopped.by("actor_restarts_total", "actor") == {("Fragile",): 1}
    assert stopped.by("mailbox_messages", "actor") == {}
    assert stopped.by("runs_total", "outcome") == {("completed",): 1}


def test_a_thread_left_behind_is_counted_until_it_ends(script: Script) -> None:
    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            script.go_on.acquire(timeout=60)

    with SandboxedSystem([Deaf], eventListener=CALM, resync={"onNewRequest": "drop"}) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("newer")
        script.wait_until_at_work()
        assert Scrape(rig.system).value("left_behind_threads") == 1
        script.let_finish(2)
        wait_until(
            lambda: not Scrape(rig.system).value("left_behind_threads"), "the end of the thread"
        )


def test_the_exposition_is_whole_before_the_start_and_names_every_metric() -> None:
    system = OceanSystem(settings(), [Quick])
    body, content_type = system.metrics()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert SECRET not in body.decode()
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert {metric.full_name.removesuffix("_total") for metric in CATALOG} == set(families)
    for metric in CATALOG:
        family = families[metric.full_name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
    assert Scrape(system).value(
        "info", integration="idle", type="custom", listener="POLLING",
        version=ocean_actors.__version__,
    ) == 1  # fmt: skip
    system.stop()


def test_samples_name_their_integration_where_several_run() -> None:
    systems = [OceanSystem(settings(name), [Quick]) for name in ("first", "second")]
    scrape = Scrape(*systems)
    assert {sample.labels.get("integration") for sample in scrape.samples} == {"first", "second"}
    assert scrape.value("dead_letters_total", integration="second") == 0
    assert all("integration" not in sample.labels for sample in without_info(Scrape(systems[0])))
    with pytest.raises(ValueError, match="two systems have the identifier first"):
        Scrape(systems[0], systems[0])
    for system in systems:
        system.stop()


def without_info(scrape: Scrape) -> Iterable[Any]:
    return (sample for sample in scrape.samples if sample.name != "ocean_actors_info")


def test_a_registry_of_the_user_takes_the_collector_and_refuses_it_twice() -> None:
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    system = OceanSystem(settings(), [Quick])
    mine = prometheus_client.Counter("mine", "of the user", registry=registry)
    mine.inc()
    registry.register(system.collector)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(system.collector)
    text = prometheus_client.generate_latest(registry).decode()
    assert "mine_total 1.0" in text
    assert "ocean_actors_dead_letters_total 0.0" in text
    system.stop()


def test_a_hundred_actors_have_names_and_the_others_are_one(quick: type[ResyncHandler]) -> None:
    crowd = [type(f"Guest{number}", (Actor,), {}) for number in range(120)]
    with SandboxedSystem([quick], crowd, eventListener=CALM) as rig:
        rig.expect(RunEnded)
        scrape = Scrape(rig.system)
        actors = [
            sample.labels["actor"]
            for sample in scrape.samples
            if sample.name == "ocean_actors_mailbox_messages"
        ]
        assert len(actors) == 101
        assert {"coordinator", "Guest0", "other"} < set(actors)


def test_the_system_serves_its_metrics_over_http(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick], eventListener=CALM, http={"port": 0}) as rig:
        rig.expect(RunEnded)
        assert rig.system.http_url is not None
        answer = requests.get(f"{rig.system.http_url}/metrics", timeout=30)
        assert answer.headers["Content-Type"] == rig.system.metrics()[1]
        assert 'ocean_actors_runs_total{outcome="completed",trigger="polling"} 1.0' in answer.text
