"""The folder list is the architecture: who may import whom, and what is imported when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ocean_actors

PACKAGE = Path(ocean_actors.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    "port_time": set(),
    "tls": {"errors"},
    "connections": {"actors", "tls"},
    "text": set(),
    "jsonable": set(),
    "frozen": set(),
    "actors": {"jsonable", "text"},
    "throttle": {"actors"},
    "settings": {"text", "frozen"},
    "retry": {"actors"},
    "session": {"actors", "connections", "retry"},
    "messages": {"actors", "frozen"},
    "context": {"actors", "messages", "resync"},
    "resync": {"text", "actors", "frozen", "messages", "session", "settings"},
    "port": {
        "text", "connections", "errors", "port_time", "tls", "_version", "actors",
        "context", "frozen", "messages", "resync", "retry", "session",
        "settings", "throttle",
    },
    "web": {"text", "actors", "throttle"},
    "listeners": {
        "actors", "context", "frozen", "messages", "port", "retry", "settings", "text", "throttle",
        "web",
    },
}  # fmt: skip
"""By the parts that are not at the top. `system`, `cli`, `sandbox`, `demo`, … know more."""


def imports(file: Path) -> set[str]:
    """The parts of the package that a file imports at run time."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ocean_actors."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "ocean_actors":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            found |= {name[1] for name in names if name[0] == "ocean_actors" and len(name) > 1}
    return found


def files_of(part: str) -> list[Path]:
    file = PACKAGE / f"{part}.py"
    return [file] if file.exists() else sorted((PACKAGE / part).rglob("*.py"))


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part):
    for file in files_of(part):
        strangers = imports(file) - MAY_IMPORT[part] - {part}
        assert not strangers, f"{file.relative_to(PACKAGE)} imports {sorted(strangers)}"


def test_every_part_is_there():
    assert all(files_of(part) for part in MAY_IMPORT)


def test_the_import_is_light():
    heavy = "{'kafka', 'bottle', 'waitress', 'rich', 'trustme', 'jgo', 'cryptography'}"
    code = f"import sys, ocean_actors; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == ""


def test_the_front_door_is_complete():
    assert all(hasattr(ocean_actors, name) for name in ocean_actors.__all__)
    architecture = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    for name in ocean_actors.__all__:
        assert f"`{name}`" in architecture, f"docs/architecture.md does not name {name}"
