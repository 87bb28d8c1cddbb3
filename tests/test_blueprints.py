"""Blueprints that handlers declare: where they are read from, and what is said about bad ones."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ocean_actors import ResyncHandler, ResyncRun
from ocean_actors.blueprints import BlueprintError, blueprints_of, united
from ocean_actors.frozen import FrozenDict
from ocean_actors.loading import load_handler
from ocean_actors.resync.handlers import named_handlers

REPOSITORY = {
    "identifier": "repository",
    "title": "Repository",
    "schema": {"properties": {"stars": {"type": "number"}}, "required": ["stars"]},
    "relations": {"team": {"target": "team", "required": False}},
}
TEAM = {"identifier": "team"}


class Idle(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        pass


def declaring(blueprints: Any) -> tuple[FrozenDict, ...]:
    return blueprints_of("Repositories", type("Repositories", (Idle,), {"blueprints": blueprints}))


def problem(blueprints: Any) -> str:
    with pytest.raises(BlueprintError) as caught:
        declaring(blueprints)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 600
    return text


def write(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


HANDLER = """
from pathlib import Path
from ocean_actors import ResyncHandler
class Repositories(ResyncHandler):
    kinds = ("repository",)
    blueprints = {blueprints}
    def resync(self, run):
        pass
"""


def in_file(folder: Path, blueprints: str) -> type[ResyncHandler]:
    file = write(folder, "work_of_the_author.py", HANDLER.format(blueprints=blueprints))
    handler = load_handler(f"{file}:Repositories")
    assert issubclass(handler, ResyncHandler)
    return handler


def test_a_handler_declares_none_by_default() -> None:
    assert blueprints_of("Idle", Idle) == ()


@pytest.mark.parametrize("blueprints", [[REPOSITORY, TEAM], (REPOSITORY, TEAM)])
def test_mappings_are_taken_as_they_are_and_cannot_be_changed(blueprints: Any) -> None:
    found = declaring(blueprints)
    assert found == (REPOSITORY, TEAM)
    with pytest.raises(TypeError):
        found[0]["schema"]["properties"]["url"] = {}


def test_one_mapping_needs_no_list() -> None:
    assert declaring(TEAM) == (TEAM,)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("blueprints.json", json.dumps([REPOSITORY, TEAM], indent="\t")),
        ("blueprints.yaml", "- identifier: repository\n- identifier: team\n"),
        ("blueprints.yml", "identifier: repository\n"),
    ],
)
@pytest.mark.parametrize("declared", ["{name!r}", "Path({name!r})", "[{name!r}]"])
def test_a_file_is_looked_for_beside_the_module_of_the_class(
    tmp_path: Path, name: str, content: str, declared: str
) -> None:
    write(tmp_path, name, content)
    handler = in_file(tmp_path, declared.format(name=name))
    (spec,) = named_handlers([handler]).values()
    identifiers = [blueprint["identifier"] for blueprint in spec.blueprints]
    assert identifiers == ["repository", "team"][: len(identifiers)]
    assert identifiers


def test_a_subclass_elsewhere_has_the_file_of_its_base(tmp_path: Path) -> None:
    write(tmp_path, "team.json", TEAM)
    base = in_file(tmp_path, "'team.json'")
    assert blueprints_of("Sub", type("Sub", (base,), {})) == (TEAM,)


def test_a_class_without_a_file_is_read_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "team.json", TEAM)
    monkeypatch.chdir(tmp_path)
    module = ModuleType("typed_in")
    made = type("Typed", (Idle,), {"blueprints": "team.json", "__module__": module.__name__})
    assert blueprints_of("Typed", made) == (TEAM,)


def test_a_partial_keeps_the_name_the_kinds_and_the_blueprints_of_its_class() -> None:
    class Repositories(Idle):
        kinds = ("repository",)
        blueprints = (REPOSITORY,)

        def __init__(self, api: str) -> None:
            self.api = api

    named = named_handlers([functools.partial(functools.partial(Repositories), "https://api")])
    spec = named["Repositories"]
    assert (spec.kinds, spec.blueprints) == (("repository",), (REPOSITORY,))
    assert vars(spec.build()) == {"api": "https://api"}


@pytest.mark.parametrize(
    ("blueprints", "expected"),
    [
        (7, "Repositories.blueprints: expected a blueprint (a mapping) or the path of a "),
        ([TEAM, None], "Repositories.blueprints[1]: expected a blueprint (a mapping) or the path"),
        ([b"x.json"], "Repositories.blueprints[0]: expected a blueprint (a mapping) or the path"),
        ({"title": "x"}, "Repositories.blueprints: identifier: expected a name, got nothing"),
        ([{"identifier": "a\nb"}], 'Repositories.blueprints[0] (a b): identifier: expected a name'),
        ([{"identifier": 7}], "Repositories.blueprints[0]: identifier: expected a name, got 7"),
        ([{"identifier": "r", "schema": []}],
            "Repositories.blueprints[0] (r): schema: expected a mapping with properties, got "),
        ([{"identifier": "r", "schema": {"properties": {"stars": "number"}}}],
            'Repositories.blueprints[0] (r): schema.properties.stars: expected a mapping, got'),
        ([{"identifier": "r", "schema": {"required": ["x"]}}],
            "Repositories.blueprints[0] (r): schema.required: x is not one of schema.properties"),
        ([{"identifier": "r", "schema": {"required": "x"}}],
            'Repositories.blueprints[0] (r): schema.required: expected a list of names, got "x"'),
        ([{"identifier": "r", "relations": ["team"]}],
            "Repositories.blueprints[0] (r): relations: expected a mapping, got a list"),
        ([{"identifier": "r", "relations": {"team": {"title": "Team"}}}],
            "Repositories.blueprints[0] (r): relations.team.target: expected the identifier of"),
        ([{"identifier": "r", "x": {"y": [object]}}],
            "Repositories.blueprints[0] (r): x.y[0]: expected JSON-like data, got a type"),
        ([{"identifier": "r", "x": float("nan")}],
            "Repositories.blueprints[0] (r): x: expected a finite number"),
        ([{"identifier": "r", 7: "x"}],
            "Repositories.blueprints[0] (r): the blueprint: keys must be text, got 7"),
        ([TEAM, {"identifier": "team", "title": "Team"}],
            "Repositories.blueprints: the blueprint team is declared twice, and differently"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_class_and_position(blueprints: Any, expected: str) -> None:
    assert problem(blueprints).startswith(expected)


def test_data_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {"identifier": "r"}
    endless["x"] = endless
    assert "nested more than" in problem(endless)


BOMB = "identifier: r\nx0: &x0 [1]\n" + "".join(
    f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
"""In YAML, 10 lines that stand for 9 ** 9 numbers."""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("b.json", '[{"identifier": "r",}]', "b.json:1:2"),
        ("b.json", '{"identifier": "r", "identifier": "s"}', "the key identifier is given twice"),
        ("b.json", '{"identifier": "r", "x": NaN}', "NaN is not a JSON number"),
        ("b.json", '{"identifier": "r", "x": ' + "9" * 5000 + "}",
            "b.json: not usable as JSON: a number of more than 1000 characters"),
        ("b.yaml", "identifier: r\nx: " + "[" * 200 + "]" * 200,
            "b.yaml (r): the data is nested more than 100 levels deep"),
        ("b.yaml", BOMB, "not usable as YAML: more than 20000 values"),
        ("b.yaml", "identifier: [r\n", "b.yaml:2:1: not usable as YAML: "),
        ("b.yaml", "", "b.yaml: expected a blueprint (a mapping) or a list of them, got null"),
        ("b.yaml", "- identifier: r\n- title: x\n", "b.yaml[1]: identifier: expected a name"),
        ("b.yaml", "identifier: r\ncreated: 2026-01-01\n",
            "b.yaml (r): created: expected JSON-like data, got a date"),
        ("c.yaml", "", "b.yaml: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_names_the_file(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    write(tmp_path, name, content)
    declared = str(tmp_path / ("b.yaml" if name == "c.yaml" else name))
    found = problem([TEAM, declared])
    assert found.startswith(f"Repositories.blueprints[1]: {tmp_path}")
    assert expected in found


def test_a_class_attribute_that_cannot_be_read_is_one_line() -> None:
    class Meta(type(Idle)):  # type: ignore[misc]  # a metaclass as a user may have one
        @property
        def blueprints(cls) -> None:
            raise RuntimeError("not\nnow")

    found = Meta("Odd", (), {})
    with pytest.raises(BlueprintError, match=r"^Odd.blueprints: cannot be read: RuntimeError: not"):
        blueprints_of("Odd", found)


def test_handlers_may_share_a_blueprint_but_must_agree_on_it() -> None:
    team, titled = FrozenDict(TEAM), FrozenDict({**TEAM, "title": "Team"})
    assert united({"A": [team], "B": [team]}) == (team,)
    with pytest.raises(BlueprintError) as caught:
        united({"A": [team], "B": [titled]})
    assert str(caught.value) == (
        "B: the blueprint team is declared differently in A: declare it once, or the same "
        "everywhere"
    )
