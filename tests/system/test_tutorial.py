"""What docs/tutorial.md tells to do ends in the model integration, and works at every step."""

from __future__ import annotations

import site
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import ROOT, Terminal, blocks_of, clone, follow

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
EXAMPLE = ROOT / "examples" / "issue_tracker"


@pytest.mark.timeout(900)  # it is many processes, one after the other
def test_every_step_of_the_tutorial_does_what_it_says(
    tmp_path: Path, reserve_port: Callable[[], int]
) -> None:
    """Letter by letter, but for the ports, which may be taken here."""
    ports = {shown: reserve_port() for shown in (8000, 8001, 8099, 9100)}
    folder, variables = clone(tmp_path)
    variables |= {
        "OCEAN__PORT__BASE_URL": f"http://127.0.0.1:{ports[8099]}",  # `.env` has 8099
        "OCEAN__HTTP__PORT": str(ports[8000]),
        "OCEAN__CONTROL__PORT": str(ports[8001]),
    }
    install, found, go_on = PAGE.partition("Make the folder of the integration:")
    assert found
    with Terminal(folder, variables, ports) as terminal:
        steps = follow(install, terminal)
        (packages,) = (folder / ".venv" / "lib").glob("*/site-packages")
        (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
        steps += follow(go_on, terminal)
        made = terminal.folder
        expected = {
            str(file.relative_to(EXAMPLE)): terminal.here(file.read_text())
            for file in EXAMPLE.rglob("*")
            if file.is_file() and "__pycache__" not in file.parts and file.name != "README.md"
        }
    assert [step.block.text for step in steps] == [block.text for block in blocks_of(PAGE)]
    result = {name: terminal.here((made / name).read_text()) for name in expected}
    assert result == expected
