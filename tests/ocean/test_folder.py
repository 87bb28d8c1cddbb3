"""What is found out about an integration of Port Ocean before anything of it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shop import is_gone
from waiting import wait_until

from ocean_actors.ocean.folder import Folder, OceanFolderError, find_python, read_folder
from ocean_actors.ocean.inspection import Inspection
from ocean_actors.ocean.probe import (
    Installation,
    Probe,
    is_tested,
    probe,
    require_installation,
)
from ocean_actors.settings import OceanSettings

SPEC = """
features:
  - type: exporter
    resources: [{kind: product}, {kind: maker}, {kind: product}]
  - type: gitops
saas: {enabled: true, liveEvents: {enabled: true}}
actionsProcessingEnabled: true
"""
FOUND: dict[str, Any] = {
    "port_ocean": "0.56.2", "syntax_error": None, "missing": {}, "kinds": [], "any_kind": False,
}  # fmt: skip


def write(folder: Path, **files: str) -> Path:
    """Write Python files (`main` is `main.py`, `a__b` is `a/b.py`)."""
    for name, text in files.items():
        file = folder / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def interpreter(folder: Path, script: str) -> str:
    """Returns a program that stands for an interpreter; `$5` is the mark of what it tells."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def telling(found: Mapping[str, Any], version: str = "3.12.4") -> str:
    """Returns the script of an interpreter that tells this."""
    return f"printf '%s' \"$5\"; echo 'python {version}'; echo \"$5\"'{json.dumps(found)}'"


def fault(folder: Path, python: str, **settings: Any) -> str:
    """Returns why an integration cannot be run."""
    with pytest.raises(OceanFolderError) as caught:
        require_installation(OceanSettings(path=str(folder), python=python, **settings))
    text = str(caught.value)
    assert text.isprintable()
    return text


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_tells_what_its_files_say(tmp_path: Path) -> None:
    write(tmp_path, main="")
    (tmp_path / "pyproject.toml").write_text('[tool.poetry]\nname = "shop"\nversion = "1.2.3"\n')
    (tmp_path / ".port").mkdir()
    (tmp_path / ".port" / "spec.yaml").write_text(SPEC)
    assert read_folder(tmp_path) == Folder(
        tmp_path, "shop", "1.2.3", ("product", "maker"),
        ("exporter", "gitops", "live events", "actions"),
    )  # fmt: skip
    (tmp_path / ".port" / "spec.json").write_text(
        '{"features": []}'
    )  # the first that upstream tries
    assert read_folder(tmp_path).kinds == ()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("[1]", "spec.yaml: expected a mapping"),
        ("a: [", "spec.yaml:1:5: not usable as YAML"),
        ("features: {a: 1}", None),
        ("features: [1, {type: exporter, resources: 5}, {type: [x]}]", None),
    ],
)
def test_a_specification_may_be_anything(tmp_path: Path, spec: str, said: str | None) -> None:
    write(tmp_path, main="")
    (tmp_path / ".port").mkdir()
    (tmp_path / ".port" / "spec.yaml").write_text(spec)
    if said is None:
        assert read_folder(tmp_path).kinds == ()
        return
    with pytest.raises(OceanFolderError) as caught:
        read_folder(tmp_path)
    assert said in str(caught.value)


def test_a_folder_that_is_no_integration_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "nowhere", f"ocean.path: there is no folder {tmp_path}/nowhere"),
        (tmp_path / "file", f"ocean.path: {tmp_path}/file is not a folder"),
        (tmp_path, f"ocean.path: there is no main.py in {tmp_path}; expected the folder of an "),
        ("a\0b", "ocean.path: "),
    ):
        with pytest.raises(OceanFolderError) as caught:
            read_folder(path)
        assert str(caught.value).startswith(said)
        assert str(caught.value).isprintable()


# --- the interpreter --------------------------------------------------------------------------


