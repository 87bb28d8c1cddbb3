"""The blueprints that handlers declare are created in Port; those that it has are not changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.frozen import freeze
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.provisioning import Provisioning, creation_steps, targets_of
from ocean_actors.sandbox import Sandbox


def blueprint(identifier: str, *targets: str, **more: Any) -> Any:
    relations = {f"to_{target}": {"target": target} for target in targets}
    return freeze({"identifier": identifier, "relations": relations, **more})


def plan(*missing: Any, known: Any = ()) -> list[tuple[str, str, list[str]]]:
    return [
        (step.action, step.identifier, sorted(step.fields))
        for step in creation_steps(missing, known)
    ]


WHOLE = ["identifier", "relations"]


def test_a_blueprint_is_created_after_those_that_it_relates_to() -> None:
    assert plan(blueprint("issue", "project", "user"), blueprint("project"), known=["user"]) == [
        ("create", "project", WHOLE),
        ("create", "issue", WHOLE),
    ]


def test_a_circle_is_created_without_its_relations_which_are_then_added() -> None:
    mirrored = {"mirrorProperties": {"lead": {"path": "to_b.title"}}}
    assert plan(blueprint("a", "b", **mirrored), blueprint("b", "a"), blueprint("c")) == [
        ("create", "c", WHOLE),
        ("create", "a", ["identifier"]),
        ("create", "b", ["identifier"]),
        ("add", "a", ["relations"]),
        ("add", "b", ["relations"]),
        ("add", "a", ["mirrorProperties"]),
    ]


def test_a_relation_to_itself_or_to_what_nobody_has_is_added_last() -> None:
    assert plan(blueprint("issue", "issue"), blueprint("user", "absent")) == [
        ("create", "issue", ["identifier"]),
        ("create", "user", ["identifier"]),
        ("add", "issue", ["relations"]),
        ("add", "user", ["relations"]),
    ]


NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=6), st.sets(NAMES))
def test_no_call_refers_to_what_is_not_there_unless_it_comes_last(
    related: dict[str, list[str]], known: set[str]
) -> None:
    missing = [blueprint(each, *to) for each, to in related.items() if each not in known]
    there = set(known)
    added = False
    for step in creation_steps(missing, known):
        if step.action == "create":
            assert not added
            assert targets_of(step.fields) <= there
            there.add(step.identifier)
        else:
            added = True
    assert there == known | {each["identifier"] for each in missing}


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    sandbox.configure(relations_need_targets=True)
    return sandbox


def posted(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [
        (call.method, call.path.removeprefix("/v1/blueprints"))
        for call in sandbox.calls
        if "/blueprints" in call.path and call.method != "GET"
    ]


def test_what_port_has_is_not_changed(sandbox: Sandbox, client: PortClient) -> None:
    sandbox.create_blueprint("team", title="Ours")
    work = Provisioning(client, [blueprint("team", title="Declared"), blueprint("issue", "team")])
    work.advance()
    assert work.done
    assert posted(sandbox) == [("POST", "")]
    assert client.get_blueprint("team")["title"] == "Ours"
    assert client.get_blueprint("issue")["relations"] == {"to_team": {"target": "team"}}


def test_a_circle_exists_with_its_relations(sandbox: Sandbox, client: PortClient) -> None:
    Provisioning(client, [blueprint("a", "b"), blueprint("b", "a")]).advance()
    assert client.get_blueprint("a")["relations"] == {"to_b": {"target": "b"}}
    assert client.get_blueprint("b")["relations"] == {"to_a": {"target": "a"}}


def test_the_next_attempt_goes_on_where_port_stopped_answering(
    sandbox: Sandbox, client: PortClient
) -> None:
    work = Provisioning(client, [blueprint("a"), blueprint("b")])
    sandbox.fail("status", status=503, method="POST", path="/blueprints$", times=1)
    with pytest.raises(PortError, match="503"):
        work.advance()
    assert not work.done
    work.advance()
    assert work.done
    assert posted(sandbox) == [("POST", "")] * 3


def test_relations_are_added_although_the_answer_of_the_creation_was_lost(
    sandbox: Sandbox, client: PortClient
) -> None:
    work = Provisioning(client, [blueprint("a", "a")])
    sandbox.fail("status", status=502, method="POST", path="/blueprints$", applied=True)
    with pytest.raises(PortError):
        work.advance()
    work.advance()
    assert client.get_blueprint("a")["relations"] == {"to_a": {"target": "a"}}


def test_relations_are_added_although_the_connection_was_cut_after_the_creation(
    sandbox: Sandbox, client: PortClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    work = Provisioning(client, [blueprint("a", "a")])
    sandbox.fail("drop", method="POST", path="/blueprints$", applied=True)
    with pytest.raises(PortError):
        work.advance()
    work.advance()
    assert "exists by now" not in caplog.text
    assert client.get_blueprint("a")["relations"] == {"to_a": {"target": "a"}}


def test_an_answer_without_the_blueprint_is_no_proof_that_it_was_created(
    sandbox: Sandbox, client: PortClient
) -> None:
    work = Provisioning(client, [blueprint("a")])
    sandbox.fail("empty", method="POST", path="/blueprints$")
    with pytest.raises(PortError, match="expected an object 'blueprint'"):
        work.advance()
    work.advance()
    assert client.get_blueprint("a")["identifier"] == "a"


def test_a_blueprint_that_somebody_creates_meanwhile_is_not_changed(
    sandbox: Sandbox, client: PortClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sandbox.fail("status", status=404, method="GET", path="/blueprints/package$")
    work = Provisioning(client, [blueprint("package", "package")])
    work.advance()
    assert work.done
    assert posted(sandbox) == [("POST", "")]
    assert "the blueprint package exists by now" in caplog.text


def test_what_port_refuses_for_good_is_a_warning_and_the_others_are_created(
    sandbox: Sandbox, client: PortClient, caplog: pytest.LogCaptureFixture
) -> None:
    odd = freeze({"identifier": "odd", "schema": {"properties": {"x": {"type": "unheard of"}}}})
    work = Provisioning(client, [odd, blueprint("b", "absent"), blueprint("c")])
    sandbox.fail("status", status=403, method="POST", path="/blueprints$", times=1)
    work.advance()
    assert work.done
    refused, without = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "the runs go on without it" in refused
    assert "403" in refused
    assert "the blueprint b was created without its relations: " in without
    assert "absent" in without
    assert client.get_blueprint("b")["relations"] == {}


def test_a_blueprint_that_may_not_be_looked_at_is_left_alone(
    sandbox: Sandbox, client: PortClient, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("status", status=403, method="GET", path="/blueprints/a$")
    Provisioning(client, [blueprint("a")]).advance()
    assert posted(sandbox) == []
    assert "whether Port has the blueprint a is unknown" in caplog.text
