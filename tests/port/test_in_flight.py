"""Several batches of a run on their way to a Port that answers late and out of order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from waiting import wait_until

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.actors import SystemClock
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port_time import parse_time
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox import app as sandbox_app
from ocean_actors.testing import SandboxedSystem

if TYPE_CHECKING:
    from tests.port.conftest import Runs

SOON = 30  # seconds
Entity = Mapping[str, Any]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        model = {
            "schema": {"properties": {"version": {"type": "string"}, "size": {"type": "number"}}},
            "relations": {"parent": {"target": "package", "many": False, "required": False}},
        }
        sandbox.create_blueprint("package", **model)
        yield sandbox


@pytest.fixture
def runs(
    sandbox: Sandbox,
    connect: Callable[..., PortClient],
    make_runs: Callable[[PortClient], Runs],
) -> Iterator[Runs]:
    clock = SystemClock()
    yield make_runs(connect(sandbox.url, clock=clock))
    clock.close()


@pytest.fixture
def runs_in_no_time(
    sandbox: Sandbox,
    connect: Callable[..., PortClient],
    make_runs: Callable[[PortClient], Runs],
) -> Runs:
    """By a clock that ends each wait at once, as when Port asks a call to come back later."""
    return make_runs(connect(sandbox.url))


def packages(*names: Any) -> list[dict[str, Any]]:
    return [{"identifier": str(name)} for name in names]


def child(name: str, parent: str, **rest: Any) -> dict[str, Any]:
    return {"identifier": name, "relations": {"parent": parent}, **rest}


def bulk_calls(sandbox: Sandbox) -> list[Any]:
    return [call for call in sandbox.calls if call.path.endswith("/entities/bulk")]


def names(sandbox: Sandbox) -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities("package"))


def senders() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("port-sender")]


@pytest.fixture(autouse=True)
def without_senders_of_other_tests() -> None:
    """They end soon after their run, which may be after their test."""
    wait_until(lambda: senders() == [], "an end of the senders of other tests")


@contextlib.contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


# -- how many ----------------------------------------------------------------------------------


def test_eight_batches_are_on_their_way_and_no_more_is_read(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("hang", None, path="/bulk")
    read = []

    def source() -> Iterator[Entity]:
        for each in packages(*range(400)):
            read.append(each)
            yield each

    port = runs.start().for_handler("all")
    with in_thread(lambda: port.upsert("package", source())) as call:
        sandbox.wait_for(lambda: len(bulk_calls(sandbox)) == 8)
        wait_until(lambda: len(read) >= 8 * 20, "a buffer that is full")
        assert not call.done()
        assert len(read) <= 8 * 20 + 1
        sandbox.clear_faults()
        assert call.result(SOON).upserted == 400
    assert len(bulk_calls(sandbox)) == 20
    assert len(senders()) <= 8


def test_the_handlers_of_a_run_share_the_window(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("hang", None, path="/bulk")
    writer = runs.start(("a", "b", "c"))
    with ThreadPoolExecutor(3) as pool:
        calls = [
            pool.submit(
                writer.for_handler(name).upsert,
                "package",
                packages(*(f"{name}{n}" for n in range(200))),
            )
            for name in "abc"
        ]
        sandbox.wait_for(lambda: len(bulk_calls(sandbox)) == 8)
        assert len(writer._flight.window.in_flight) == 8
        sandbox.clear_faults()
        assert [call.result(SOON).upserted for call in calls] == [200] * 3
    assert len(bulk_calls(sandbox)) == 30


def test_a_thousand_entities_cost_fifty_calls_whatever_the_concurrency(
    sandbox: Sandbox, runs: Runs
) -> None:
    sandbox.fail("delay", None, path="/bulk", seconds=0.01)
    for concurrency in (1, 8):
        before = sandbox.call_count
        writer = runs.start(concurrency=concurrency)
        result = writer.for_handler("all").upsert("package", packages(*range(1000)))
        assert result.upserted == 1000
        tokens = [call for call in sandbox.calls if call.path.endswith("/access_token")]
        assert len(tokens) == 1
        assert sandbox.call_count - before - (concurrency == 1) == 50


def test_with_a_concurrency_of_one_batches_go_one_by_one_in_the_handlers_thread(
    sandbox: Sandbox, runs: Runs
) -> None:
    writer = runs.start(concurrency=1)
    read: list[int] = []

    def source() -> Iterator[Entity]:
        for number in range(100):
            read.append(len(bulk_calls(sandbox)))
            yield {"identifier": str(number)}

    assert writer.for_handler("all").upsert("package", source()).upserted == 100
    assert senders() == []
    assert [len(call.body["entities"]) for call in bulk_calls(sandbox)] == [20] * 5
    assert read == [max(0, (number - 1) // 20) for number in range(100)]


@pytest.mark.parametrize("count", [1, 20])
def test_a_small_run_starts_no_thread(sandbox: Sandbox, runs: Runs, count: int) -> None:
    port = runs.start().for_handler("all")
    assert port.upsert("package", packages(*range(count))).upserted == count
    assert port.upsert("package", iter(packages(*range(count)))).upserted == count
    assert senders() == []


def test_the_senders_end_with_the_run(sandbox: Sandbox, runs: Runs) -> None:
    writer = runs.start()
    writer.for_handler("all").upsert("package", packages(*range(200)))
    assert senders()
    writer.close()
    wait_until(lambda: senders() == [], "an end of the senders")


def test_without_threads_the_handler_sends_itself(
    sandbox: Sandbox, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    port = runs.start().for_handler("all")
    port.upsert("package", packages(1))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert port.upsert("package", packages(*range(100))).upserted == 100
    assert senders() == []


# -- order -------------------------------------------------------------------------------------


def test_an_identifier_that_comes_again_is_written_last(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("delay", 1, path="/bulk", seconds=0.3)
    old = [{"identifier": str(n), "properties": {"version": "old"}} for n in range(20)]
    new = [{"identifier": str(n), "properties": {"version": "new"}} for n in range(20)]
    port = runs.start().for_handler("all")
    assert port.upsert("package", [*old, *packages(*range(20, 60)), *new]).upserted == 80
    found = {each["identifier"]: each["properties"] for each in sandbox.entities("package")}
    assert [found[str(n)] for n in range(20)] == [{"version": "new"}] * 20


@pytest.mark.parametrize("concurrency", [1, 8])
def test_entities_that_relate_to_later_ones_are_sent_once_more(
    sandbox: Sandbox, runs: Runs, concurrency: int
) -> None:
    """A chain of 60, each related to the next, and one that relates to nothing that exists."""
    chain = [child(str(n), str(n + 1)) for n in range(60)]
    entities = [child("orphan", "nobody"), *chain, {"identifier": "60"}]
    writer = runs.start(concurrency=concurrency)
    result = writer.for_handler("all").upsert(
        "package", entities, create_missing_related_entities=False
    )
    assert (result.upserted, result.created, result.failed) == (61, 61, 1)
    (failure,) = result.failures
    assert (failure.identifier, failure.status) == ("orphan", 404)
    assert (writer.written().upserted, writer.written().failed) == (61, 1)
    tried = [each["identifier"] for call in bulk_calls(sandbox) for each in call.body["entities"]]
    assert max(tried.count(name) for name in tried) == 2
    assert tried.count("orphan") == 1


def test_entities_that_relate_in_a_circle_are_refused_in_the_end(
    sandbox: Sandbox, runs: Runs
) -> None:
    entities = [child("a", "b"), child("b", "a"), child("c", "d"), *packages("d")]
    result = (
        runs.start()
        .for_handler("all")
        .upsert("package", entities, create_missing_related_entities=False)
    )
    assert (result.upserted, result.failed) == (2, 2)
    assert sorted(each.identifier for each in result.failures) == ["a", "b"]


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("between", [0, 60])
def test_a_newer_entity_waits_for_an_older_one_that_is_tried_again(
    sandbox: Sandbox, runs: Runs, concurrency: int, between: int
) -> None:
    """The older one relates to what comes last; the newer one could be written at once."""
    old = child("a", "b", properties={"version": "old", "size": 1})
    new = {"identifier": "a", "properties": {"version": "new"}}
    entities = [old, *packages(*range(between)), new, *packages("b")]
    writer = runs.start(concurrency=concurrency)
    result = writer.for_handler("all").upsert(
        "package", entities, create_missing_related_entities=False
    )
    assert (result.upserted, result.failed) == (between + 3, 0)
    (found,) = [each for each in sandbox.entities("package") if each["identifier"] == "a"]
    assert found["properties"] == {"version": "new", "size": 1}
    assert found["relations"] == {"parent": "b"}


def entity() -> st.SearchStrategy[dict[str, Any]]:
    name = st.sampled_from([f"e{n}" for n in range(6)])
    return st.fixed_dictionaries(
        {"identifier": name},
        optional={
            "title": st.sampled_from(["old", "new"]),
            "properties": st.dictionaries(
                st.sampled_from(["version", "size"]), st.sampled_from([1, "1"]), max_size=2
            ),
            "relations": st.fixed_dictionaries({"parent": name}),
        },
    )


def written(sandbox: Sandbox) -> list[Entity]:
    kept = ("identifier", "title", "properties", "relations")
    found = [{key: each[key] for key in kept} for each in sandbox.entities("package")]
    return sorted(found, key=lambda each: str(each["identifier"]))


def outcome(
    sandbox: Sandbox, runs: Runs, concurrency: int, entities: Sequence[Entity], **flags: bool
) -> list[Entity]:
    for each in names(sandbox):
        with sandbox._core.changing() as state:
            state.catalog.delete("package", [each], dependents=True)
    writer = runs.start(concurrency=concurrency)
    port = writer.for_handler("all")
    port._sender.largest = 2
    port.upsert("package", iter(entities), **flags)  # lists this short go one batch at a time
    writer.close()
    return written(sandbox)


LATE = [{"kind": "delay", "seconds": seconds} for seconds in (0.005, 0.01, 0.02)]
TOO_MANY = [
    {"kind": "status", "status": 429, "headers": headers}
    for headers in (
        {},
        {"Retry-After": "2"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"},
    )
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    entities=[
        {"identifier": f"e{n % 4}", "title": title} for title in ("old", "new") for n in range(8)
    ],
    merge=True,
    create=True,
    faults=[LATE[-1]] * 3,
    largest_body=sandbox_app.MAX_BODY,
)
@example(
    entities=[*packages("e0", "e1"), child("e2", "e0"), child("e3", "e1")],
    merge=True,
    create=False,
    faults=[LATE[-1]] * 3,
    largest_body=sandbox_app.MAX_BODY,
)
@given(
    entities=st.lists(entity(), min_size=4, max_size=16),
    merge=st.booleans(),
    create=st.booleans(),
    faults=st.lists(st.sampled_from([*LATE, *LATE, *TOO_MANY]), max_size=8),
    largest_body=st.sampled_from([sandbox_app.MAX_BODY, 160]),
)
def test_whatever_the_interleaving_port_ends_with_the_same_entities(
    sandbox: Sandbox,
    runs_in_no_time: Runs,
    entities: list[Entity],
    merge: bool,
    create: bool,
    faults: list[dict[str, Any]],
    largest_body: int,
) -> None:
    """Port answers late and out of order, now and then with 429, and to large bodies with 413."""
    flags = {"merge": merge, "create_missing_related_entities": create}
    expected = outcome(sandbox, runs_in_no_time, 1, entities, **flags)
    for fault in faults:
        sandbox.fail(times=1, path="/bulk", rate=0.7, **fault)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_app, "MAX_BODY", largest_body)  # two entities may be too many
        assert outcome(sandbox, runs_in_no_time, 8, entities, **flags) == expected
    sandbox.clear_faults()


# -- trouble -----------------------------------------------------------------------------------


def test_an_abort_ends_all_in_flight_at_once(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("hang", None, path="/bulk", seconds=SOON * 3)
    writer = runs.start()
    with in_thread(
        lambda: writer.for_handler("all").upsert("package", packages(*range(400)))
    ) as call:
        sandbox.wait_for(lambda: len(bulk_calls(sandbox)) == 8)
        writer.abort("newer request")
        with pytest.raises(ResyncAborted, match="newer request"):
            call.result(SOON)
        wait_until(lambda: not writer._flight.window.in_flight, "an end while Port hangs")
    assert writer._flight.window.waiting == {}
    assert len(bulk_calls(sandbox)) == 8
    sandbox.clear_faults()


def test_a_refusal_for_a_while_slows_the_whole_run_down(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("hang", 7, path="/bulk")
    sandbox.fail("status", 1, path="/bulk", status=429, headers={"Retry-After": "2"})
    writer = runs.start()
    with in_thread(
        lambda: writer.for_handler("all").upsert("package", packages(*range(400)))
    ) as call:
        try:
            wait_until(
                lambda: writer._flight.window.size <= 4 and writer._client.waits.pauses._ends,
                "a smaller window and a pause",
            )
        finally:
            sandbox.clear_faults()  # the seven have room to go on, and must not
        assert call.result(SOON).upserted == 400
    calls = bulk_calls(sandbox)
    assert len(calls) == 21
    (refused,) = (each for each in calls if each.status == 429)
    first, *later = (parse_time(each.at) for each in (refused, *calls[8:]))
    assert first is not None
    assert all(each and each - first >= timedelta(seconds=1.9) for each in later)


def test_coroutines_wait_when_port_asks_another_call_to(sandbox: Sandbox, runs: Runs) -> None:
    writer = runs.start()
    port = writer.for_handler("all")

    async def work() -> None:
        await port.aupsert("package", packages(1))
        (lent,) = port._async_writes._idle
        assert lent.client.waits is writer._client.waits

    asyncio.run(work())


def test_batches_that_are_too_large_are_split_while_others_are_in_flight(
    sandbox: Sandbox, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_app, "MAX_BODY", 300)  # bytes; ten of the entities, not twenty
    result = runs.start().for_handler("all").upsert("package", packages(*range(400)))
    assert (result.upserted, result.failed) == (400, 0)
    assert len(names(sandbox)) == 400
    sizes = Counter(len(call.body["entities"]) for call in bulk_calls(sandbox))
    assert sizes == {20: 20, 10: 40}


def test_the_first_error_is_raised_once_and_no_more_is_read(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("delay", 3, path="/bulk", seconds=0.2)
    sandbox.fail("status", None, path="/bulk", status=403)
    read = []

    def source() -> Iterator[Entity]:
        for each in packages(*range(10_000)):
            read.append(each)
            yield each

    writer = runs.start()
    port = writer.for_handler("all")
    with pytest.raises(PortError, match="403"):
        port.upsert("package", source())
    assert len(read) < 1000
    assert not writer._flight.window.in_flight
    assert writer.written().upserted == len(names(sandbox)) == 60  # three were answered
    sandbox.clear_faults()
    assert port.upsert("package", packages("later")).upserted == 1
    with pytest.raises(Exception, match="not all of all's entities"):
        port.reconcile()


def test_a_source_that_fails_leaves_nothing_in_flight(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("delay", None, path="/bulk", seconds=0.1)

    def source() -> Iterator[Entity]:
        yield from packages(*range(61))
        raise ValueError("the source broke off")

    writer = runs.start()
    with pytest.raises(ValueError, match="broke off"):
        writer.for_handler("all").upsert("package", source())
    assert writer.written().upserted == len(names(sandbox)) == 60
    assert not writer._flight.window.in_flight


# -- deletions, coroutines, runs -----------------------------------------------------------------


def test_deletions_are_in_flight_together(sandbox: Sandbox, runs: Runs) -> None:
    runs.start().for_handler("all").upsert("package", packages(*range(1200)))
    sandbox.fail("hang", None, path="/bulk/entities/delete")
    writer = runs.start()
    port = writer.for_handler("all")
    port.upsert("package", packages(*range(200)))

    def deletions() -> int:
        return len([call for call in sandbox.calls if call.path.endswith("/entities/delete")])

    with in_thread(port.reconcile) as call:
        sandbox.wait_for(lambda: deletions() == 8)
        sandbox.clear_faults()
        assert call.result(SOON) == 1000
    assert (deletions(), len(names(sandbox))) == (10, 200)
    assert writer.written().deleted == 1000


def test_an_async_source_keeps_eight_batches_in_flight(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("hang", None, path="/bulk")
    read = []

    async def source() -> AsyncIterator[Entity]:
        for each in packages(*range(400)):
            read.append(each)
            yield each

    async def work() -> None:
        call = asyncio.ensure_future(runs.start().for_handler("all").aupsert("package", source()))
        while len(bulk_calls(sandbox)) < 8:
            await asyncio.sleep(0.01)
        assert len(read) == 8 * 20
        sandbox.clear_faults()
        assert (await call).upserted == 400

    asyncio.run(asyncio.wait_for(work(), SOON))


def test_an_async_source_that_fails_raises_its_error_and_ends_the_thread(
    sandbox: Sandbox, runs: Runs
) -> None:
    async def source() -> AsyncIterator[Entity]:
        for each in packages(*range(45)):
            yield each
        raise ValueError("the source broke off")

    async def work() -> None:
        port = runs.start().for_handler("all")
        with pytest.raises(ValueError, match="broke off"):
            await port.aupsert("package", source())
        assert (await port.aupsert("package", packages("later"))).upserted == 1

    asyncio.run(asyncio.wait_for(work(), SOON))
    wait_until(
        lambda: "in-thread" not in [each.name for each in threading.enumerate()],
        "an end of the thread",
    )


def test_an_error_of_port_ends_an_async_source(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("status", None, path="/bulk", status=403)
    read = []

    async def source() -> AsyncIterator[Entity]:
        for each in packages(*range(10_000)):
            read.append(each)
            yield each

    with pytest.raises(PortError, match="403"):
        asyncio.run(runs.start().for_handler("all").aupsert("package", source()))
    assert len(read) < 1000


def test_an_entity_that_a_search_finds_is_not_in_two_batches(sandbox: Sandbox, runs: Runs) -> None:
    rule = {"property": "$identifier", "operator": "=", "value": "1"}
    found = {"identifier": {"combinator": "and", "rules": [rule]}, "properties": {"version": "new"}}
    sandbox.fail("delay", 1, path="/bulk", seconds=0.3)
    result = (
        runs.start()
        .for_handler("all")
        .upsert("package", [*packages(*range(40)), found, *packages(*range(40, 80))])
    )
    assert (result.upserted, result.failed) == (81, 0)
    (one,) = [each for each in sandbox.entities("package") if each["identifier"] == "1"]
    assert one["properties"] == {"version": "new"}


class Many(ResyncHandler):
    """Sends two hundred entities, one of which is refused."""

    kinds = ("package",)

    def resync(self, run: ResyncRun) -> None:
        bad = {"identifier": "bad", "properties": {"colour": "blue"}}
        run.port.upsert("package", [*packages(*range(199)), bad])


def test_settings_say_how_many_and_nothing_is_left_behind(sandbox: Sandbox) -> None:
    sandbox.fail("hang", None, path="/bulk")
    with SandboxedSystem([Many], sandbox=sandbox, port={"concurrency": 3}) as rig:
        sandbox.wait_for(lambda: len(bulk_calls(sandbox)) == 3)
        assert len(senders()) == 3
        sandbox.clear_faults()
        ended = rig.expect(RunEnded)
        assert (ended.written.upserted, ended.written.failed) == (199, 1)
        wait_until(lambda: senders() == [], "an end of the senders")
