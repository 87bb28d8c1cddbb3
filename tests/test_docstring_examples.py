"""The examples in docstrings do what they show."""

from __future__ import annotations

import hmac
import inspect
import json
import re
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import ocean_actors
from ocean_actors import LiveHandler, OceanSystem, ResyncHandler, RunEnded
from ocean_actors.live import signatures
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem
from ocean_actors.testing.sandboxed import port_of


def example_of(documented: type) -> str:
    """The indented block of a docstring."""
    (block,) = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", f"{inspect.getdoc(documented)}\n", re.M)
    return textwrap.dedent(block)


def execute(documented: type, **more: object) -> dict[str, Any]:
    """Executes the example, which may use all public names and `more`; returns the names."""
    public = {name: getattr(ocean_actors, name) for name in ocean_actors.__all__}
    names = {**public, "signatures": signatures, **more}
    exec(compile(example_of(documented), documented.__name__, "exec"), names)  # noqa: S102  (ours)
    return names


def identifiers(sandbox: Sandbox) -> set[str]:
    return {entity["identifier"] for entity in sandbox.entities()}


def test_that_of_a_handler_sends_its_entities() -> None:
    with SandboxedSystem([execute(ResyncHandler)["Repositories"]]) as rig:
        assert rig.expect(RunEnded).status == "completed"
        assert identifiers(rig.sandbox) == {"shop", "billing"}


def test_that_of_a_live_handler_takes_a_signed_call() -> None:
    handlers = [execute(ResyncHandler)["Repositories"], execute(LiveHandler)["RepositoryChanged"]]
    body = b'{"repository": {"name": "search"}}'
    signature = hmac.digest(b"hook-secret", body, "sha256").hex()
    with SandboxedSystem(handlers, http={"host": "127.0.0.1", "port": 0}) as rig:
        rig.expect(RunEnded)
        call = urllib.request.Request(  # noqa: S310  (of the test)
            f"{rig.system.http_url}/live/repositories", body,
            {"X-Hub-Signature-256": f"sha256={signature}"},
        )  # fmt: skip
        with urllib.request.urlopen(call, timeout=30) as answer:  # noqa: S310
            assert answer.status == 202
        rig.sandbox.wait_for(lambda: "search" in identifiers(rig.sandbox), 30)


def test_that_of_a_system_runs_until_the_system_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        (tmp_path / "config.yaml").write_text(
            json.dumps(  # which is YAML as well
                {
                    "port": port_of(sandbox),
                    "integration": {"identifier": "shown"},
                    "eventListener": {"type": "ONCE"},  # the system ends by itself
                }
            )
        )
        execute(OceanSystem, Repositories=execute(ResyncHandler)["Repositories"])
        assert "completed" in sandbox.statuses("shown")
        assert identifiers(sandbox) == {"shop", "billing"}
    assert capsys.readouterr().out == "0 None\n"


def test_that_of_a_sandboxed_system_passes() -> None:
    handler = execute(ResyncHandler)["Repositories"]
    execute(SandboxedSystem, SandboxedSystem=SandboxedSystem, MyHandler=handler)
