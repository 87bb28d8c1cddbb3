"""Engines of leader election and executors from packages fail in one line, as listeners do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packages import write_dist_info
from scripted import Quick

from ocean_actors import (
    OceanSystem,
    ResyncRun,
    RunEnded,
    Settings,
    SettingsError,
    Shard,
    ShardedHandler,
    plugins,
)
from ocean_actors.check import check
from ocean_actors.testing import SandboxedSystem

ENGINE = """
from ocean_actors.leader.spec import LeaderSpec
from ocean_actors.settings import LeaderSettings
def fail(*_args): raise LookupError("no engine")
class Engine:
    ttl = "10 s"
    campaign = resign = interrupt = fail
"""
EXECUTOR = """
from ocean_actors.shards.executor import ExecutorSpec
def fail(*_args): raise LookupError("no cluster")
"""
UNCLOSED = """
class Cluster:
    writes = False
    submit = close = fail
SPEC = ExecutorSpec("odd", lambda _context: Cluster())
"""

Package = Callable[[str, str], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes a package with a part called ODD in a group; pip would install the same."""

    def add(group: str, code: str) -> None:
        write_dist_info(tmp_path, group, "ODD = broken_part:SPEC")
        (tmp_path / "broken_part.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield add
    sys.modules.pop("broken_part", None)


def settings(**given: object) -> Settings:
    port = {"clientId": "id", "clientSecret": "secret", "baseUrl": "http://127.0.0.1:9"}
    return Settings.from_dict({"port": port, **given}, {})


def checked(settings: Settings, topic: str) -> tuple[bool, str]:
    (found,) = [each for each in check(settings, "here") if each.topic == topic]
    return found.good, found.text


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("fail", "build: LookupError: no engine ("),
        (
            "lambda s, c: None",
            "build returned None, which has no method campaign, resign, interrupt",
        ),
        ("lambda s, c: Engine()", "build: expected more than 0 seconds as ttl, got 10 s"),
    ],
)
def test_an_engine_that_cannot_be_made_is_one_line(package: Package, spec: str, line: str) -> None:
    package("ocean_actors.leaders", f"{ENGINE}SPEC = LeaderSpec('ODD', LeaderSettings, {spec})\n")
    given = settings(leader={"type": "ODD"})
    with pytest.raises(plugins.PluginError) as error:
        OceanSystem(given, [Quick])
    assert str(error.value).startswith(f"ODD (broken_part:SPEC of odd): {line}")
    assert checked(given, "leader") == (False, str(error.value))


def test_an_engine_without_settings_is_refused_with_the_settings(package: Package) -> None:
    package("ocean_actors.leaders", f"{ENGINE}SPEC = LeaderSpec('ODD', None, fail)\n")
    with pytest.raises(SettingsError) as error:
        settings(leader={"type": "ODD"})
    assert str(error.value) == (
        "leader.type: ODD (broken_part:SPEC of odd): "
        "expected a subclass of LeaderSettings as settings, got None"
    )


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("raise RuntimeError('broken')", "cannot be imported: RuntimeError: broken ("),
        ("SPEC = 5", "expected an instance of ExecutorSpec, got int"),
        ("SPEC = ExecutorSpec('odd', fail, fail)", "require: LookupError: no cluster ("),
    ],
)
def test_an_executor_that_cannot_be_used_is_one_line(
    package: Package, code: str, line: str
) -> None:
    package("ocean_actors.executors", f"{EXECUTOR}{code}\n")
    given = settings(resync={"executor": "odd"})
    with pytest.raises(plugins.PluginError) as error:
        OceanSystem(given, [Quick])
    assert str(error.value).startswith(f"odd (broken_part:SPEC of odd): {line}")
    assert checked(given, "executor") == (False, str(error.value))


def test_an_executor_that_can_be_used_is_a_line_of_check(package: Package) -> None:
    package("ocean_actors.executors", f"{EXECUTOR}SPEC = ExecutorSpec('odd', fail)\n")
    given = settings(resync={"executor": "ODD"})
    assert checked(given, "executor") == (True, "odd; this command does not start it")


class Pages(ShardedHandler):
    def shards(self, run: ResyncRun) -> list[str]:
        return ["a"]

    def resync_shard(self, shard: Shard) -> Iterator[tuple[str, dict[str, object]]]:
        yield "page", {"identifier": shard.name}


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("fail", "build: LookupError: no cluster ("),
        ("lambda _context: None", "build returned None, which has no method submit, close"),
    ],
)
def test_an_executor_that_cannot_be_made_fails_the_run_in_one_line(
    package: Package, spec: str, line: str
) -> None:
    package("ocean_actors.executors", f"{EXECUTOR}SPEC = ExecutorSpec('odd', {spec})\n")
    with SandboxedSystem([Pages], resync={"executor": "odd", "retry": {"attempts": 0}}) as rig:
        ended = rig.expect(RunEnded)
    assert ended.status == "failed"
    assert f"odd (broken_part:SPEC of odd): {line}" in str(ended)


def test_an_executor_that_cannot_be_closed_is_logged_and_the_stop_goes_on(
    package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    package("ocean_actors.executors", f"{EXECUTOR}{UNCLOSED}")
    with SandboxedSystem([Pages], resync={"executor": "odd", "retry": {"attempts": 0}}) as rig:
        rig.expect(RunEnded)
    assert rig.system.status()["stopped"]
    left, stopped = caplog.messages[-2:]
    assert left.startswith(
        "workers may be left: odd (broken_part:SPEC of odd): close: LookupError: no cluster ("
    )
    assert stopped == "integration under-test stopped"
