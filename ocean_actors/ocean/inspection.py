"""Looks at an integration of Port Ocean from within its own interpreter, and prints what it finds.

`probe.py` runs this file with the integration's Python, so it imports nothing of ours. It imports
nothing of the integration either: the files are parsed, and its dependencies are only looked up.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata

MAX_FILES = 5_000
MAX_MISSING = 20
RESYNC = "on_resync"


class Inspection:
    """What was found in `main.py`, in `integration.py`, and in the files that they import."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.syntax_error: str | None = None
        self.missing: dict[str, str] = {}
        self.kinds: list[str] = []
        self.any_kind = False
        self._constants: dict[tuple[str, str], str] = {}
        self._kind_expressions: list[ast.expr] = []
        self._seen: set[str] = set()

    def run(self) -> None:
        """Follow the imports, and look at each file."""
        waiting = [
            file
            for name in ("main.py", "integration.py")
            if os.path.isfile(file := os.path.join(self.folder, name))
        ]
        while waiting and len(self._seen) < MAX_FILES:
            file = waiting.pop()
            if file not in self._seen:
                self._seen.add(file)
                tree = self._parsed(file)
                if tree is not None:
                    self._collect(tree)
                    waiting += self._imported(tree, file)
        self._name_kinds()

    def _parsed(self, file: str) -> ast.Module | None:
        name = os.path.relpath(file, self.folder)
        try:
            with open(file, "rb") as stream:
                source = stream.read()
            compile(source, name, "exec", dont_inherit=True)
            return ast.parse(source, name)
        except SyntaxError as error:
            place = name if error.lineno is None else f"{name}:{error.lineno}"
            found = f"{place}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            found = f"{name}: {error}"
        except OSError as error:
            found = f"{name}: cannot be read: {error.strerror}"
        if self.syntax_error is None or name == "main.py":
            self.syntax_error = found
        return None

    def _imported(self, tree: ast.Module, file: str) -> Iterator[str]:
        """Yields the files of the integration that a file imports, and notes what is missing.

        Only imports that always happen are looked at: others may be optional.
        """
        package = os.path.relpath(os.path.dirname(file), self.folder).split(os.sep)
        package = [] if package == ["."] else package
        for node in tree.body:
            names: list[list[str]] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = [*base, *(node.module.split(".") if node.module else [])]
                names = [[*base, alias.name] for alias in node.names]
            for parts in names:
                if not parts:
                    continue
                relative = isinstance(node, ast.ImportFrom) and node.level
                if not relative and is_installed(parts[0]):
                    continue
                found = list(self._files_of(parts))
                yield from found
                if not found and not relative and len(self.missing) < MAX_MISSING:
                    place = f"{os.path.relpath(file, self.folder)}:{node.lineno}"
                    self.missing.setdefault(parts[0], place)

    def _files_of(self, parts: list[str]) -> Iterator[str]:
        """Yields the files of a module of the integration and of the packages that it is in."""
        for count in range(1, len(parts) + 1):
            path = os.path.join(self.folder, *parts[:count])
            for file in (f"{path}.py", os.path.join(path, "__init__.py")):
                if os.path.isfile(file):
                    yield file
                    break
            else:
                if not os.path.isdir(path):  # else it is a package without `__init__.py`
                    return

    def _collect(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for statement in node.body:
                    self._note_constants(node.name, statement)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == RESYNC
            ):
                named = {each.arg: each.value for each in node.keywords}
                kind = node.args[0] if node.args else named.get("kind")
                if kind is None or (isinstance(kind, ast.Constant) and kind.value is None):
                    self.any_kind = True
                else:
                    self._kind_expressions.append(kind)

    def _note_constants(self, owner: str, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name) and isinstance(statement.value.value, str):
                    self._constants[owner, target.id] = statement.value.value

    def _name_kinds(self) -> None:
        """Name the kinds of the resync functions; if one cannot be told, any may be meant."""
        for expression in self._kind_expressions:
            kind = self._text(expression)
            if kind is None:
                self.any_kind = True
            elif kind not in self.kinds:
                self.kinds.append(kind)

    def _text(self, node: ast.expr) -> str | None:
        """Returns the text of `"issue"`, `Kind.ISSUE` or `Kind.ISSUE.value`."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return self._text(node.value)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._constants.get((node.value.id, node.attr))
        return None


def is_installed(name: str) -> bool:
    """Returns whether the interpreter finds a module outside of the integration."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def port_ocean_version() -> str | None:
    """Returns the version of port-ocean, None if it is not installed."""
    try:
        return metadata.version("port-ocean")
    except metadata.PackageNotFoundError:
        return None


def main(folder: str, mark: str) -> None:
    """Print what was found as one line of JSON that begins with `mark`."""
    inspection = Inspection(folder)
    version = port_ocean_version()
    if version is not None:
        inspection.run()
    found = {
        "port_ocean": version,
        "syntax_error": inspection.syntax_error,
        "missing": inspection.missing,
        "kinds": inspection.kinds,
        "any_kind": inspection.any_kind,
    }
    print(f"\n{mark}{json.dumps(found)}", flush=True)  # noqa: T201  (it is read by the parent)


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3])
