"""What a sandbox is seeded with is there before it starts, and after a reset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.seeds import SeedError

CIRCLE = [
    {"identifier": "a", "relations": {"to": {"target": "b"}}},
    {"identifier": "b", "relations": {"to": {"target": "a"}}},
]
MAPPING = {"resources": [{"kind": "issue"}]}


def blueprints(sandbox: Sandbox) -> list[str]:
    with sandbox:
        state = requests.get(f"{sandbox.url}/sandbox/state", timeout=30)
    found: list[str] = state.json()["blueprints"]
    return found


def test_blueprints_are_seeded_in_any_order_and_survive_a_reset() -> None:
    sandbox = Sandbox(blueprints=CIRCLE)
    sandbox.create_blueprint("later")
    assert blueprints(sandbox) == ["a", "b", "later"]
    sandbox.reset()
    assert blueprints(sandbox) == ["a", "b"]


@pytest.mark.parametrize("as_text", [True, False])
def test_seeds_may_be_files(tmp_path: Path, as_text: bool) -> None:
    circle, mapping = tmp_path / "circle.json", tmp_path / "mapping.json"
    circle.write_text(json.dumps(CIRCLE))
    mapping.write_text(json.dumps(MAPPING))
    how: Any = str if as_text else Path
    sandbox = Sandbox(blueprints=[how(circle), {"identifier": "c"}], mapping=how(mapping))
    assert blueprints(sandbox) == ["a", "b", "c"]
    assert sandbox.create_integration("demo")["config"] == MAPPING


def test_the_mapping_is_that_of_integrations_which_bring_none() -> None:
    sandbox = Sandbox(mapping=MAPPING)
    own: dict[str, Any] = {"resources": []}
    assert sandbox.create_integration("one", config={})["config"] == MAPPING
    assert sandbox.create_integration("two", config=own)["config"] == own


def test_a_seed_is_not_changed_with_what_it_was_made_from() -> None:
    mapping: dict[str, Any] = {"resources": []}
    sandbox = Sandbox(mapping=mapping)
    mapping["resources"].append("x")
    assert sandbox.create_integration("demo")["config"] == {"resources": []}


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"blueprints": [{"title": "x"}]}, "blueprints[0]: identifier: expected a name"),
        ({"blueprints": "absent.yaml"}, "absent.yaml: cannot be read"),
        ({"mapping": "absent.yaml"}, "mapping: absent.yaml: cannot be read"),
        ({"mapping": [1]}, "mapping: expected a mapping with resources, got a list"),
        ({"mapping": {"x": object()}}, "mapping: expected JSON-like data: TypeError"),
    ],
)
def test_what_cannot_be_a_seed_is_one_line(seeds: Any, said: str) -> None:
    with pytest.raises(SeedError) as caught:
        Sandbox(**seeds)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_relations_may_need_their_targets() -> None:
    with Sandbox() as sandbox:
        sandbox.configure(relations_need_targets=True)
        credentials = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
        url = f"{sandbox.url}/v1"
        token = requests.post(f"{url}/auth/access_token", json=credentials, timeout=30).json()
        bearer = {"Authorization": f"Bearer {token['accessToken']}"}

        def create(blueprint: Any) -> tuple[int, str]:
            done = requests.post(f"{url}/blueprints", json=blueprint, headers=bearer, timeout=30)
            return done.status_code, done.json().get("message", "")

        status, message = create(CIRCLE[0])
        assert (status, message) == (422, 'relations.to.target: blueprint "b" does not exist')
        assert create({"identifier": "b"}) == (201, "")
        assert create(CIRCLE[0]) == (201, "")


def test_properties_that_a_blueprint_lacks_may_be_left_out() -> None:
    with Sandbox(blueprints=[{"identifier": "a"}]) as sandbox:
        credentials = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
        url = f"{sandbox.url}/v1"
        token = requests.post(f"{url}/auth/access_token", json=credentials, timeout=30).json()
        bearer = {"Authorization": f"Bearer {token['accessToken']}"}

        def write() -> int:
            entity = {"identifier": "one", "properties": {"odd": 1}}
            address = f"{url}/blueprints/a/entities"
            return requests.post(address, json=entity, headers=bearer, timeout=30).status_code

        assert write() == 422
        sandbox.configure(refuse_unknown_properties=False)
        assert write() == 201
        assert [each["properties"] for each in sandbox.entities("a")] == [{}]
