"""The folder list is the architecture: who may import whom, and what is imported when."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

import ocean_actors

PACKAGE = Path(ocean_actors.__file__).parent

SMALL = {
    "errors": set(),
    "port_time": set(),
    "text": set(),
    "user_code": {"text"},
    "terminal": {"text"},
    "_version": set(),
    "log": {"text"},
    "plugins": {"errors", "text", "user_code"},
    "tls": {"errors"},
    "jsonable": {"text"},
    "frozen": {"errors"},
    "checked": {"frozen", "text"},
    "counts": set(),
    "histogram": set(),
}
"""Small parts that every part may import, and what they import themselves."""

MAY_IMPORT: dict[str, set[str]] = {
    **SMALL,
    "log_output": {*SMALL},
    "actors": {*SMALL},
    "throttle": {*SMALL, "actors"},
    "settings": {*SMALL},
    "redaction": {*SMALL, "settings"},
    "blueprints": {*SMALL, "settings"},
    "retry": {*SMALL, "actors"},
    "connections": {*SMALL, "actors"},
    "adapter": {*SMALL, "actors", "connections"},
    "pauses": {*SMALL, "actors"},
    "rate_limit": {*SMALL, "actors"},
    "session": {*SMALL, "actors", "adapter", "connections", "pauses", "rate_limit", "retry"},
    "messages": {*SMALL, "actors"},
    "context": {*SMALL, "actors", "messages", "resync", "session"},
    "tracing": {*SMALL, "actors"},
    "mapping": {*SMALL, "actors", "throttle"},
    "resync": {
        *SMALL, "actors", "blueprints", "mapping", "messages", "pauses", "rate_limit", "session",
        "settings", "throttle",
        "tracing",
    },
    "shards": {
        *SMALL, "actors", "loading", "log_output", "mapping", "messages", "pauses", "port",
        "rate_limit", "resync", "session", "settings", "throttle",
    },
    "port": {
        *SMALL, "actors", "adapter", "blueprints", "connections", "context", "messages", "pauses",
        "resync", "retry", "settings", "throttle", "tracing",
    },
    "web": {*SMALL, "actors", "throttle"},
    "live": {
        *SMALL, "actors", "mapping", "messages", "port", "resync", "session", "settings",
        "throttle", "web",
    },
    "endpoint": {*SMALL, "settings", "web"},
    "metrics": {*SMALL, "messages", "port", "resync"},
    "control": {*SMALL, "actors", "connections", "messages", "redaction", "settings", "web"},
    "ocean": {
        *SMALL, "actors", "context", "messages", "port", "resync", "retry", "settings", "throttle",
        "web",
    },
    "leader": {*SMALL, "actors", "context", "messages", "port", "retry", "settings"},
    "listeners": {
        *SMALL, "actors", "context", "leader", "messages", "port", "resync", "retry", "settings",
        "throttle", "web",
    },
    "assembly": {
        *SMALL, "actors", "blueprints", "connections", "context", "leader", "listeners", "live",
        "messages", "port", "redaction", "resync", "settings", "shards", "tracing",
    },
    "servers": {*SMALL, "endpoint", "settings"},
    "stoppable": {*SMALL, "actors"},
    "system": {
        *SMALL, "actors", "assembly", "context", "control", "endpoint", "live", "messages",
        "metrics", "ocean", "resync", "servers", "settings", "shards", "stoppable", "web",
    },
    "loading": {*SMALL, "context", "live", "resync"},
    "group": {
        *SMALL, "actors", "context", "control", "endpoint", "live", "loading", "metrics", "resync",
        "servers", "settings", "stoppable", "system", "web",
    },
    "sandbox": {*SMALL, "actors", "blueprints", "settings", "web"},
    "testing": {
        *SMALL, "actors", "blueprints", "context", "live", "resync", "sandbox", "settings",
        "system",
    },
    # like the program of a user: it has the public names, and the sandbox to run against
    "demo": {
        *SMALL, "actors", "context", "messages", "resync", "sandbox", "settings", "system",
        "testing",
    },
    "scaffold": {*SMALL},
    "signals": {*SMALL},
    "check": {
        *SMALL, "actors", "blueprints", "leader", "listeners", "ocean", "port", "resync", "retry",
        "settings", "shards",
    },
    "cli": {
        *SMALL, "check", "control", "demo", "group", "loading", "log_output", "sandbox",
        "scaffold", "settings", "signals", "system",
    },
    "__main__": {"cli"},
    "__init__": {"_version"},  # it imports the public names when they are used
}  # fmt: skip
"""What each file and folder of the package may import at run time, from the bottom to the top."""


def modules() -> dict[str, Path]:
    """The files of the package by the names of their modules."""
    names = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def modules_imported_by(file: Path, known: Collection[str]) -> set[str]:
    """The modules of the package that a file imports anywhere, also for type checking only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= members or {node.module}  # `from package import module` is of the module
    return {name for name in found if name in known}


