"""`resync.shardWrites`: worker processes send their entities to Port themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sharded import Sharded
from waiting import wait_for

from ocean_actors.messages import RunEnded
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import SandboxedSystem

pytestmark = pytest.mark.xdist_group("shard-writes")
Open = Callable[..., SandboxedSystem]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def open_system(sandbox: Sandbox, tmp_path: Path) -> Open:
    def open_one(*shards: list[Any], writes: bool = True, **resync: Any) -> SandboxedSystem:
        file = tmp_path / "shards.json"
        file.write_text(json.dumps(shards))
        settings = {"executor": "processes", "workers": 2, "shardWrites": writes, **resync}
        return SandboxedSystem(
            [Sharded],
            sandbox=sandbox,
            integration={"identifier": "demo", "config": {"file": str(file)}},
            resync=settings,
        )

    return open_one


def identifiers(sandbox: Sandbox) -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities("thing"))


def bulk_calls(sandbox: Sandbox) -> list[Any]:
    return [call for call in sandbox.calls if call.path.endswith("/entities/bulk")]


@pytest.mark.parametrize("writes", [False, True], ids=["parent", "workers"])
def test_who_writes_changes_neither_counts_nor_what_is_deleted(
    sandbox: Sandbox, open_system: Open, writes: bool
) -> None:
    with open_system(["things", 45, "a"], ["things", 10, "b"], writes=writes) as rig:
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.written.upserted, ended.written.failed) == ("completed", 55, 0)
    bulk = bulk_calls(sandbox)
    assert {call.query["ocean_info_resync_id"] for call in bulk} == {ended.run.id}
    agents = {call.headers["user-agent"] for call in bulk}
    assert len(agents) == 1
    with open_system(["things", 30, "a"], ["things", 12, "b"], writes=writes) as rig:
        ended = rig.expect(RunEnded)
    written = ended.written
    assert (ended.status, written.upserted, written.deleted) == ("completed", 42, 15)
    kept = [f"a-{n}" for n in range(30)] + [f"b-{n}" for n in range(12)]
    assert identifiers(sandbox) == sorted(kept)


def test_a_worker_that_dies_while_it_writes_is_replaced_and_nothing_is_deleted_too_much(
    sandbox: Sandbox, open_system: Open
) -> None:
    with open_system(["things", 25, "a"], ["dies", 1]) as rig:
        ended = rig.expect(RunEnded)
    assert ended.status == "completed"
    assert identifiers(sandbox) == sorted([*(f"a-{n}" for n in range(25)), "thing-0", "thing-1"])


def test_an_aborted_run_s_workers_write_nothing_more(
    sandbox: Sandbox, open_system: Open, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    with open_system(["endless", str(began)]) as rig:
        wait_for(began)
        sandbox.wait_for(lambda: bulk_calls(sandbox))
        rig.system.abort("enough")
        assert rig.expect(RunEnded).status == "aborted"
        before = len(bulk_calls(sandbox))
    assert len(bulk_calls(sandbox)) == before


def test_what_relates_to_another_shard_s_entities_is_written_in_the_end(
    sandbox: Sandbox, open_system: Open
) -> None:
    sandbox.create_blueprint("thing", relations={"next": {"target": "thing", "many": False}})
    sandbox.create_integration("demo", config={"createMissingRelatedEntities": False})
    with open_system(["chain", 1, 0], ["chain", 0, None], workers=1) as rig:
        ended = rig.expect(RunEnded)
    assert (ended.status, ended.written.upserted, ended.written.failed) == ("completed", 2, 0)
    assert identifiers(sandbox) == ["chain-0", "chain-1"]


def test_an_unknown_blueprint_fails_the_run_with_the_shard_s_name(
    sandbox: Sandbox, open_system: Open
) -> None:
    with open_system(["yields", ("nonsense", {"identifier": "a"})]) as rig:
        ended = rig.expect(RunEnded)
    assert ended.status == "failed"
    (failure,) = ended.failures
    assert failure.endswith("is there a blueprint 'nonsense' in Port?")
    assert failure.count("PortError: ") == 1


def test_a_dry_run_s_workers_write_nothing(sandbox: Sandbox, open_system: Open) -> None:
    with open_system(["things", 5], dryRun=True) as rig:
        assert rig.expect(RunEnded).status == "completed"
    assert bulk_calls(sandbox) == []