def test_the_interpreter_is_the_one_that_is_named_then_that_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("python3", "python3.12"):
        (tmp_path / "bin" / name).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_python(folder, None) == str(tmp_path / "bin" / "python3")
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert find_python(folder, None) == str(own)  # the link, which says whose environment it is
    assert find_python(folder, "python3.12") == str(tmp_path / "bin" / "python3.12")
    monkeypatch.chdir(tmp_path)
    assert find_python(folder, "bin/python3") == str(tmp_path / "bin" / "python3")


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("no-such-python", "there is no program no-such-python in PATH"),
        ("./nowhere/python", "there is no file ./nowhere/python"),
        ("./main.py", "./main.py cannot be executed"),
        ("./sub", "./sub is a folder"),
        ("./a\x1b[31m", "there is no file ./a [31m"),
    ],
)
def test_a_program_that_is_not_there_is_told(
    tmp_path: Path, python: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, main="")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert fault(tmp_path, python) == (
        f"ocean.python: {said}; expected a Python with the integration's dependencies"
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no; exit 3", "is not a usable Python: it ended with exit code 3: no"),
        ("exit 0", "is not a usable Python: it ended with exit code 0"),
        ("kill -9 $$", "is not a usable Python: it ended with exit code -9"),
        ("printf '%s' \"$5\"; echo 'python 3.12.1'; echo oh", "it ended with exit code 0: oh"),
        (telling({"port_ocean": 1}), "is not a usable Python"),
        ("printf '\\033[31m\\377'", "is not a usable Python: it ended with exit code 0: [31m"),
        ("while true; do echo $5$5$5$5$5$5$5$5; done", "is not a usable Python"),
    ],
)
def test_what_is_no_python_is_told(tmp_path: Path, script: str, said: str) -> None:
    write(tmp_path, main="")
    python = interpreter(tmp_path, script)
    text = fault(tmp_path, python)
    assert text.startswith(f"ocean.python: {python} ")
    assert said in text


def test_a_file_that_the_system_cannot_execute_is_told(tmp_path: Path) -> None:
    write(tmp_path, main="")
    python = interpreter(tmp_path, "")
    Path(python).write_bytes(b"\0\1\2")
    said = f"ocean.python: {python} cannot be executed: Exec format error"
    assert fault(tmp_path, python) == said


def test_an_interpreter_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    write(tmp_path, main="")
    new, file = tmp_path / "new", tmp_path / "pid"
    python = interpreter(tmp_path, f"sleep 3600 & echo $! > {new}; mv {new} {file}; wait")
    for _ in range(30):
        with pytest.raises(OceanFolderError) as caught:
            probe(read_folder(tmp_path), python, seconds=1.0)
        assert str(caught.value) == f"ocean.python: {python} did not answer within 1 s"
        if file.exists():  # a busy machine may not even have started it
            break
    pid = int(file.read_text())
    wait_until(lambda: is_gone(pid), f"the end of process {pid}")


def test_an_old_python_is_told(tmp_path: Path) -> None:
    write(tmp_path, main="")
    python = interpreter(tmp_path, "printf '%s' \"$5\"; echo 'python 3.11.7'")
    assert fault(tmp_path, python) == (
        f"ocean.python: {python} is Python 3.11.7, and port-ocean needs 3.12 or later; name one "
        "with the integration's dependencies"
    )


def test_a_python_without_port_ocean_is_told(tmp_path: Path) -> None:
    write(tmp_path, main="")
    python = interpreter(tmp_path, telling({**FOUND, "port_ocean": None}))
    assert fault(tmp_path, python).startswith(
        f"ocean.python: port-ocean is not installed for {python}; install the integration's "
    )


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("0.48.12", False), ("0.48.13", True), ("0.48.13-dev", True), ("0.50.0", True),
        ("0.56.2", True), ("0.56.3", False), ("0.57", False), ("1.0.0", False), ("x", False),
        ("", False), ("0.48", False), ("0.56", True),
    ],
)  # fmt: skip
def test_versions_from_the_oldest_to_the_newest_are_tested(version: str, tested: bool) -> None:
    assert is_tested(version) is tested


def test_an_untested_version_is_refused_unless_the_setting_allows_it(tmp_path: Path) -> None:
    write(tmp_path, main="")
    python = interpreter(tmp_path, telling({**FOUND, "port_ocean": "0.99.0"}))
    assert fault(tmp_path, python) == (
        f"port-ocean 0.99.0 of {python}: the versions 0.48.13 to 0.56.2 are tested; "
        "set ocean.allowUntested: true (OCEAN__OCEAN__ALLOW_UNTESTED) to try it anyway"
    )
    allowed = OceanSettings(path=str(tmp_path), python=python, allow_untested=True)
    assert require_installation(allowed).probe.port_ocean == "0.99.0"


def test_faults_of_the_integration_are_told_by_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, main="")
    missing = {name: f"main.py:{number}" for number, name in enumerate("abcd")}
    found = {**FOUND, "syntax_error": "main.py:3: invalid syntax", "missing": missing}
    python = interpreter(tmp_path, telling(found))
    text = fault(tmp_path, python)
    assert text.startswith("the integration cannot be read: main.py:3: invalid syntax; ")
    assert f"main.py:0: there is no module a for {python}; install" in text
    assert text.endswith("; and 2 more")


# --- what its own interpreter sees ------------------------------------------------------------


