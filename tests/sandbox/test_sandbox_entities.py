from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

PACKAGE = {
    "identifier": "package",
    "schema": {
        "properties": {"version": {"type": "string"}, "size": {"type": "number"}},
        "required": [],
    },
    "relations": {
        "needs": {"target": "package", "many": True},
        "owner": {"target": "person", "many": False},
    },
}
PERSON = {"identifier": "person", "schema": {"properties": {}, "required": []}}
BULK = "/blueprints/package/entities/bulk"
DELETE = "/blueprints/package/bulk/entities/delete"
OWNED = "/blueprints/entities/datasource-entities"


@pytest.fixture
def catalog(client: Client) -> Client:
    """The client, with two blueprints."""
    client.ask("POST", "/blueprints", 201, json=PACKAGE)
    client.ask("POST", "/blueprints", 201, json=PERSON)
    return client


def package(name: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"identifier": name, "properties": {}, **fields}


def write(
    client: Client, *entities: Any, status: int = 200, query: str = "?upsert=true", **kwargs: Any
) -> Any:
    return client.ask("POST", BULK + query, status, json={"entities": list(entities)}, **kwargs)


def names(entities: Any) -> Any:
    return [entity["identifier"] for entity in entities]


def test_a_blueprint_can_be_made_read_changed_and_deleted(client: Client) -> None:
    client.ask("GET", "/blueprints/package", 404)
    client.ask("POST", "/blueprints", 201, json=PACKAGE)
    client.ask("POST", "/blueprints", 409, json=PACKAGE)
    client.ask("PATCH", "/blueprints/package", json={"title": "Package"})
    read = client.ask("GET", "/blueprints/package")["blueprint"]
    assert (read["title"], read["schema"]) == ("Package", PACKAGE["schema"])
    client.ask("PUT", "/blueprints/package", json={"identifier": "package", "relations": {}})
    assert names(client.ask("GET", "/blueprints")["blueprints"]) == ["package"]
    assert client.ask("GET", "/blueprints/package")["blueprint"]["relations"] == {}
    client.ask("DELETE", "/blueprints/package")
    assert client.ask("GET", "/blueprints")["blueprints"] == []


def test_a_blueprint_with_entities_is_not_deleted(catalog: Client) -> None:
    write(catalog, package("a"))
    assert catalog.ask("DELETE", "/blueprints/package", 409)["error"] == "has_dependents"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"identifier": ""},
        {"identifier": "x", "schema": 5},
        {"identifier": "x", "schema": {"properties": {"a": 1}}},
        {"identifier": "x", "schema": {"required": [{}]}},
        {"identifier": "x", "relations": {"a": {"target": []}}},
    ],
)
def test_a_blueprint_that_does_not_fit_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert client.ask("POST", "/blueprints", 422, json=body)["ok"] is False


def test_entities_of_an_unknown_blueprint_are_not_found(client: Client) -> None:
    body = {"entities": [package("a")]}
    assert client.ask("POST", "/blueprints/no/entities/bulk", 404, json=body)["error"] == (
        "not_found"
    )


def test_written_entities_can_be_read(catalog: Client) -> None:
    answer = write(catalog, package("a", title="A", properties={"version": "1"}), package("b"))
    assert answer["ok"]
    assert answer["errors"] == []
    assert answer["entities"] == [
        {"index": 0, "identifier": "a", "created": True},
        {"index": 1, "identifier": "b", "created": True},
    ]
    entity = catalog.ask("GET", "/blueprints/package/entities/a")["entity"]
    assert (entity["title"], entity["properties"]) == ("A", {"version": "1"})
    assert names(catalog.ask("GET", "/blueprints/package/entities")["entities"]) == ["a", "b"]
    assert write(catalog, package("a"))["entities"][0]["created"] is False


def test_without_upsert_an_entity_that_is_there_is_an_error(catalog: Client) -> None:
    write(catalog, package("a"))
    answer = write(catalog, package("a"), package("b"), query="", status=207)
    assert [error["statusCode"] for error in answer["errors"]] == [409]
    assert names(answer["entities"]) == ["b"]


