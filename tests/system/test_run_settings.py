"""`run.settings`: how a handler reads `integration.config`."""

from __future__ import annotations

import queue

import pytest
from pydantic import ValidationError

from ocean_actors import ResyncHandler, ResyncRun, RunEnded, Settings
from ocean_actors.testing import SandboxedSystem

CONFIG = {"url": "https://tracker.example", "token": "hunter2", "teams": ["a", "b"]}


def test_a_handler_reads_the_integrations_own_settings_and_cannot_change_them() -> None:
    seen: queue.Queue[Settings] = queue.Queue()

    class Reading(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            seen.put(run.settings)

    integration = {"identifier": "tracker", "config": CONFIG}
    with SandboxedSystem([Reading], integration=integration) as rig:
        assert rig.expect(RunEnded).status == "completed"
        settings = seen.get_nowait()
        assert settings is rig.system.settings
    assert settings.integration.config["url"] == "https://tracker.example"
    with pytest.raises(TypeError, match="cannot be changed"):
        settings.integration.config["url"] = "https://other.example"
    with pytest.raises(TypeError, match="cannot be changed"):
        settings.integration.config["teams"].append("c")
    with pytest.raises(ValidationError, match="frozen"):
        settings.integration.config = {}


def test_no_secret_of_the_settings_is_in_their_repr_or_in_that_of_the_run() -> None:
    shown: queue.Queue[str] = queue.Queue()

    class Showing(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            shown.put(f"{run!r} {run.settings!r} {run.settings} {run.settings.masked()}")

    integration = {"identifier": "tracker", "config": CONFIG}
    with SandboxedSystem([Showing], integration=integration) as rig:
        assert rig.expect(RunEnded).status == "completed"
        secret = rig.sandbox.client_secret
    text = shown.get_nowait()
    assert "tracker" in text
    assert secret not in text
    assert "hunter2" not in text
