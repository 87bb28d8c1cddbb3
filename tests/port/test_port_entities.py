from __future__ import annotations

import json
import multiprocessing
import re
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from requests.structures import CaseInsensitiveDict as Headers

from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter, ReconcileRefused
from ocean_actors.port.errors import PortError
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.port.conftest import Runs

SOON = 30  # seconds
BULK = "POST /v1/blueprints/package/entities/bulk"


def packages(*names: Any) -> Iterator[dict[str, Any]]:
    return ({"identifier": str(name)} for name in names)


def bulk_calls(sandbox: Sandbox) -> Any:
    return [call for call in sandbox.calls if f"{call.method} {call.path}" == BULK]


def names(sandbox: Sandbox) -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities("package"))


# -- upsert ------------------------------------------------------------------------------------


def test_entities_are_sent_twenty_at_a_time(sandbox: Sandbox, runs: Runs) -> None:
    writer = runs.start()
    result = writer.for_handler("all").upsert("package", packages(*range(45)))
    assert (result.upserted, result.created, result.failed) == (45, 45, 0)
    assert sorted(len(call.body["entities"]) for call in bulk_calls(sandbox)) == [5, 20, 20]
    assert writer.written().upserted == 45


def test_port_is_told_the_run_the_owner_and_what_the_mapping_says(
    sandbox: Sandbox, runs: Runs
) -> None:
    port = runs.start(enableMergeEntity=False).for_handler("all")
    port.upsert("package", packages(1))
    port.upsert("package", packages(1), merge=True, create_missing_related_entities=False)
    first, second = bulk_calls(sandbox)
    assert first.query == {
        "upsert": "true",
        "merge": "false",
        "create_missing_related_entities": "true",
        "ocean_info_event_type": "resync",
        "ocean_info_resync_id": "run-1",
    }
    assert second.query["merge"] == "true"
    assert second.query["create_missing_related_entities"] == "false"
    agent = Headers(first.headers)["User-Agent"]
    assert re.fullmatch(r"port-ocean/custom/[^/]+/demo/exporter", agent)


def test_what_port_refuses_is_counted_and_told_and_stops_nothing(
    sandbox: Sandbox, runs: Runs
) -> None:
    writer = runs.start()
    bad = {"identifier": "bad", "properties": {"colour": "blue"}}
    result = writer.for_handler("all").upsert("package", [*packages("a"), bad, *packages("c")])
    assert (result.upserted, result.failed) == (2, 1)
    (failure,) = result.failures
    assert (failure.identifier, failure.status) == ("bad", 422)
    assert "colour" in failure.message
    assert writer.written().failed == 1


def test_a_number_as_identifier_is_sent_as_text(sandbox: Sandbox, runs: Runs) -> None:
    result = runs.start().for_handler("all").upsert("package", [{"identifier": 7}])
    assert (result.upserted, result.failed) == (1, 0)
    assert [entity["identifier"] for entity in sandbox.entities("package")] == ["7"]


@pytest.mark.parametrize(
    "entity", [{"title": "nameless"}, {"identifier": ""}, {"identifier": True}, "text", None,
               {"identifier": "x", "properties": {"p": object()}},
               {"identifier": "x", "properties": {"p": float("nan")}}]
)  # fmt: skip
def test_what_cannot_be_sent_is_a_failed_entity(sandbox: Sandbox, runs: Runs, entity: Any) -> None:
    result = runs.start().for_handler("all").upsert("package", [entity, *packages("good")])
    assert (result.upserted, result.failed) == (1, 1)
    assert result.failures[0].status is None
    assert "\n" not in result.failures[0].message


def test_one_entity_in_place_of_many_is_a_mistake_that_is_told(runs: Runs) -> None:
    with pytest.raises(TypeError, match="many"):
        runs.start().for_handler("all").upsert("package", {"identifier": "a"})