def circles(imported: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which imports, perhaps through others, all of its group."""

    def reached_from(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for name in imported[waiting.pop()] - seen:
                seen.add(name)
                waiting.append(name)
        return seen

    reached = {name: reached_from(name) for name in imported}
    groups = {
        frozenset({name} | {other for other in reached[name] if name in reached[other]})
        for name in imported
        if name in reached[name]
    }
    return sorted(sorted(group) for group in groups)


def test_no_modules_import_each_other_in_a_circle_not_even_for_types() -> None:
    known = modules()
    imported = {name: modules_imported_by(file, known) for name, file in known.items()}
    assert circles(imported) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": {"e"}}) == [
        ["b", "c"],
        ["e"],
    ]


def imports(file: Path) -> set[str]:
    """The parts of the package that a file imports at run time."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("ocean_actors."):
            found.add(module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "ocean_actors":
            members = (alias.name for alias in node.names)
            paths = (ocean_actors._MODULES.get(name, f"ocean_actors.{name}") for name in members)
            found |= {path.split(".")[1] for path in paths}
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            found |= {name[1] for name in names if name[0] == "ocean_actors" and len(name) > 1}
    return found


def files_of(part: str) -> list[Path]:
    file = PACKAGE / f"{part}.py"
    return [file] if file.exists() else sorted((PACKAGE / part).rglob("*.py"))


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part: str) -> None:
    for file in files_of(part):
        strangers = imports(file) - MAY_IMPORT[part] - {part}
        assert not strangers, f"{file.relative_to(PACKAGE)} imports {sorted(strangers)}"


def test_every_part_is_there() -> None:
    assert all(files_of(part) for part in MAY_IMPORT)


def test_every_module_belongs_to_a_part_with_a_row() -> None:
    governed = {file for part in MAY_IMPORT for file in files_of(part)}
    left_out = {str(file.relative_to(PACKAGE)) for file in set(modules().values()) - governed}
    assert not left_out, f"add a row to MAY_IMPORT: what may {sorted(left_out)} import?"


def test_the_rows_allow_no_circle() -> None:
    assert circles(MAY_IMPORT) == []


HEAVY = {
    "asyncio", "bottle", "cryptography", "dotenv", "jgo", "kafka", "prometheus_client", "pydantic",
    "pykka", "pythonjsonlogger", "requests", "rich", "trustme", "urllib3", "waitress", "yaml",
}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded once it has run `code`."""
    report = f"import sys\ntry: {code}\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "ocean_actors" in loaded
    return loaded


@pytest.mark.parametrize(
    "code",
    [
        "import ocean_actors",
        "import ocean_actors; dir(ocean_actors); ocean_actors.__version__",
        "from ocean_actors.cli import main; main(['--version'])",
        "from ocean_actors.cli import main; main(['run', '--help'])",
    ],
)
def test_what_needs_no_dependency_imports_none(code: str) -> None:
    assert not HEAVY & loaded_by(code)


def test_a_system_under_polling_loads_no_kafka_and_no_web_server() -> None:
    unused = {
        "asyncio", "bottle", "cryptography", "jgo", "kafka", "prometheus_client", "rich", "trustme",
        "waitress",
    }  # fmt: skip
    assert unused < HEAVY
    assert not unused & loaded_by("from ocean_actors import OceanSystem")


def test_every_public_name_is_importable_and_documented() -> None:
    architecture = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    for name in ocean_actors.__all__:
        assert hasattr(ocean_actors, name)
        assert f"`{name}`" in architecture, f"docs/architecture.md does not name {name}"


def test_type_checkers_and_the_interpreter_see_the_same_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if ast.unparse(node).startswith("if TYPE_CHECKING"))
    typed = {
        alias.name: node.module
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == ocean_actors._MODULES
    assert {*typed, "__version__"} == set(ocean_actors.__all__)
    assert set(ocean_actors.__all__) <= set(dir(ocean_actors))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'OceanSytem'"):
        ocean_actors.OceanSytem  # type: ignore[attr-defined]  # noqa: B018  (the slip is the test)
