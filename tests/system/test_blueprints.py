"""A system creates the blueprints of its handlers before their first run."""

from __future__ import annotations

import pytest
from scripted import Quick

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RunEnded, Settings
from ocean_actors.blueprints import BlueprintError
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem
from ocean_actors.testing.sandboxed import port_of

CALM = {"type": "POLLING", "interval": 3600}


class Repositories(ResyncHandler):
    blueprints = (
        {"identifier": "repository", "relations": {"team": {"target": "team"}}},
        {"identifier": "team"},
    )

    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("team", [{"identifier": "core"}])
        run.port.upsert("repository", [{"identifier": "shop", "relations": {"team": "core"}}])


def created(sandbox: Sandbox) -> list[str]:
    return [
        str(call.body["identifier"])
        for call in sandbox.calls
        if (call.method, call.path) == ("POST", "/v1/blueprints")
    ]


def test_the_first_run_finds_the_blueprints_of_its_handlers() -> None:
    with SandboxedSystem([Repositories]) as rig:
        assert rig.expect(RunEnded).status == "completed"
        assert created(rig.sandbox) == ["team", "repository"]
        rig.system.request_resync("again")
        assert rig.expect(RunEnded).status == "completed"
        assert created(rig.sandbox) == ["team", "repository"]


def test_they_are_created_without_a_run_too() -> None:
    quiet = {**CALM, "resyncOnStart": False}
    with SandboxedSystem([Repositories], eventListener=quiet) as rig:
        rig.sandbox.wait_for(lambda: created(rig.sandbox) == ["team", "repository"], 30.0)
        assert rig.statuses() == []


def test_a_run_waits_while_port_does_not_create_them() -> None:
    sandbox = Sandbox()
    sandbox.fail("status", status=503, method="POST", path="/blueprints$", times=2)
    with sandbox, SandboxedSystem([Repositories], sandbox=sandbox) as rig:
        assert rig.expect(RunEnded).status == "completed"


def test_a_refusal_is_a_warning_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox()
    sandbox.fail("status", status=403, method="POST", path="/blueprints$", times=None)
    with sandbox, SandboxedSystem([Repositories], sandbox=sandbox) as rig:
        assert rig.expect(RunEnded).status == "failed"
    refused = [line for line in caplog.messages if "Port refused the blueprint" in line]
    assert len(refused) == 2


def test_nothing_is_created_if_the_settings_say_so() -> None:
    with SandboxedSystem([Repositories], initializePortResources=False) as rig:
        assert rig.expect(RunEnded).status == "failed"
        assert not [call for call in rig.sandbox.calls if call.path.endswith("/blueprints")]


def test_a_blueprint_that_cannot_be_used_stops_the_system_from_being_made() -> None:
    class Broken(Quick):
        blueprints = "absent.yaml"

    with Sandbox() as sandbox:
        settings = Settings.from_dict({"port": port_of(sandbox)}, {})
        with pytest.raises(BlueprintError, match=r"Broken.blueprints: .*absent.yaml: cannot be"):
            OceanSystem(settings, [Broken])
        assert sandbox.call_count == 0


def test_a_seeded_sandbox_has_blueprints_and_mapping_before_the_start() -> None:
    mapping = {"resources": [{"kind": "repository"}]}
    with SandboxedSystem(
        [Repositories], blueprints=[{"identifier": "team", "title": "Ours"}], mapping=mapping
    ) as rig:
        ended = rig.expect(RunEnded)
        assert ended.status == "completed"
        assert ended.run.config == mapping
        assert created(rig.sandbox) == ["repository"]


def test_a_sandbox_that_is_given_is_not_seeded() -> None:
    with pytest.raises(TypeError, match="blueprints, mapping: give them to the Sandbox"):
        SandboxedSystem([Repositories], sandbox=Sandbox(), mapping={})
