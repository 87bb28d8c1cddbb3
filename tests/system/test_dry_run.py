"""A dry run: handlers run, nothing is written to Port, and a table says what would have been."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RunEnded, Settings
from ocean_actors.port.dry_run import DryRunCounts, DryRunResult
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem
from ocean_actors.testing.sandboxed import port_of

SOON = 30  # seconds
READS = ("/auth/access_token", "/entities/search", "/entities/datasource-entities")
SCHEMA: dict[str, Any] = {
    "properties": {
        "url": {"type": "string"},
        "stars": {"type": "number"},
        "apiToken": {"type": "string"},
    },
    "required": [],
}
OWNER = {"owner": {"target": "team", "required": False, "many": False}}


def service(name: str, **properties: Any) -> dict[str, Any]:
    return {"identifier": name, "title": name, "properties": properties}


class Seeds(ResyncHandler):
    """Writes what Port has before the dry run."""

    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("team", [{"identifier": "red"}, {"identifier": "old"}])
        related = {**service("same", url="u", stars=1), "relations": {"owner": "red"}}
        changes = service("changes", url="a", stars=1, apiToken="hidden-1")
        run.port.upsert("service", [related, changes, service("gone")])


class Changes(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        related = {**service("same", url="u"), "relations": {"owner": "red"}}
        run.port.upsert(
            "service",
            [
                related,
                service("changes", url="b\x1b[2J", apiToken="hidden-2"),
                service("new", stars=2),
                service("new", stars=2),
                service("bad", colour="blue"),
                {"title": "no identifier"},
            ],
        )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    sandbox.create_blueprint("team")
    sandbox.create_blueprint("service", schema=SCHEMA, relations=OWNER)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def seeded(sandbox: Sandbox) -> Sandbox:
    with SandboxedSystem([Seeds], sandbox=sandbox) as rig:
        assert rig.expect(RunEnded).status == "completed"
    return sandbox


def writes(sandbox: Sandbox, since: int = 0) -> list[str]:
    return [
        f"{call.method} {call.path}"
        for call in sandbox.calls
        if call.number > since and call.method != "GET" and not call.path.endswith(READS)
    ]


def dry_run(
    sandbox: Sandbox, *handlers: type[ResyncHandler], **settings: Any
) -> tuple[OceanSystem, DryRunResult]:
    """Do one dry run in this process."""
    made = Settings.from_dict(
        {"port": port_of(sandbox), "integration": {"identifier": "under-test"}, **settings}, {}
    ).for_dry_run()
    results: list[DryRunResult] = []
    system = OceanSystem(made, handlers, show_dry_run=results.append)
    system.start()
    assert system.wait(SOON)
    return system, results[-1]


def counts(result: DryRunResult) -> dict[str, dict[str, int]]:
    return {
        name: {key: value for key, value in vars(each).items() if value}
        for name, each in result.blueprints.items()
    }


def last_call(sandbox: Sandbox) -> int:
    return max(call.number for call in sandbox.calls)


def test_the_result_says_what_would_have_been(seeded: Sandbox) -> None:
    before, entities = last_call(seeded), seeded.entities("service")
    system, result = dry_run(seeded, Changes)
    assert system.exit_code == 0
    assert writes(seeded, before) == []
    assert seeded.entities("service") == entities
    assert counts(result) == {
        "service": {"created": 1, "changed": 1, "unchanged": 1, "repeated": 1, "refused": 2}
    }


def test_the_differences_are_shown_without_secrets_and_control_characters(seeded: Sandbox) -> None:
    _, result = dry_run(seeded, Changes)
    (changed,) = result.changed
    assert (changed.blueprint, changed.identifier) == ("service", "changes")
    assert changed.changes == (
        'properties.url: "a" -> "b\\u001b[2J"',
        "properties.apiToken: *** -> ***",
    )
    assert all(line.isprintable() for line in result.lines())


class WritesInACoroutine(ResyncHandler):
    async def resync(self, run: ResyncRun) -> None:
        async def pages() -> AsyncIterator[dict[str, Any]]:
            for number in range(25):
                yield service(f"paged-{number}")

        related = {**service("same", url="u"), "relations": {"owner": "red"}}
        sent = (each for each in [related, service("bad", colour="blue")])
        result = await run.port.aupsert("service", sent)
        assert (result.upserted, result.failed) == (1, 1)
        assert (await run.port.aupsert("service", pages())).created == 25


class WritesAtTheSameTime(ResyncHandler):
    async def resync(self, run: ResyncRun) -> None:
        await run.port.aupsert("service", [])
        await run.port.aupsert("service", [service("new")])
        await asyncio.gather(*(run.port.aupsert("service", [service("new")]) for _ in range(4)))


def test_a_blueprint_is_read_once_whichever_call_needs_it(seeded: Sandbox) -> None:
    before = last_call(seeded)
    _, result = dry_run(seeded, WritesAtTheSameTime)
    assert counts(result) == {"service": {"created": 1, "repeated": 4}}
    read = [each for each in seeded.calls if each.path.endswith("/blueprints/service")]
    assert len([each for each in read if each.number > before]) == 1


class ReconcilesInACoroutine(ResyncHandler):
    async def resync(self, run: ResyncRun) -> None:
        await run.port.aupsert("service", iter([service("changes", url="b")]))
        assert await run.port.areconcile() == 4


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (WritesInACoroutine, {"service": {"created": 25, "unchanged": 1, "refused": 1}}),
        (
            ReconcilesInACoroutine,
            {"service": {"changed": 1, "deleted": 2}, "team": {"deleted": 2}},
        ),
    ],
)
def test_coroutines_write_nothing_either(
    seeded: Sandbox, handler: type[ResyncHandler], expected: dict[str, dict[str, int]]
) -> None:
    before, entities = last_call(seeded), seeded.entities("service")
    system, result = dry_run(seeded, handler)
    assert system.exit_code == 0
    assert writes(seeded, before) == []
    assert seeded.entities("service") == entities
    assert counts(result) == expected


@pytest.mark.parametrize("length", [12, 300])
def test_secrets_of_the_settings_are_not_shown(seeded: Sandbox, length: int) -> None:
    secret = "s3é" * (length // 3)

    class Leaks(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service("same", url=f"https://é/{secret}")])

    integration = {"identifier": "under-test", "config": {"apiKey": secret}}
    _, result = dry_run(seeded, Leaks, integration=integration)
    (changed,) = result.changed
    assert changed.changes[0] == 'properties.url: "u" -> "https://é/***"'


@pytest.mark.parametrize(("owner", "left"), [("old", ["old"]), (None, [])])
def test_what_would_be_deleted_is_found_by_the_rules_of_reconcile(
    seeded: Sandbox, owner: str | None, left: list[str]
) -> None:
    """Entities are kept to which one would relate after the run, and no others."""
    teams = 2 - len(left)

    class Fewer(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [{**service("same"), "relations": {"owner": owner}}])
            assert run.port.reconcile() == 2 + teams

    _, result = dry_run(seeded, Fewer)
    assert counts(result) == {"service": {"changed": 1, "deleted": 2}, "team": {"deleted": teams}}
    with SandboxedSystem([Fewer], sandbox=seeded) as rig:
        assert rig.expect(RunEnded).status == "completed", "the real run deletes as many"
    assert [each["identifier"] for each in seeded.entities("team")] == left


def test_too_many_deletions_are_refused_and_fail_the_run(
    seeded: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    class Nothing(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.reconcile(0.5)

    system, result = dry_run(seeded, Nothing)
    assert system.exit_code == 1
    assert "5 of 5 entities would be deleted" in caplog.text
    assert result.notes == ("not complete: these handlers failed: Nothing",)


def test_the_share_counts_what_would_have_been_created(seeded: Sandbox) -> None:
    class Replaces(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service(f"n{number}") for number in range(10)])
            run.port.reconcile(0.4)  # five of fifteen

    system, result = dry_run(seeded, Replaces)
    assert system.exit_code == 0
    assert counts(result) == {"service": {"created": 10, "deleted": 3}, "team": {"deleted": 2}}


def test_an_unknown_blueprint_is_named_and_fails_the_run(sandbox: Sandbox) -> None:
    class Unknown(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("no\x07such", [service("a")])

    system, result = dry_run(sandbox, Unknown)
    assert system.exit_code == 1
    assert "Port does not know the blueprint 'no such'" in result.notes
    assert writes(sandbox) == []


def test_a_blueprint_that_a_handler_declares_is_named_and_not_created(sandbox: Sandbox) -> None:
    class Declares(ResyncHandler):
        blueprints = ({"identifier": "fresh", "schema": {"properties": {}}},)

        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("fresh", [{"identifier": "a"}, service("b", colour="blue")])

    system, result = dry_run(sandbox, Declares)
    assert system.exit_code == 0
    assert writes(sandbox) == []
    assert counts(result) == {"fresh": {"created": 1, "refused": 1}}
    assert result.notes == ("blueprint 'fresh' would be created",)


def test_an_integration_that_port_does_not_know_is_not_created(sandbox: Sandbox) -> None:
    class Sends(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            assert run.config == {}
            run.port.upsert("service", [service("a")])

    system, result = dry_run(sandbox, Sends)
    assert system.exit_code == 0
    assert writes(sandbox) == []
    assert result.blueprints == {"service": DryRunCounts(created=1)}


def test_without_merge_what_is_not_sent_would_go(seeded: Sandbox) -> None:
    class Replaces(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service("same", url="u")], merge=False)

    _, result = dry_run(seeded, Replaces)
    (changed,) = result.changed
    assert changed.changes == ("properties.stars: 1 -> null", 'relations.owner: "red" -> null')


def test_searches_for_identifiers_and_relations_are_resolved(seeded: Sandbox) -> None:
    def search(value: str) -> dict[str, Any]:
        rule = {"property": "$identifier", "operator": "=", "value": value}
        return {"combinator": "and", "rules": [rule]}

    class Searches(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            same = {"identifier": search("same"), "relations": {"owner": search("red")}}
            run.port.upsert("service", [same, {"identifier": search("nobody")}])

    _, result = dry_run(seeded, Searches)
    assert counts(result) == {"service": {"unchanged": 1, "refused": 1}}


def test_only_the_first_differences_are_kept(sandbox: Sandbox) -> None:
    names = [f"s{number}" for number in range(30)]

    class First(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service(name, stars=1) for name in names])

    class Second(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service(name, stars=2, url="x" * 500) for name in names])

    with SandboxedSystem([First], sandbox=sandbox) as rig:
        rig.expect(RunEnded)
    _, result = dry_run(sandbox, Second)
    assert [each.identifier for each in result.changed] == names[:5]
    lines = list(result.lines())
    assert "and 25 more would change" in lines
    assert max(map(len, lines)) < 200


def test_an_abort_ends_it_and_the_result_says_so(sandbox: Sandbox) -> None:
    begun = threading.Event()

    class Waits(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service("a")])
            begun.set()
            run.sleep(3600)

    results: list[DryRunResult] = []
    settings = Settings.from_dict({"port": port_of(sandbox)}, {}).for_dry_run()
    with OceanSystem(settings, [Waits], show_dry_run=results.append) as system:
        assert begun.wait(SOON)
        system.abort("enough")
        assert system.wait(SOON)
    assert system.exit_code == 1
    assert results[-1].notes == ("not complete: the run was aborted",)
    assert not results[-1].complete
    assert results[-1].blueprints == {"service": DryRunCounts(created=1)}
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    "listener",
    [
        {"type": "POLLING", "interval": 0.1},
        {"type": "ONCE"},
        {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"},
    ],
    ids=lambda listener: str(listener["type"]),
)
def test_no_listener_writes_in_a_dry_run_and_each_run_is_logged(
    sandbox: Sandbox, listener: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    class Sends(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.port.upsert("service", [service("a")])
            run.port.reconcile()

    with SandboxedSystem(
        [Sends], sandbox=sandbox, eventListener=listener, resync={"dryRun": True},
        http={"port": 0}, scheduledResyncInterval=60,
    ) as rig:  # fmt: skip
        if listener["type"] == "WEBHOOK":
            rig.system.request_resync("by hand")
        ended = rig.expect(RunEnded)
        assert ended.status == "completed"
        assert ended.written.upserted == 0
    assert writes(sandbox) == []
    assert "nothing was written to Port" in caplog.text
    assert "service" in caplog.text


def test_the_command_prints_the_table_and_ends(seeded: Sandbox, tmp_path: Path) -> None:
    before = last_call(seeded)
    done = command(seeded, tmp_path, "run.port.upsert('service', [{'identifier': 'x'}])")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("dry run ")
    assert lines[1].split() == [
        "blueprint", "created", "changed", "deleted", "unchanged", "refused",
    ]  # fmt: skip
    assert lines[2].split() == ["service", "1", "0", "0", "0", "0"]
    assert writes(seeded, before) == []


def test_the_command_ends_with_1_if_a_handler_fails(seeded: Sandbox, tmp_path: Path) -> None:
    done = command(seeded, tmp_path, "raise ValueError('no such page')")
    assert done.returncode == 1
    assert "not complete: these handlers failed: Sends" in done.stdout


def command(sandbox: Sandbox, folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "config.yaml").write_text(
        f"port: {json.dumps(port_of(sandbox))}\n"
        "integration: {identifier: under-test}\n"
        "eventListener: {type: WEBHOOK, appHost: 'http://127.0.0.1:9'}\n"
    )
    (folder / "sends.py").write_text(
        "from ocean_actors import ResyncHandler\n\n"
        f"class Sends(ResyncHandler):\n    def resync(self, run):\n        {body}\n"
    )
    return subprocess.run(
        [
            sys.executable, "-m", "ocean_actors", "run", "config.yaml", "--dry-run",
            "--handler", "sends.py:Sends",
        ],
        cwd=folder, env={**os.environ, "PYTHONPATH": ""}, timeout=SOON,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_result_that_cannot_be_shown_is_an_incident(
    sandbox: Sandbox, quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    def show(_result: DryRunResult) -> None:
        raise SystemExit(3)

    settings = Settings.from_dict({"port": port_of(sandbox)}, {}).for_dry_run()
    system = OceanSystem(settings, [quick], show_dry_run=show)
    system.start()
    assert system.wait(SOON)
    assert system.exit_code == 0
    assert "could not be shown" in caplog.text


def test_a_function_that_does_not_return_stops_nothing(
    sandbox: Sandbox,
    quick: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocean_actors.port.dry_run_writer.SHOW_SECONDS", 0.2)
    release = threading.Event()

    def show(_result: DryRunResult) -> None:
        release.wait(SOON)

    settings = Settings.from_dict({"port": port_of(sandbox)}, {}).for_dry_run()
    system = OceanSystem(settings, [quick], show_dry_run=show)
    system.start()
    assert system.wait(SOON / 2)
    release.set()
    assert "show_dry_run did not return within 0.2 s" in caplog.text


def test_an_entity_that_is_sent_twice_would_be_created_once(seeded: Sandbox) -> None:
    created: list[int] = []

    class Twice(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            for _ in range(2):
                sent = [service("new"), service("new")]
                created.append(run.port.upsert("service", sent).created)

    dry_run(seeded, Twice)
    assert created == [1, 0]


def test_the_command_ends_with_1_if_it_is_stopped(seeded: Sandbox, tmp_path: Path) -> None:
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGINT); run.sleep(60)"
    done = command(seeded, tmp_path, stop)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "not complete: the run was aborted"