def test_merge_keeps_what_is_not_given_and_else_it_goes(catalog: Client) -> None:
    write(catalog, package("a", title="A", properties={"version": "1", "size": 5}))
    write(catalog, package("a", properties={"size": 6}), query="?upsert=true&merge=true")
    merged = catalog.ask("GET", "/blueprints/package/entities/a")["entity"]
    assert (merged["title"], merged["properties"]) == ("A", {"version": "1", "size": 6})
    write(catalog, package("a", properties={"size": 7}))
    replaced = catalog.ask("GET", "/blueprints/package/entities/a")["entity"]
    assert (replaced["title"], replaced["properties"]) == (None, {"size": 7})


@pytest.mark.parametrize(
    ("entity", "status", "said"),
    [
        ({"identifier": 5}, 422, "identifier"),
        ("text", 422, "entity"),
        (package("x", properties={"colour": "red"}), 422, "colour"),
        (package("x", properties={"version": 1}), 422, "version"),
        (package("x", properties={"size": True}), 422, "size"),
        (package("x", properties=[1]), 422, "properties"),
        (package("x", relations={"likes": "a"}), 422, "likes"),
        (package("x", relations={"needs": ["gone"]}), 404, "gone"),
        (package("x", relations={"needs": 5}), 422, "needs"),
        (package("x", title=5), 422, "title"),
    ],
)
def test_one_bad_entity_fails_alone(catalog: Client, entity: Any, status: int, said: str) -> None:
    answer = write(catalog, package("a"), entity, package("b"), status=207)
    assert names(answer["entities"]) == ["a", "b"]
    (error,) = answer["errors"]
    assert (error["index"], error["statusCode"]) == (1, status)
    assert error["error"]
    assert said in error["message"]


def test_required_properties_are_required(client: Client) -> None:
    schema = {"properties": {"version": {"type": "string"}}, "required": ["version"]}
    client.ask("POST", "/blueprints", 201, json={"identifier": "package", "schema": schema})
    assert write(client, package("a"), status=207)["errors"][0]["statusCode"] == 422


def test_missing_related_entities_can_be_made(catalog: Client) -> None:
    body = package("a", relations={"needs": ["b", "c"], "owner": "me"})
    write(catalog, body, query="?upsert=true&create_missing_related_entities=true")
    assert names(catalog.ask("GET", "/blueprints/package/entities")["entities"]) == ["b", "c", "a"]
    assert names(catalog.ask("GET", "/blueprints/person/entities")["entities"]) == ["me"]


def test_an_entity_may_name_those_before_it_in_the_batch_and_itself(catalog: Client) -> None:
    write(catalog, package("a", relations={"needs": ["a"]}), package("b", relations={"needs": "a"}))


def test_a_search_stands_for_the_one_identifier_it_finds(catalog: Client) -> None:
    write(catalog, package("a", title="first"))
    rule = {"property": "$title", "operator": "=", "value": "first"}
    query = {"combinator": "and", "rules": [rule]}
    write(catalog, package("b", relations={"needs": query}))
    assert catalog.ask("GET", "/blueprints/package/entities/b")["entity"]["relations"] == {
        "needs": "a"
    }
    nothing = {"combinator": "and", "rules": [{**rule, "value": "last"}]}
    (error,) = write(catalog, package(nothing), status=207)["errors"]
    assert (error["identifier"], error["statusCode"]) == ("unknown", 404)


def test_validation_only_writes_nothing(catalog: Client) -> None:
    write(catalog, package("a"), query="?upsert=true&validation_only=true")
    assert catalog.ask("GET", "/blueprints/package/entities")["entities"] == []


def test_more_than_twenty_at_once_are_refused(catalog: Client) -> None:
    write(catalog, *(package(str(n)) for n in range(20)))
    write(catalog, *(package(str(n)) for n in range(21)), status=422)


def test_a_body_over_a_mebibyte_is_too_large(catalog: Client) -> None:
    fits = package("a", properties={"version": "x" * 900_000})
    write(catalog, fits)
    too_large = write(catalog, fits, package("b", title="x" * 200_000), status=413)
    assert too_large["ok"] is False


