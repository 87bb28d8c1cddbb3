"""`resync.shardWrites`: worker processes send their entities to Port themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sharded import Sharded
from sharded_system import Rig
from waiting import wait_for
from workshop import PROCESSES

from ocean_actors.messages import RunEnded
from ocean_actors.sandbox import Sandbox
from ocean_actors.shards.executor import Entities
from ocean_actors.shards.streams import EntityStreams
from ocean_actors.testing.sandboxed import SandboxedSystem

pytestmark = pytest.mark.xdist_group("shard-writes")
Open = Callable[..., SandboxedSystem]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A system for several tests; each leaves it without a run."""
    folder = tmp_path_factory.mktemp("shard-writes")
    with Rig(PROCESSES, folder, resync={"shardWrites": True}) as opened:
        yield opened


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def open_system(sandbox: Sandbox, tmp_path: Path) -> Open:
    def open_one(*shards: list[Any], **resync: Any) -> SandboxedSystem:
        file = tmp_path / "shards.json"
        file.write_text(json.dumps(shards))
        settings = {"executor": "processes", "workers": 2, "shardWrites": True, **resync}
        return SandboxedSystem(
            [Sharded],
            sandbox=sandbox,
            integration={"identifier": "demo", "config": {"file": str(file)}},
            resync=settings,
        )

    return open_one


def identifiers(sandbox: Sandbox) -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities("thing"))


def bulk_calls(sandbox: Sandbox, run_id: str | None = None) -> list[Any]:
    """Returns the calls that write entities: those of a run, or all."""
    return [
        call
        for call in sandbox.calls
        if call.path.endswith("/entities/bulk")
        and run_id in {None, call.query["ocean_info_resync_id"]}
    ]


def test_counts_and_what_is_deleted_are_exact(rig: Rig) -> None:
    ended = rig.run(["things", 45, "a"], ["things", 10, "b"])
    assert (ended.status, ended.written.upserted, ended.written.failed) == ("completed", 55, 0)
    assert len({call.headers["user-agent"] for call in bulk_calls(rig.sandbox, ended.run.id)}) == 1
    ended = rig.run(["things", 30, "a"], ["things", 12, "b"])
    written = ended.written
    assert (ended.status, written.upserted, written.deleted) == ("completed", 42, 15)
    kept = [f"a-{n}" for n in range(30)] + [f"b-{n}" for n in range(12)]
    assert identifiers(rig.sandbox) == sorted(kept)


def test_workers_write_themselves(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_streams: EntityStreams, chunk: Entities) -> None:
        raise AssertionError(f"{chunk.items} entities came to the run's process")

    monkeypatch.setattr(EntityStreams, "put", refuse)
    assert rig.run(["things", 45]).status == "completed"
    assert len(identifiers(rig.sandbox)) == 45


def test_a_worker_that_dies_while_it_writes_is_replaced_and_nothing_is_deleted_too_much(
    rig: Rig,
) -> None:
    assert rig.run(["things", 25, "a"], ["dies", 1]).status == "completed"
    expected = [*(f"a-{n}" for n in range(25)), "thing-0", "thing-1"]
    assert identifiers(rig.sandbox) == sorted(expected)


def test_an_aborted_run_s_workers_write_nothing_more(rig: Rig, tmp_path: Path) -> None:
    began = tmp_path / "began"
    before = len(bulk_calls(rig.sandbox))
    rig.begin(["endless", str(began)])
    wait_for(began)
    rig.sandbox.wait_for(lambda: len(bulk_calls(rig.sandbox)) > before)
    rig.system.abort("enough")
    ended = rig.expect(RunEnded)
    assert ended.status == "aborted"
    written = len(bulk_calls(rig.sandbox, ended.run.id))
    assert rig.run(["things", 1]).status == "completed"
    assert len(bulk_calls(rig.sandbox, ended.run.id)) == written


def test_an_unknown_blueprint_fails_the_run_with_the_shard_s_name(rig: Rig) -> None:
    ended = rig.run(["yields", ("nonsense", {"identifier": "a"})])
    assert ended.status == "failed"
    (failure,) = ended.failures
    assert failure.endswith("is there a blueprint 'nonsense' in Port?")
    assert failure.count("PortError: ") == 1


def test_what_relates_to_another_shard_s_entities_is_written_in_the_end(
    sandbox: Sandbox, open_system: Open
) -> None:
    sandbox.create_blueprint("thing", relations={"next": {"target": "thing", "many": False}})
    sandbox.create_integration("demo", config={"createMissingRelatedEntities": False})
    with open_system(["chain", 1, 0], ["chain", 0, None], workers=1) as rig:
        ended = rig.expect(RunEnded)
    assert (ended.status, ended.written.upserted, ended.written.failed) == ("completed", 2, 0)
    assert identifiers(sandbox) == ["chain-0", "chain-1"]


def test_a_dry_run_s_workers_write_nothing(sandbox: Sandbox, open_system: Open) -> None:
    with open_system(["things", 5], dryRun=True) as rig:
        assert rig.expect(RunEnded).status == "completed"
    assert bulk_calls(sandbox) == []
