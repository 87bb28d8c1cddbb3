"""Runs of an integration inside: what comes of them, and how they are aborted and replaced."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from shop import Rig, is_gone
from waiting import wait_until

from ocean_actors import RunProgressed
from ocean_actors.control.report import report


def test_a_run_writes_the_entities_and_counts_them_by_kind(shared: Rig) -> None:
    ended = shared.run(products=25)
    assert (ended.written.upserted, ended.written.failed, ended.written.reconciled) == (27, 0, True)
    assert len(shared.sandbox.entities("product")) == 25
    kinds = {each["kind"]: each for each in shared.child["kinds"]}
    assert (kinds["product"]["state"], kinds["product"]["loaded"]) == ("completed", 25)
    assert kinds["maker"]["state"] == "completed"
    status = shared.system.status()
    assert status["resync"]["kinds"] == {"Ocean": ["product", "maker"]}
    shown = next(line for line in report(status) if line.strip().startswith("ocean"))
    assert f"process {shared.child['pid']}" in shown
    ended = shared.run(products=3)
    assert ended.written.deleted == 22
    assert len(shared.sandbox.entities("product")) == 3


def test_the_log_of_the_integration_is_ours_and_its_lines_know_the_run(
    shared: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        ended = shared.run(mode="print")
        wait_until(lambda: "printed by the shop" in caplog.text, "what the shop printed")
    (line,) = (each for each in caplog.records if "lists its products" in each.getMessage())
    assert (line.name, line.levelname) == ("port_ocean", "INFO")
    assert (getattr(line, "run", None), getattr(line, "handler", None)) == (ended.run.id, "Ocean")
    (printed,) = (each for each in caplog.records if "printed by" in each.getMessage())
    assert printed.getMessage() == "printed by the shop\\x1b[31m"


@pytest.mark.parametrize("broken", ["products", "makers", "on_resync_start", "on_resync_complete"])
def test_what_the_integration_raises_fails_the_run_and_is_its_reason(
    shared: Rig, broken: str
) -> None:
    child = shared.child["pid"]
    (failure,) = shared.run("failed", **{"raise": broken}).failures
    assert failure.startswith("Ocean: OceanRunFailed: ")
    assert f"the {broken} of the shop is broken" in failure
    shared.run()
    assert shared.child["pid"] == child


def test_an_abort_ends_the_run_and_the_next_one_has_the_same_child(shared: Rig) -> None:
    child = shared.child["pid"]
    shared.start(mode="wait")
    shared.shop.order()
    shared.system.request_resync("newer")
    shared.ended("aborted")
    assert shared.ended("completed").run.reason == "newer"
    assert shared.child["pid"] == child


@pytest.mark.parametrize("mode", ["block", "deaf"])
def test_a_child_that_does_not_obey_is_killed_before_the_grace_is_over(
    shared: Rig, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    child = shared.child["pid"]
    shared.start(mode=mode)
    shared.shop.order()
    shared.system.request_resync("newer")
    shared.ended("aborted")
    assert is_gone(child)
    shared.ended("completed")
    assert shared.child["pid"] != child
    assert shared.system.status()["leftBehind"] == []  # no handler was fenced off
    assert "was fenced off" not in caplog.text


def test_a_child_that_is_killed_fails_its_run_and_the_next_run_has_another(shared: Rig) -> None:
    child = shared.child["pid"]
    for _ in range(2):
        shared.run(mode="leak")
    leaked = psutil.Process(child).memory_info().rss
    shared.start(mode="wait")
    os.kill(child, signal.SIGKILL)
    (failure,) = shared.ended("failed").failures
    assert "the Ocean process ended: killed by SIGKILL" in failure
    assert shared.run().written.upserted == 5
    assert psutil.Process(shared.child["pid"]).memory_info().rss < leaked - 64 * 2**20
    assert shared.child["pid"] != child


def test_an_integration_that_exits_in_a_run_fails_it(shared: Rig) -> None:
    (failure,) = shared.run("failed", mode="exit").failures
    assert "the Ocean process ended: SystemExit: 7" in failure
    shared.run()


def test_twenty_requests_in_a_run_make_one_more(shared: Rig) -> None:
    shared.start(mode="wait")
    for number in range(20):
        shared.system.request_resync(f"request {number}", policy="queue")
    shared.shop.order()
    shared.system.abort("let it end")
    shared.ended("aborted")
    assert shared.ended("completed").run.covered == 20
    assert shared.system.status()["resync"]["pending"] == []


def test_progress_is_told_while_a_run_is_at_work(shared: Rig) -> None:
    shared.start(mode="wait")
    progress = shared.expect(RunProgressed, 60).progress
    while progress.done != 1 or "product 3" not in (progress.message or ""):
        progress = shared.expect(RunProgressed, 60).progress
    assert (progress.handler, progress.total) == ("Ocean", 2)
    assert "maker 2" in (progress.message or "")
    shared.system.abort("seen")
    shared.ended("aborted")


def test_the_web_server_of_the_integration_works_beside_runs(shared: Rig) -> None:
    shared.start(mode="wait")
    assert shared.call("GET", "/integration/prices").json() == {"product-1": 1}
    event = {"name": "product-1", "price": 99}
    answer = shared.call("POST", "/integration/products", json=event, headers={"x-shop": "open"})
    assert answer.status_code == 200
    wait_until(lambda: _price(shared) == 99, "the product's new price")
    shared.system.abort("seen")
    shared.ended("aborted")


def test_the_integration_can_ask_for_a_resync(shared: Rig) -> None:
    shared.shop.order()
    event = {"name": "everything", "price": 0}
    shared.call("POST", "/integration/products", json=event, headers={"x-shop": "open"})
    ended = shared.ended("completed")
    assert (ended.run.trigger, ended.run.reason) == ("ocean", "the integration asked for a resync")


def test_port_is_told_of_runs_by_us_alone_and_of_kinds_by_the_integration(shared: Rig) -> None:
    shared.run()
    reports = shared.sandbox.statuses("shop")
    shared.sandbox.wait_for(lambda: shared.sandbox.statuses("shop")[-1:] == ["completed"])
    assert reports.count("running") == sum(each != "running" for each in reports) + (
        reports[-1] == "running"
    )
    rows = shared.sandbox.sync_metrics("shop")
    states = {row["kind"]["kindIdentifier"]: row["kind"]["syncState"] for row in rows}
    assert states["product-1"] == states["__runtime__"] == "completed"


def _price(rig: Rig) -> object:
    (product,) = (e for e in rig.sandbox.entities("product") if e["identifier"] == "product-1")
    return product["properties"]["price"]
