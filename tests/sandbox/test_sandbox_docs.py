"""docs/sandbox.md names everything there is, and what it shows works."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox, api, api_catalog, api_ingest, control
from ocean_actors.sandbox.faults import Kind
from ocean_actors.sandbox.schemas import Behaviour, FaultOrder

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
SHORT = {
    "<identifier:part>": "{id}",
    "<blueprint:part>": "{bp}",
    "<entity:part>": "{entity}",
    "<event:part>": "{event}",
    "<kind:part>": "{kind}",
    "<rest:path>": "{rest}",
}


def documented() -> Any:
    """The calls that the page's tables name: (method, path)."""
    found = set()
    for row in re.findall(r"^\| (.*?`.*?) \|", PAGE, re.MULTILINE):
        methods = []
        for word in re.findall(r"[A-Z]{3,}|/[\w/{}-]+", row):
            if word.isupper() and not word.startswith("/"):
                methods.append(word)
            else:
                found |= {(method, word) for method in methods}
                methods = methods if "`, `/" in row else []
    return found


def short(path: str) -> Any:
    for long, name in SHORT.items():
        path = path.replace(long, name)
    return path.removeprefix("/v1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, short(path))
        for routes in (
            api.PUBLIC,
            api.ROUTES,
            api_catalog.ROUTES,
            api_ingest.ROUTES,
            control.ROUTES,
        )
        for method, path, _ in routes
    ],
)
def test_every_call_is_documented(method: Any, path: Any) -> None:
    assert (method, path) in documented()


@pytest.mark.parametrize(
    "name", [*Behaviour.model_fields, *FaultOrder.model_fields, *(kind.value for kind in Kind)]
)
def test_every_setting_and_fault_is_documented(name: Any) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", PAGE, re.MULTILINE) or name == "kind"


def test_the_order_for_faults_that_is_shown_is_taken(sandbox: Sandbox, client: Client) -> None:
    shown = re.search(r"-d '(.*)'", PAGE)
    assert shown is not None
    order = json.loads(shown[1])
    requests.post(f"{sandbox.url}/sandbox/faults", json=order, timeout=30).raise_for_status()
    answer = client.call("GET", "/organization")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


def test_the_python_that_is_shown_runs_up_to_the_wait() -> None:
    shown = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    names: dict[str, Any] = {}
    exec(shown[1].split("    # …")[0], names)  # noqa: S102
    assert names["settings"]["port"]["baseUrl"] == names["sandbox"].url