def inspected(folder: Path) -> Inspection:
    inspection = Inspection(str(folder))
    inspection.run()
    return inspection


def test_kinds_are_those_of_the_resync_functions(tmp_path: Path) -> None:
    write(
        tmp_path,
        main="""
from port_ocean_of_nobody import ocean
from store.kinds import Kind
import store.more

@ocean.on_resync("product")
async def products(kind): ...

@ocean.on_resync(kind=Kind.MAKER)
@ocean.on_resync(Kind.SELLER.value)
async def makers(kind): ...
""",
        store__kinds="class Kind(str):\n    MAKER = 'maker'\n    SELLER = 'seller'\n",
        store__more="from . import last\n",
        store__last="def f(ocean):\n    @ocean.on_resync('stock')\n    async def g(kind): ...\n",
        unused="import nothing_of_the_kind\n@ocean.on_resync('other')\nasync def f(kind): ...\n",
    )
    found = inspected(tmp_path)
    assert sorted(found.kinds) == ["maker", "product", "seller", "stock"]
    assert not found.any_kind
    assert found.missing == {"port_ocean_of_nobody": "main.py:2"}
    assert found.syntax_error is None


@pytest.mark.parametrize("call", ["on_resync()", "on_resync(None)", "on_resync(kind_of_it())"])
def test_a_resync_function_may_be_for_any_kind(tmp_path: Path, call: str) -> None:
    write(tmp_path, main=f"@ocean.{call}\nasync def f(kind): ...\n")
    found = inspected(tmp_path)
    assert (found.kinds, found.any_kind) == ([], True)


def test_an_import_that_may_be_left_out_is_not_missed(tmp_path: Path) -> None:
    write(
        tmp_path,
        main="""
try:
    import optional_a
except ImportError:
    pass
if False:
    import optional_b
def f():
    import optional_c
import json, os.path
import folder_without_init.module
""",
        folder_without_init__module="import really_missing\n",
    )
    assert inspected(tmp_path).missing == {"really_missing": "folder_without_init/module.py:1"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a = 1\nif:\n", "main.py:2: "),
        ("x = '\0'", "main.py"),
        ("(" * 1000 + ")" * 1000, "main.py"),
        ("return 1", "main.py:1: 'return' outside function"),
    ],
)
def test_a_file_that_cannot_be_compiled_is_told(tmp_path: Path, source: str, said: str) -> None:
    write(tmp_path, main=source)
    assert (inspected(tmp_path).syntax_error or "").startswith(said)


def test_the_file_that_an_import_cannot_compile_is_told(tmp_path: Path) -> None:
    write(tmp_path, main="import store.client\n", store__client="def f(:\n")
    assert (inspected(tmp_path).syntax_error or "").startswith("store/client.py:1: ")


def test_nothing_of_the_integration_is_executed(tmp_path: Path) -> None:
    write(tmp_path, main="import evil\nraise SystemExit(1)\n", evil="open('written', 'w')\n")
    assert inspected(tmp_path).missing == {}
    assert not (tmp_path / "written").exists()


def test_our_own_python_tells_its_version(tmp_path: Path) -> None:
    """A module of the integration's that is called like one of the standard library is no harm."""
    write(tmp_path, main="", json="raise SystemExit(5)\n", ast="raise SystemExit(5)\n")
    found = probe(Folder(tmp_path), sys.executable)
    assert found.python_version == sys.version_info[:3]
    assert found.port_ocean is None
    assert sorted(os.listdir(tmp_path)) == ["ast.py", "json.py", "main.py"]


# --- the mapping ------------------------------------------------------------------------------


def installation(*, spec: tuple[str, ...], code: tuple[str, ...], any_kind: bool) -> Installation:
    return Installation(
        Folder(Path("/shop"), kinds=spec),
        Probe("python3", (3, 12, 0), "0.56.2", kinds=code, any_kind=any_kind),
    )


@pytest.mark.parametrize(
    ("spec", "code", "any_kind", "lacking"),
    [
        (("product",), ("maker",), False, ("stock",)),
        (("product",), (), False, ("maker", "stock")),
        (("product",), ("maker",), True, ()),
        ((), (), False, ()),
        (("stock", "product"), ("maker",), False, ()),
    ],
)
def test_the_mapping_may_name_kinds_that_the_integration_lacks(
    spec: tuple[str, ...], code: tuple[str, ...], any_kind: bool, lacking: tuple[str, ...]
) -> None:
    found = installation(spec=spec, code=code, any_kind=any_kind)
    assert found.lacking(("product", "maker", "stock", "stock")) == lacking
