"""The mappings and items of the table `cases.json`, which `make_cases.py` makes."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

BASE = {"identifier": ".id", "blueprint": '"thing"'}


def entry(mappings: Json, query: object = "true", **port: object) -> Json:
    return {
        "kind": "thing",
        "selector": {"query": query},
        "port": {"entity": {"mappings": mappings}, **port},
    }


def value(expression: object, *items: Json) -> tuple[Json, list[Json]]:
    """Returns a case for the value of one property."""
    mapping = entry({**BASE, "properties": {"value": expression}})
    return mapping, [{"id": f"t-{number}", **item} for number, item in enumerate(items or [{}])]


def relation(expression: object, *items: Json) -> tuple[Json, list[Json]]:
    mapping = entry({**BASE, "relations": {"other": expression}})
    return mapping, [{"id": f"t-{number}", **item} for number, item in enumerate(items or [{}])]


def identifier(expression: object, *items: Json) -> tuple[Json, list[Json]]:
    return entry({**BASE, "identifier": expression, "title": ".title"}), list(items)


def part(name: str, expression: object, *items: Json) -> tuple[Json, list[Json]]:
    return entry({**BASE, name: expression}), [{"id": "a", **item} for item in items or [{}]]


def query(expression: object, *items: Json) -> tuple[Json, list[Json]]:
    return entry({**BASE}, expression), [
        {"id": f"t-{number}", **item} for number, item in enumerate(items or [{}])
    ]


def expand(
    items_to_parse: str, *items: Json, mappings: Json | None = None, **port: object
) -> tuple[Json, list[Json]]:
    mappings = mappings or {
        **BASE,
        "identifier": ".item.id",
        "title": ".name",
        "properties": {"rest": "del(.item)|keys"},
    }
    return entry(mappings, "true", itemsToParse=items_to_parse, **port), list(items)


def search(*rules: Json, combinator: str = '"and"') -> Json:
    return {"combinator": combinator, "rules": list(rules)}


RULE = {"property": '"$title"', "operator": '"="', "value": ".title"}
NESTED = {
    "id": "parent",
    "name": "n",
    "items": [{"id": 1}, {"id": "two"}],
    "x": {"ys": [{"id": 7}]},
}

CASES: dict[str, tuple[Json, list[Json]]] = {
    # selector.query
    "selector true": query("true"),
    "selector false": query("false"),
    "selector compares": query('.state == "open"', {"state": "open"}, {"state": "shut"}, {}),
    "selector null": query(".missing"),
    "selector is a text": query('"true"'),
    "selector is a number": query("1"),
    "selector is empty": query("empty"),
    "selector has several results": query("true, false"),
    "selector fails": query(".a.b", {"a": 1}, {"a": {"b": True}}, {}),
    "selector raises an error": query('error("no")'),
    "selector in single quotes": query(".state == 'open'", {"state": "open"}, {"state": "x"}),
    "selector reads an array": query('.tags | index("a") != null', {"tags": ["a"]}, {"tags": []}),
    "selector with test()": query('.name | test("^svc-")', {"name": "svc-1"}, {"name": "x"}, {}),
    "selector that cannot be parsed": query(".a =="),
    "selector with a comment": query("true # always"),
    "selector that halts": query("halt"),
    # identifiers and blueprints
    "identifier text": identifier(".id", {"id": "a"}),
    "identifier null": identifier(".id", {"id": None}, {"id": "b"}, {}),
    "identifier empty text": identifier(".id", {"id": ""}),
    "identifier number": identifier(".id", {"id": 17}, {"id": 0}, {"id": 1.5}, {"id": -3}),
    "identifier number as text": identifier(".id | tostring", {"id": 17}, {"id": 1.0}),
    "identifier boolean": identifier(".id", {"id": True}, {"id": False}),
    "identifier list": identifier(".id", {"id": []}, {"id": ["a"]}),
    "identifier mapping": identifier(".id", {"id": {}}),
    "identifier fails": identifier(".id.x", {"id": "a"}, {"id": {"x": "b"}}),
    "identifier interpolates": identifier(
        '"\\(.a)/\\(.b)"', {"a": "é", "b": 2}, {"a": None, "b": []}
    ),
    "identifier unicode": identifier(
        ".id", {"id": "名前🚀"}, {"id": '\x00\x1f"\\'}, {"id": "\ud83d"}
    ),
    "identifier has several results": identifier(".ids[]", {"ids": ["a", "b"]}, {"ids": []}),
    "identifier replaces characters": identifier('.id | gsub("[^a-z]"; "-")', {"id": "a b/c"}),
    "blueprint computed": (
        entry({"identifier": ".id", "blueprint": ".type"}),
        [{"id": "a", "type": "x"}, {"id": "b"}, {"id": "c", "type": ""}],
    ),
    "blueprint in single quotes": part("blueprint", "'thing'"),
    "blueprint fails": part("blueprint", ".x.y", {"x": 1}),
    "search identifier": identifier(search(RULE), {"title": "x"}, {"title": None}, {}),
    "search identifier nested": identifier(
        search(RULE, search(RULE, {**RULE, "value": "[.a, 1]"}, combinator='"or"')),
        {"title": "x", "a": None},
    ),
    "search identifier whose value fails": identifier(
        search({**RULE, "value": ".title.x"}), {"title": "x"}
    ),
    "search identifier without rules": identifier(search(), {"title": "x"}),
    "search identifier in single quotes": identifier(
        search({"property": "'$title'", "operator": "'='", "value": "'a b'"}, combinator="'and'"),
        {},
    ),
    # titles, icons, teams
    "title null": part("title", None),
    "title missing": part("title", ".nothing"),
    "title number": part("title", "5"),
    "title list": part("title", "[1, null]"),
    "icon": part("icon", '"Github"'),
    "icon null": part("icon", ".nothing"),
    "icon number": part("icon", "5"),
    "icon boolean": part("icon", "true"),
    "icon list": part("icon", "[1]"),
    "team": part("team", '"core"'),
    "team list": part("team", '["a", "b"]'),
    "team null": part("team", ".nothing"),
    "team number": part("team", "5"),
    "team search": part("team", search(RULE), {"title": "t"}),
    "team search in a list": part("team", '[{combinator: "and", rules: []}]'),
    # values
    "property missing": value(".a.b.c", {}, {"a": {"b": None}}),
    "property fails": value(".a.b", {"a": 1}, {"a": "x"}, {"a": []}, {"a": {"b": 1}}),
    "property alternative": value(
        '.a // .b // "none"', {"a": False, "b": 1}, {"a": None}, {"a": 0}
    ),
    "property try": value('try error("x") catch "caught"'),
    "property optional": value(".a?.b?", {"a": 1}, {"a": {"b": 2}}),
    "property empty": value("empty"),
    "property error null": value("error(null)"),
    "property error mapping": value("error({a: 1})"),
    "property error after a result": value('1, error("late")'),
    "property error before a result": value('error("early"), 1'),
    "property boolean": value(".a", {"a": True}, {"a": False}),
    "property number": value(".a", {"a": 0}, {"a": -0.0}, {"a": 1.0}, {"a": 1e3}, {"a": 0.1}),
    "property huge integer": value(
        ".a", {"a": 2**53 + 1}, {"a": 12345678901234567890}, {"a": 10**32}
    ),
    "property huge integer as text": value(".a | tostring", {"a": 12345678901234567890}),
    "property huge float": value(".a", {"a": 1e308}, {"a": 5e-324}),
    "property infinite": value("infinite, nan"),
    "property nan": value("[nan, infinite, -infinite]"),
    "property list": value(".a", {"a": []}, {"a": [1, [2, None]]}),
    "property list of fields": value(
        "[.xs[]?.name]", {"xs": [{"name": "a"}, {}]}, {}, {"xs": None}
    ),
    "property mapping": value("{a: .a, b: [.a]}", {"a": 1}),
    "property interpolates": value('"\\(.a) of \\(.b)"', {"a": 1.5, "b": {"x": None}}),
    "property unicode": value('.a + "ß" | ascii_downcase | length', {"a": "ÄÖ"}),
    "property date": value(".a | fromdate | todate", {"a": "2026-11-26T00:00:00Z"}, {"a": "x"}),
    "property strptime": value(
        '.a | strptime("%Y-%m-%d") | mktime | strftime("%d.%m.%Y")', {"a": "2026-02-28"}
    ),
    "property variable": value(". as $x | $x.a + $x.b", {"a": "1", "b": "2"}),
    "property function": value("def f(x): x + 1; f(.a)", {"a": 1}),
    "property reduce": value("reduce .a[] as $x (0; . + $x)", {"a": [1, 2, 3]}),
    "property foreach": value("[foreach .a[] as $x (0; . + $x)]", {"a": [1, 2, 3]}),
    "property label": value(
        "[label $out | .a[] | if . > 1 then break $out else . end]", {"a": [1, 2]}
    ),
    "property comment": value(".a # the a", {"a": 1}),
    "property lines": value(".a\n  | length\n", {"a": "xyz"}),
    "property in single quotes": value("'a b'"),
    "property single quotes in a text": value('"it\'s"'),
    "property single quotes around a quote": value("'a' 'b'"),
    "property single quotes in arguments": value(".a | join(',')", {"a": ["x", "y"]}),
    "property sorts": value("[.a[] | select(. > 1)] | sort | unique", {"a": [3, 1, 2, 3]}),
    "property entries": value(".a | to_entries | map(.key)", {"a": {"z": 1, "b": 2}}),
    "property tojson": value(".a | tojson", {"a": {"b": "é", "c": 1.0}}),
    "property fromjson": value(".a | fromjson", {"a": "[1, 2]"}, {"a": "[1"}),
    "property base64": value(".a | @base64, @base64d", {"a": "hallo"}),
    "property $__loc__": value("$__loc__.line"),
    "property input": value("input"),
    "property inputs": value("[inputs]"),
    "property halts": value("halt"),
    "property $ENV": value("$ENV"),
    "property env": value("env | length"),
    "property env within a function": value("def f: [$ENV.PATH, env.PATH]; f"),
    "property number constant": value(5),
    "property unknown function": value("nothing_like_it(1)"),
    "property cannot be parsed": value(".a |", {"a": 1}),
    "property that ends a bracket": value(".a), (.a", {"a": 1}),
    "property blank": value("  "),
    "property imports": value('import "a" as a; .'),
    "properties none": (entry({**BASE, "properties": {}}), [{"id": "a"}]),
    "property names": (
        entry({**BASE, "properties": {"a.b": ".x", "": ".x", "é": ".x"}}),
        [{"id": "a", "x": 1}],
    ),
    "unknown parts": (entry({**BASE, "nonsense": ".x"}), [{"id": "a", "x": 1}]),
    # relations
    "relation text": relation(".o", {"o": "x"}, {"o": None}, {}),
    "relation number": relation(".o", {"o": 5}),
    "relation many": relation("[.os[].id]", {"os": [{"id": "x"}, {"id": 2}, {}]}, {"os": []}, {}),
    "relation fails": relation(".o.id", {"o": "x"}),
    "relation search": relation(search(RULE), {"title": "x"}, {}),
    "relation search nested": relation(
        search(search(RULE, combinator='"or"'), RULE), {"title": "x"}
    ),
    "relation search made by JQ": relation('{combinator: "and", rules: []}'),
    # itemsToParse
    "items": expand(".items", NESTED),
    "items kept": expand(".items", NESTED, itemsToParseTopLevelTransform=False),
    "items named": expand(
        ".items",
        NESTED,
        itemsToParseName="part",
        mappings={**BASE, "identifier": '"\\(.id)-\\(.part.id)"', "title": ".item"},
    ),
    "items nested": expand(".x.ys", NESTED),
    "items nested, in a list": expand("[.items[], .x.ys[]]", NESTED),
    "items in a list, kept": expand(
        "[.items[], .x.ys[]]", NESTED, itemsToParseTopLevelTransform=False
    ),
    "items filtered": expand(".items | map(select(.id == 1))", NESTED),
    "items in parentheses": expand("(.items | map(.)) | reverse", NESTED),
    "items of a variable": expand(". as $all | .items | map(. + {id: $all.id})", NESTED),
    "items with an alternative": expand(".none // []", NESTED, {"none": [{"id": 5}]}),
    "items empty": expand(".items", {"items": []}),
    "items null": expand(".items", {"items": None}, {}),
    "items text": expand(".items", {"items": "abc"}),
    "items mapping": expand(".items", {"items": {"a": 1}}),
    "items fail": expand(".items.x", {"items": [1]}),
    "items of texts": expand(
        ".items", {"items": ["a", None, 3]}, mappings={**BASE, "identifier": ".item"}
    ),
    "items replace a key": expand(".list", {"item": "old", "list": [{"id": "new"}]}),
    "items whose names clash": expand(".item", {"item": [{"id": "a"}, {"id": "b"}]}),
    "items of all fields": expand("[.[] | arrays[]]", NESTED, itemsToParseTopLevelTransform=False),
    "items cannot be parsed": expand(".items[", NESTED),
    "items by a name in brackets": expand('.["items"]', NESTED),
    "items by position": expand(
        ".rows[0].cells", {"name": "n", "rows": [{"cells": [{"id": 1}], "x": 1}]}
    ),
    "items with huge integers": expand(
        ".items", {"items": [{"id": 12345678901234567890}], "n": 2**60}
    ),
}
