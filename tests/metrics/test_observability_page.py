"""docs/observability.md, the alert rules and the dashboard name metrics and labels that exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import VectorSelector

from ocean_actors.counts import LIMIT
from ocean_actors.metrics.catalog import CATALOG, INTEGRATION, Metric

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "observability.md").read_text()
RULES = yaml.safe_load((DOCS / "observability" / "alerts.yml").read_text())
DASHBOARD = json.loads((DOCS / "observability" / "grafana.json").read_text())

TARGET_LABELS = {"job", "instance"}
"""Prometheus adds them to every sample."""

GRAFANA_VARIABLES = {"$__rate_interval": "5m"}


def series() -> dict[str, set[str]]:
    """Returns the labels of every series that an exposition may have, by its name."""
    found: dict[str, set[str]] = {}
    for metric in CATALOG:
        labels = {*metric.labels, INTEGRATION, *TARGET_LABELS}
        found[metric.full_name] = labels
        if metric.kind == "histogram":
            del found[metric.full_name]
            found |= {f"{metric.full_name}_{suffix}": labels for suffix in ("sum", "count")}
            found[f"{metric.full_name}_bucket"] = labels | {"le"}
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def strangers(query: str) -> set[str]:
    """Returns the metrics and labels in a query that no exposition has."""
    for variable, value in GRAFANA_VARIABLES.items():
        query = query.replace(variable, value)
    known = series()
    unknown = set()
    named: set[str] = set()  # by `by`, `on` and the like
    available: set[str] = set()
    for node in nodes(promql_parser.parse(query)):
        if isinstance(node, VectorSelector):
            labels = known.get(node.name or "")
            if labels is None:
                unknown.add(str(node.name))
                continue
            available |= labels
            unknown |= {matcher.name for matcher in node.matchers.matchers} - labels
        elif isinstance(node, promql_parser.LabelModifier | promql_parser.AggModifier):
            named |= set(node.labels)
    return unknown | named - available


def nodes(node: object) -> Iterator[object]:
    """Yields a node of a query and all below it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "modifier", "matching"):
        below = getattr(node, name, None)
        if below is not None:
            yield from nodes(below)
    for argument in getattr(node, "args", ()):
        yield from nodes(argument)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_what_exists(rule: dict[str, Any]) -> None:
    assert strangers(rule["expr"]) == set()
    assert {"summary", "description"} == set(rule["annotations"])
    assert f"`{rule['alert']}`" in PAGE


@pytest.mark.parametrize("query", queries())
def test_a_query_of_the_dashboard_names_what_exists(query: str) -> None:
    assert strangers(query) == set()
    assert 'job="$job"' in query


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("ocean_actors_run_total", {"ocean_actors_run_total"}),
        ("rate(ocean_actors_run_duration_seconds[5m])", {"ocean_actors_run_duration_seconds"}),
        ('sum(ocean_actors_runs_total{result="failed"}) / 2', {"result"}),
        ("sum by (kind) (rate(ocean_actors_runs_total[5m]))", {"kind"}),
        ("ocean_actors_active unless on (host) ocean_actors_active", {"host"}),
        ("ocean_actors_active", set()),
    ],
)
def test_a_query_that_names_something_else_would_be_found(query: str, wrong: set[str]) -> None:
    assert strangers(query) == wrong


def test_there_are_three_rules_and_the_dashboard_shows_every_metric() -> None:
    assert len(alerts()) == 3
    text = json.dumps(queries())
    assert [metric.full_name for metric in CATALOG if metric.full_name not in text] == []


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: str(metric.name))
def test_the_page_explains_each_metric_with_its_labels(metric: Metric) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{metric.full_name}` |"))
    _, _, kind, labels, _, _ = row.split("|")
    assert kind.strip() == metric.kind
    assert tuple(label.strip("` ") for label in labels.split(",") if label.strip()) == metric.labels


def test_the_page_says_how_many_names_have_series_of_their_own() -> None:
    assert f"the first {LIMIT} names" in PAGE
