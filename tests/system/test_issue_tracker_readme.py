"""What the README of the model integration says works as it stands there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import ROOT, Terminal, follow, installed

EXAMPLE = ROOT / "examples" / "issue_tracker"


@pytest.mark.timeout(600)
def test_the_commands_of_its_readme_end_in_a_live_event(
    tmp_path: Path, reserve_port: Callable[[], int]
) -> None:
    folder = tmp_path / "examples" / "issue_tracker"
    shutil.copytree(EXAMPLE, folder)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    ports = {shown: reserve_port() for shown in (8000, 8001, 8099, 9100)}
    variables = {
        **installed(tmp_path / "bin"),
        "OCEAN__HTTP__PORT": str(ports[8000]),
        "OCEAN__CONTROL__PORT": str(ports[8001]),
    }
    with Terminal(folder, variables, ports) as terminal:
        for name in ("config.yaml", ".env.example"):
            terminal.write(name, (EXAMPLE / name).read_text())
        steps = follow((EXAMPLE / "README.md").read_text(), terminal)
    assert [step.block.language for step in steps].count("sh") == 5
