"""Handlers whose entities come from Port's mapping, in runs against the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mapped import entry

from ocean_actors import ResyncHandler, ResyncRun, RunEnded, RunStarted
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}
NAME = "under-test"
PARENT = {"target": "issue", "many": False, "required": False}
ITEMS: list[Any] = [
    {"key": "P1-1", "summary": "é"},
    {"key": "P1-2", "summary": None, "parent": "P1-1"},
]
MAPPING = {
    "identifier": ".key",
    "title": ".summary",
    "blueprint": "'issue'",
    "relations": {"parent": ".parent"},
}


class Rig(SandboxedSystem):
    """A system whose integration has a mapping, and a blueprint `issue`."""

    def __init__(self, entries: list[Any], *handlers: type[ResyncHandler]) -> None:
        sandbox = Sandbox()
        sandbox.start()
        sandbox.create_blueprint("issue", relations={"parent": PARENT})
        sandbox.create_integration(NAME, config={"resources": entries})
        super().__init__(handlers, sandbox=sandbox, eventListener=CALM)

    def run(self) -> RunEnded:
        """Returns how the first run ended."""
        with self:
            return self.expect(RunEnded)

    def sent(self) -> list[str]:
        """Returns the identifiers of the entities at Port."""
        return sorted(entity["identifier"] for entity in self.sandbox.entities("issue"))


Work = Callable[[ResyncRun], None]
OpenRig = Callable[..., Rig]


def handler(kind: str, work: Work) -> type[ResyncHandler]:
    """Returns a handler class that declares a kind and does the work."""

    def resync(_self: ResyncHandler, run: ResyncRun) -> None:
        work(run)

    return type(kind.title(), (ResyncHandler,), {"kinds": (kind,), "resync": resync})


def send(*items: Any, kind: str = "issue") -> Work:
    """Returns the work of a handler that maps these items and deletes the others."""

    def work(run: ResyncRun) -> None:
        for resource in run.resources(kind):
            run.port.upsert(resource.blueprint or "", resource.entities(items))
        run.port.reconcile()

    return work


@pytest.fixture
def open_rig() -> Iterator[OpenRig]:
    """Opens systems whose sandboxes are stopped after the test."""
    opened: list[Rig] = []

    def open_one(entries: list[Any], *handlers: type[ResyncHandler]) -> Rig:
        opened.append(Rig(entries, *handlers))
        return opened[-1]

    yield open_one
    for rig in opened:
        rig.sandbox.stop()


def test_entities_come_from_the_mapping(open_rig: OpenRig) -> None:
    rig = open_rig([entry(MAPPING, ".key != null", "issue")], handler("issue", send(*ITEMS, {})))
    ended = rig.run()
    assert (ended.status, ended.failures) == ("completed", ())
    assert rig.sent() == ["P1-1", "P1-2"]
    first = rig.sandbox.entities("issue")[0]
    assert first["title"] == "é"


def test_numbers_become_identifiers(open_rig: OpenRig) -> None:
    rig = open_rig([entry(MAPPING, kind="issue")], handler("issue", send({"key": 17})))
    assert rig.run().status == "completed"
    assert rig.sent() == ["17"]


def test_nothing_is_deleted_if_an_entity_could_not_be_computed(open_rig: OpenRig) -> None:
    def refused(run: ResyncRun) -> None:
        run.port.upsert("issue", [{"identifier": "older"}])
        send({"key": {}}, *ITEMS)(run)

    rig = open_rig([entry(MAPPING, kind="issue")], handler("issue", refused))
    ended = rig.run()
    assert ended.status == "failed"
    assert "an item of kind issue could not be mapped" in ended.failures[0]
    assert ended.written.deleted == 0
    assert rig.sent() == ["P1-1", "P1-2", "older"]


def test_an_entry_that_cannot_be_parsed_fails_its_handler_only(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    bad = entry({**MAPPING, "properties": {"url": ".a |"}}, kind="team")

    def no_delete(run: ResyncRun) -> None:
        (resource,) = run.resources("issue")
        run.port.upsert("issue", resource.entities(ITEMS))

    rig = open_rig(
        [bad, entry(MAPPING, kind="issue")],
        handler("team", send(kind="team")), handler("issue", no_delete),
    )  # fmt: skip
    ended = rig.run()
    assert ended.status == "failed"
    (failure,) = ended.failures
    assert "entry 0 (kind team): port.entity.mappings.properties.url: JQ cannot parse" in failure
    assert "line 1, column 4" in failure
    assert rig.sent() == ["P1-1", "P1-2"]
    assert not any(record.exc_info for record in caplog.records)


def test_a_handler_whose_kind_the_mapping_does_not_have_is_one_line(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = open_rig(
        [entry(MAPPING, kind="issue")],
        handler("isue", send(kind="isue")), handler("issue", send(*ITEMS)),
    )  # fmt: skip
    assert rig.run().status == "completed"
    lines = [text for text in map(str, caplog.messages) if "no entry for kind" in text]
    assert lines == ["Port's mapping has no entry for kind 'isue'; it has entries for issue"]


def test_a_config_without_a_mapping_is_nothing_to_warn_of(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = open_rig([], handler("issue", lambda _run: None))
    assert rig.run().status == "completed"
    assert not any("no entry for kind" in text for text in caplog.messages)


def test_an_abort_ends_a_mapping_that_never_ends(open_rig: OpenRig) -> None:
    rig = open_rig(
        [entry({**MAPPING, "title": "last(range(infinite))"}, kind="issue")],
        handler("issue", send(*ITEMS)),
    )
    with rig:
        rig.expect(RunStarted)
        rig.system.request_resync("again", policy="abort")
        assert rig.expect(RunEnded).status == "aborted"