def test_a_blueprint_that_is_no_string_is_told_and_keeps_no_run_from_deleting(
    sandbox: Sandbox, runs: Runs
) -> None:
    fill(runs, 1, 2)
    port = runs.start().for_handler("all")
    with pytest.raises(TypeError, match=r"^blueprint: expected a string, got int$"):
        port.upsert(3, packages(1))
    port.upsert("package", packages(1))
    assert port.reconcile() == 1


def test_a_batch_that_is_too_large_is_split_down_to_the_one_that_is(
    sandbox: Sandbox, runs: Runs
) -> None:
    big = {"identifier": "big", "properties": {"version": "x" * 1_100_000}}
    result = runs.start().for_handler("all").upsert("package", [*packages(*range(9)), big])
    assert (result.upserted, result.failed) == (9, 1)
    assert (result.failures[0].identifier, result.failures[0].status) == ("big", 413)


def test_batches_stay_below_what_port_takes(sandbox: Sandbox, runs: Runs) -> None:
    large = [{"identifier": str(n), "properties": {"version": "x" * 200_000}} for n in range(12)]
    assert runs.start().for_handler("all").upsert("package", large).upserted == 12
    assert {call.status for call in bulk_calls(sandbox)} == {200}


def test_a_413_is_split_in_halves(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.fail("status", 3, status=413, path="/bulk")
    assert runs.start().for_handler("all").upsert("package", packages(*range(8))).upserted == 8
    sizes = [len(call.body["entities"]) for call in bulk_calls(sandbox)]
    assert sizes == [8, 4, 2, 1, 1, 2, 4]


def test_a_batch_that_port_refuses_as_a_whole_is_failed_entities(
    sandbox: Sandbox, runs: Runs
) -> None:
    sandbox.fail("status", 1, status=422, path="/bulk")
    result = runs.start().for_handler("all").upsert("package", packages(*range(25)))
    assert sorted((result.upserted, result.failed)) == [5, 20]  # the first that arrives
    assert "422" in result.failures[0].message


def test_an_unknown_blueprint_is_named(runs: Runs) -> None:
    with pytest.raises(PortError, match="blueprint 'nonsense'"):
        runs.start().for_handler("all").upsert("nonsense", packages(1))


@pytest.mark.parametrize("kind", ["status", "html", "garbage", "list", "empty", "truncate", "drop"])
def test_a_bad_moment_of_port_costs_nothing(sandbox: Sandbox, runs: Runs, kind: str) -> None:
    sandbox.fail(kind, 2, path="/bulk")
    result = runs.start().for_handler("all").upsert("package", packages(1, 2))
    assert (result.upserted, result.failed) == (2, 0)


def test_only_the_first_thousand_failures_are_kept(runs: Runs) -> None:
    result = runs.start().for_handler("all").upsert("package", ({} for _ in range(2500)))
    assert result.failed == 2500
    assert len(result.failures) == 1000


def test_an_upsert_that_hangs_ends_when_the_run_is_aborted(sandbox: Sandbox, runs: Runs) -> None:
    writer = runs.start()
    sandbox.fail("hang", None, path="/bulk", seconds=SOON * 3)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(writer.for_handler("all").upsert, "package", packages(1))
        sandbox.wait_for(lambda: bulk_calls(sandbox))
        writer.abort("newer request")
        with pytest.raises(ResyncAborted, match="newer request"):
            call.result(SOON)
    sandbox.clear_faults()


def test_entities_are_no_more_asked_for_once_the_run_is_aborted(
    sandbox: Sandbox, runs: Runs
) -> None:
    writer = runs.start()

    def source() -> Iterator[Any]:
        yield {"identifier": "1"}
        writer.abort("newer request")
        yield {"identifier": "2"}
        raise AssertionError("asked for more")

    with pytest.raises(ResyncAborted):
        writer.for_handler("all").upsert("package", source())
    assert names(sandbox) == []


def test_nothing_is_written_after_the_end_of_the_run(sandbox: Sandbox, runs: Runs) -> None:
    writer = runs.start()
    writer.close()
    with pytest.raises(ResyncAborted):
        writer.for_handler("all").upsert("package", packages(1))


class AnyPort(BaseHTTPRequestHandler):
    """Takes whatever is sent and keeps nothing."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sent = body.get("entities", ())
        taken = [{"index": n, "identifier": item["identifier"]} for n, item in enumerate(sent)]
        answer = json.dumps({"accessToken": "t", "expiresIn": 3600, "entities": taken}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def any_port() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), AnyPort)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_many_entities_cost_no_memory(
    any_port: str, connect: Callable[..., PortClient], make_runs: Callable[[PortClient], Runs]
) -> None:
    port = make_runs(connect(any_port)).start().for_handler("all")

    def peak(count: int) -> Any:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        entities = ({"identifier": str(n), "title": "x" * 200} for n in range(count))
        assert port.upsert("package", entities).upserted == count
        return tracemalloc.get_traced_memory()[1] - before

    port.upsert("package", packages(*range(100)))
    tracemalloc.start()
    try:
        few, many = peak(500), peak(4_000)
    finally:
        tracemalloc.stop()
    assert many - few < 4_000 * 8 * 4 + 100_000  # eight bytes each, and how arrays grow


# -- reconcile ---------------------------------------------------------------------------------


def fill(runs: Runs, *identifiers: Any) -> None:
    runs.start().for_handler("all").upsert("package", packages(*identifiers))


def test_what_a_run_did_not_send_is_deleted(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(250))
    writer = runs.start()
    port = writer.for_handler("all")
    port.upsert("package", packages(*range(40)))
    assert port.reconcile() == 210
    assert writer.written().deleted == 210
    assert names(sandbox) == sorted(map(str, range(40)))
    deletes = [call for call in sandbox.calls if call.path.endswith("/bulk/entities/delete")]
    assert sorted(len(call.body["entities"]) for call in deletes) == [10, 100, 100]
    assert deletes[0].query == {
        "delete_dependents": "true",
        "ocean_info_event_type": "resync",
        "ocean_info_resync_id": "run-2",
    }


def test_what_others_own_stays(
    sandbox: Sandbox, runs: Runs, connect: Callable[..., PortClient]
) -> None:
    other = EntityWriter(connect(sandbox.url, "demo2").clone(), runs.start()._run, ("all",))
    other.for_handler("all").upsert("package", packages("theirs"))
    other.close()
    fill(runs, "a", "b")
    port = runs.start().for_handler("all")
    port.upsert("package", packages("a"))
    assert port.reconcile() == 1
    assert names(sandbox) == ["a", "theirs"]


def test_more_than_a_share_of_the_whole_is_not_deleted(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(20))
    port = runs.start().for_handler("all")
    port.upsert("package", packages(1))
    with pytest.raises(ReconcileRefused, match="19 of 20"):
        port.reconcile()
    with pytest.raises(ReconcileRefused):
        port.reconcile(max_share=0.94)
    assert len(names(sandbox)) == 20
    assert port.reconcile(max_share=0.95) == 19


def test_the_mapping_sets_the_share(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    port = runs.start(entityDeletionThreshold=0.2).for_handler("all")
    port.upsert("package", packages(0, 1, 2))
    with pytest.raises(ReconcileRefused, match=r"share of 0\.2"):
        port.reconcile()


@pytest.mark.parametrize(
    ("share", "error", "got"),
    [(2, ValueError, "2"), (float("nan"), ValueError, "nan"), ("x", TypeError, "str")],
)
def test_a_share_that_is_no_number_from_0_to_1_is_told(
    runs: Runs, share: Any, error: type[Exception], got: str
) -> None:
    with pytest.raises(error, match=f"^max_share: expected a number from 0 to 1, got {got}$"):
        runs.start().for_handler("all").reconcile(max_share=share)


def test_nothing_is_deleted_after_failures(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    port = runs.start().for_handler("all")
    port.upsert("package", [*packages(0, 1), {}])
    with pytest.raises(ReconcileRefused, match="1 entities failed"):
        port.reconcile()
    assert len(names(sandbox)) == 4


def test_nothing_is_deleted_when_a_source_broke_off(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    port = runs.start().for_handler("all")

    def source() -> Iterator[Any]:
        yield {"identifier": "0"}
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        port.upsert("package", source())
    with pytest.raises(ReconcileRefused, match="not all"):
        port.reconcile(max_share=1)


def test_nothing_is_deleted_in_an_aborted_run(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    writer = runs.start()
    port = writer.for_handler("all")
    port.upsert("package", packages(0, 1))
    writer.abort("newer request")
    with pytest.raises(ResyncAborted):
        port.reconcile()
    assert len(names(sandbox)) == 4


def test_what_a_sent_entity_relates_to_stays(sandbox: Sandbox, runs: Runs) -> None:
    sandbox.create_blueprint("file", relations={"in": {"target": "package", "many": False}})
    port = runs.start().for_handler("all")
    file = {"identifier": "f", "relations": {"in": "made-by-port"}}
    port.upsert("file", [file])
    assert names(sandbox) == ["made-by-port"]
    assert port.reconcile() == 0
    assert len(sandbox.entities("file")) == 1


def test_dependents_are_deleted_first_where_port_must_not_delete_them(
    sandbox: Sandbox, runs: Runs
) -> None:
    sandbox.create_blueprint("zfile", relations={"in": {"target": "package", "many": False}})
    before = runs.start().for_handler("all")
    before.upsert("package", packages("keep", "gone"))
    before.upsert("zfile", [{"identifier": "f", "relations": {"in": "gone"}}])
    port = runs.start(deleteDependentEntities=False).for_handler("all")
    port.upsert("package", packages("keep"))
    assert port.reconcile() == 2
    assert names(sandbox) == ["keep"]


def test_the_handlers_of_a_run_wait_for_each_other_and_one_deletes_for_all(
    sandbox: Sandbox, runs: Runs
) -> None:
    fill(runs, *range(9))
    writer = runs.start(("a", "b", "c"))
    with ThreadPoolExecutor(2) as pool:
        a, b = writer.for_handler("a"), writer.for_handler("b")
        a.upsert("package", packages(0, 1))
        first = pool.submit(a.reconcile)
        b.upsert("package", packages(2, 3))
        second = pool.submit(b.reconcile)
        writer.for_handler("c").upsert("package", packages(4))
        assert not first.done()
        assert not second.done()
        writer.handler_finished("c", ok=True)
        assert first.result(SOON) == second.result(SOON) == 4
    assert names(sandbox) == ["0", "1", "2", "3", "4"]
    assert writer.written().deleted == 4


def test_a_handler_that_failed_keeps_the_others_from_deleting(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    writer = runs.start(("a", "b"))
    port = writer.for_handler("a")
    port.upsert("package", packages(0, 1))
    writer.handler_finished("b", ok=False)
    with pytest.raises(ReconcileRefused, match="handler b failed"):
        port.reconcile()


def test_who_waits_for_others_is_woken_by_an_abort(runs: Runs) -> None:
    writer = runs.start(("a", "b"))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(writer.for_handler("a").reconcile)
        barrier = writer._barrier
        with barrier._changed:  # `a` holds it from its arrival until it waits
            assert barrier._changed.wait_for(lambda: barrier._round.arrived, SOON)
        writer.abort("newer request")
        with pytest.raises(ResyncAborted):
            call.result(SOON)


def test_a_forked_child_writes_nothing_that_its_parent_would_not_know_of(
    sandbox: Sandbox, runs: Runs
) -> None:
    port = runs.start().for_handler("all")
    child = multiprocessing.get_context("fork").Process(target=_write_in_child, args=(port,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads: the point
        child.start()
    child.join(30)
    assert child.exitcode == 0
    assert port.upsert("package", [{"identifier": "mine"}]).upserted == 1
    assert [entity["identifier"] for entity in sandbox.entities("package")] == ["mine"]


def _write_in_child(port: Any) -> None:
    for write in (lambda: port.upsert("package", [{"identifier": "lost"}]), port.reconcile):
        with pytest.raises(RuntimeError, match="this is a forked child"):
            write()