def test_a_single_entity_can_be_written_changed_and_deleted(catalog: Client) -> None:
    path = "/blueprints/package/entities"
    catalog.ask("POST", path, 201, json=package("a/b", properties={"size": 1}))
    catalog.ask("POST", path, 409, json=package("a/b"))
    catalog.ask("POST", f"{path}?upsert=true&merge=true", json=package("a/b", title="AB"))
    patched = catalog.ask("PATCH", f"{path}/a%2Fb", json={"properties": {"version": "2"}})
    assert patched["entity"]["properties"] == {"size": 1, "version": "2"}
    assert patched["entity"]["title"] == "AB"
    put = catalog.ask("PUT", f"{path}/a%2Fb", json={"properties": {"version": "3"}})
    assert put["entity"]["properties"] == {"version": "3"}
    catalog.ask("DELETE", f"{path}/a%2Fb")
    catalog.ask("DELETE", f"{path}/a%2Fb", 404)
    catalog.ask("GET", f"{path}/a%2Fb", 404)


def test_deleting_says_what_was_there(catalog: Client) -> None:
    write(catalog, package("a"), package("b"), package("c"))
    answer = catalog.ask("POST", DELETE, json={"entities": ["b", "gone", "a"]})
    assert answer["deletedEntities"] == ["a", "b"]
    assert names(catalog.ask("GET", "/blueprints/package/entities")["entities"]) == ["c"]
    catalog.ask("POST", DELETE, 422, json={"entities": [str(n) for n in range(101)]})


def test_what_others_relate_to_is_deleted_with_them_or_not_at_all(catalog: Client) -> None:
    write(catalog, package("a"), package("b", relations={"needs": ["a"]}))
    write(catalog, package("c", relations={"needs": "b"}), package("d"))
    refused = catalog.ask("POST", DELETE, 409, json={"entities": ["d", "a"]})
    assert refused["error"] == "has_dependents"
    assert len(catalog.ask("GET", "/blueprints/package/entities")["entities"]) == 4
    answer = catalog.ask("POST", f"{DELETE}?delete_dependents=true", json={"entities": ["a"]})
    assert answer["deletedEntities"] == ["a"]
    assert names(catalog.ask("GET", "/blueprints/package/entities")["entities"]) == ["d"]


def test_those_that_relate_to_each_other_go_together(catalog: Client) -> None:
    write(catalog, package("a"), package("b", relations={"needs": ["a"]}))
    assert catalog.ask("POST", DELETE, json={"entities": ["a", "b"]})["deletedEntities"]


def owned(client: Client, **more: Any) -> Any:
    body = {"datasource_prefix": "port-ocean/custom/", "datasource_suffix": "/demo/exporter"}
    return client.ask("POST", OWNED, json={**body, **more})


def test_entities_belong_to_the_client_that_wrote_them(catalog: Client, sandbox: Sandbox) -> None:
    write(catalog, package("mine"), package("also-mine"))
    other = {"User-Agent": "port-ocean/custom/1.0.0/other/exporter"}
    write(catalog, package("theirs"), package("also-mine"), headers=other)
    assert names(owned(catalog)["entities"]) == ["mine"]
    writers = {item["identifier"]: item["writer"] for item in sandbox.entities("package")}
    assert writers["theirs"] == other["User-Agent"]


@pytest.mark.parametrize("deleting", [False, True])
def test_what_is_owned_is_read_page_by_page_even_while_it_is_deleted(
    catalog: Client, deleting: bool
) -> None:
    for start in range(0, 60, 20):
        write(catalog, *(package(f"p{n:02}") for n in range(start, start + 20)))
    found, mark = [], None
    for _ in range(3):
        page = owned(catalog, limit=25, **({} if mark is None else {"from": mark}))
        found += names(page["entities"])
        mark = page["next"]
        if deleting:
            catalog.ask("POST", DELETE, json={"entities": names(page["entities"])})
    assert mark is None
    assert found == [f"p{n:02}" for n in range(60)]


