"""The code on the page about actors runs as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ocean_actors import actors

PAGE = (Path(__file__).parents[2] / "docs" / "actors.md").read_text()


def test_the_examples_run_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    page = ModuleType("actors_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)  # dataclasses look their module up
    for block in blocks:
        exec(compile(block, "docs/actors.md", "exec"), vars(page))  # noqa: S102  (our own page)


def test_the_page_names_what_an_actor_can_do_and_show() -> None:
    context = {name for name in vars(actors.Context) if not name.startswith("_")}
    system = actors.ActorSystem()
    system.spawn(actors.Actor)
    (state,) = system.snapshot()
    assert system.stop() == []
    rules = {rule.name for rule in actors.AtLimit}
    assert {name for name in context | set(state) | rules if f"`{name}" not in PAGE} == set()
