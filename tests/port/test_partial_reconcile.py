"""A run for some kinds deletes nothing that the others sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.port.blueprint_owners import BlueprintOwners, reconcilable
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}
NAMES = ("one", "two", "three")
BLUEPRINTS = st.frozensets(st.sampled_from("abcd"))


@given(
    always=st.fixed_dictionaries(dict.fromkeys(NAMES, BLUEPRINTS)),
    seen=st.frozensets(st.sampled_from(NAMES)),
    narrowed=st.frozensets(st.sampled_from(NAMES)),
    data=st.data(),
)
def test_no_blueprint_is_touched_that_a_narrowed_handler_may_have_written(
    always: dict[str, frozenset[str]],
    seen: frozenset[str],
    narrowed: frozenset[str],
    data: st.DataObject,
) -> None:
    owners = BlueprintOwners()
    for name in seen:
        owners.note(name, always[name])
    written = {
        name: data.draw(st.frozensets(st.sampled_from(sorted(each)))) if each else each
        for name, each in always.items()
    }
    allowed = reconcilable(written, narrowed, owners)
    if not narrowed <= seen:
        assert allowed == frozenset()
    for name in narrowed:
        assert not allowed & always[name]
    others: set[str] = set().union(*(always[name] for name in narrowed))
    whole: set[str] = set().union(*(written[name] for name in NAMES if name not in narrowed))
    assert allowed <= whole
    if narrowed <= seen:
        assert allowed == whole - others


class Source:
    """What the handlers send: identifiers by kind."""

    def __init__(self) -> None:
        self.repository = ["r1", "r2", "r3"]
        self.issue = ["i1", "i2", "i3"]
        self.epic = ["e1", "e2", "e3"]


def handlers_of(source: Source) -> list[type[ResyncHandler]]:
    """Repositories alone in their blueprint; issues and epics of two handlers in one."""

    class Sends(ResyncHandler):
        blueprint = ""

        def resync(self, run: ResyncRun) -> None:
            for kind in self.kinds:
                if kind in run.kinds:
                    entities = [{"identifier": name} for name in getattr(source, kind)]
                    run.port.upsert(self.blueprint, entities)
            run.port.reconcile(1.0)

    class Repositories(Sends):
        kinds = ("repository",)
        blueprint = "repository"

    class Issues(Sends):
        kinds = ("issue",)
        blueprint = "ticket"

    class Epics(Sends):
        kinds = ("epic",)
        blueprint = "ticket"

    return [Repositories, Issues, Epics]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def rig(source: Source) -> SandboxedSystem:
    rig = SandboxedSystem(handlers_of(source), eventListener=CALM)
    for blueprint in ("repository", "ticket"):
        rig.sandbox.create_blueprint(blueprint)
    return rig


def in_port(rig: SandboxedSystem, blueprint: str) -> list[str]:
    return sorted(entity["identifier"] for entity in rig.sandbox.entities(blueprint))


def test_a_run_for_some_kinds_deletes_in_the_blueprints_that_are_its_own(
    rig: SandboxedSystem, source: Source
) -> None:
    with rig:
        assert rig.expect(RunEnded).status == "completed"
        source.repository.remove("r1")
        source.issue.remove("i1")
        rig.system.request_resync("some", kinds=["repository"])
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.written.deleted) == ("completed", 1)
        assert in_port(rig, "repository") == ["r2", "r3"]
        assert in_port(rig, "ticket") == ["e1", "e2", "e3", "i1", "i2", "i3"]


def test_a_run_for_some_kinds_deletes_nothing_in_a_blueprint_that_another_kind_shares(
    rig: SandboxedSystem, source: Source
) -> None:
    with rig:
        rig.expect(RunEnded)
        source.issue.remove("i1")
        source.repository.remove("r1")
        rig.system.request_resync("some", kinds=["issue"])
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.written.deleted) == ("completed", 0)
        assert in_port(rig, "ticket") == ["e1", "e2", "e3", "i1", "i2", "i3"]
        rig.system.request_resync("all")
        assert rig.expect(RunEnded).written.deleted == 2


def test_a_run_with_parameters_deletes_nothing(rig: SandboxedSystem, source: Source) -> None:
    with rig:
        rig.expect(RunEnded)
        source.repository.remove("r1")
        rig.system.request_resync("some", parameters={"since": "yesterday"})
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.written.deleted) == ("completed", 0)


def test_before_any_run_for_all_kinds_has_completed_a_partial_one_deletes_nothing(
    source: Source,
) -> None:
    with SandboxedSystem(handlers_of(source), eventListener=CALM) as first:
        for blueprint in ("repository", "ticket"):
            first.sandbox.create_blueprint(blueprint)
        first.system.request_resync("again")
        while first.expect(RunEnded).status != "completed":
            pass
        first.system.stop()
        source.repository.remove("r1")
        quiet = {**CALM, "resyncOnStart": False}
        handlers = handlers_of(source)
        with SandboxedSystem(handlers, sandbox=first.sandbox, eventListener=quiet) as second:
            second.system.request_resync("some", kinds=["repository"])
            assert second.expect(RunEnded).written.deleted == 0
            second.system.request_resync("all")
            assert second.expect(RunEnded).written.deleted == 1