def test_what_is_owned_can_be_limited_to_what_is_older(catalog: Client) -> None:
    write(catalog, package("old"))
    entity = catalog.ask("GET", "/blueprints/package/entities/old")["entity"]
    write(catalog, package("new"))
    assert owned(catalog, before=entity["updatedAt"])["entities"] == []
    later = "2999-01-01T00:00:00Z"
    assert names(owned(catalog, before=later)["entities"]) == ["new", "old"]


@pytest.mark.parametrize("more", [{"limit": 0}, {"limit": "5"}, {"from": 5}, {"before": "soon"}])
def test_a_question_for_what_is_owned_must_fit(catalog: Client, more: dict[str, Any]) -> None:
    body = {"datasource_prefix": "a", "datasource_suffix": "b", **more}
    assert catalog.ask("POST", OWNED, 422, json=body)["ok"] is False


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("$identifier", "=", "a"), ["a"]),
        (("$identifier", "!=", "a"), ["b", "me"]),
        (("$blueprint", "=", "person"), ["me"]),
        (("$datasource", "contains", "port-ocean/custom/"), ["a", "b", "me"]),
        (("size", ">", 1), ["b"]),
        (("size", "<=", 2), ["a", "b"]),
        (("version", "beginsWith", "1."), ["a"]),
        (("version", "isEmpty", None), ["b", "me"]),
        (("$identifier", "in", ["b", "me", "z"]), ["b", "me"]),
        (("needs", "contains", "a"), ["b"]),
        (("needs", "containsAny", ["a", "q"]), ["b"]),
    ],
)
def test_entities_can_be_searched(catalog: Client, rule: Any, expected: Any) -> None:
    write(catalog, package("a", properties={"version": "1.0", "size": 1}))
    write(catalog, package("b", properties={"size": 2}, relations={"needs": ["a"]}))
    catalog.ask("POST", "/blueprints/person/entities", 201, json={"identifier": "me"})
    rule = dict(zip(("property", "operator", "value"), rule, strict=True))
    query = {"combinator": "and", "rules": [{"combinator": "or", "rules": [rule]}]}
    assert names(catalog.ask("POST", "/entities/search", json=query)["entities"]) == expected
    path = "/blueprints/package/entities/search"
    page = catalog.ask("POST", path, json={"query": query, "limit": 1})
    assert names(page["entities"]) == [name for name in expected if name != "me"][:1]


@pytest.mark.parametrize(
    "query",
    [
        None,
        [],
        {"rules": []},
        {"combinator": "xor", "rules": []},
        {"combinator": "and", "rules": [5]},
        {"combinator": "and", "rules": [{"property": "a", "operator": "near"}]},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(client: Client, query: Any) -> None:
    assert client.ask("POST", "/entities/search", 422, data=json.dumps(query))["ok"] is False


def test_many_clients_at_once_lose_nothing(catalog: Client, sandbox: Sandbox) -> None:
    failures = []

    def write_some(number: int) -> None:
        entities = [package(f"{number}-{item}") for item in range(20)]
        headers = dict(catalog.headers)
        url = f"{sandbox.url}/v1{BULK}?upsert=true"
        answer = requests.post(url, json={"entities": entities}, headers=headers, timeout=30)
        failures.extend(answer.json()["errors"])

    threads = [threading.Thread(target=write_some, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(sandbox.entities("package")) == 240


def test_the_state_can_be_looked_at_and_reset(catalog: Client, sandbox: Sandbox) -> None:
    write(catalog, package("a"))
    state = requests.get(f"{sandbox.url}/sandbox/state", timeout=30).json()
    assert (state["blueprints"], state["entities"]) == (["package", "person"], {"package": 1})
    url = f"{sandbox.url}/sandbox/entities?blueprint=package"
    assert names(requests.get(url, timeout=30).json()["entities"]) == ["a"]
    requests.post(f"{sandbox.url}/sandbox/reset", timeout=30).raise_for_status()
    assert sandbox.entities() == []
    catalog.ask("GET", "/blueprints", 401)
