"""A dry run under KAFKA, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

from ocean_actors import ResyncHandler, ResyncRun
from ocean_actors.messages import RunEnded

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka")  # one worker, one broker


class Sends(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("service", [{"identifier": "a"}])
        run.port.reconcile()


def test_a_dry_run_writes_nothing_and_commits_no_offset(organization: Organization) -> None:
    organization.sandbox.create_blueprint("service")
    with organization.system(Sends, resync={"dryRun": True}) as rig:
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        ended = rig.expect(RunEnded)
        assert ended.status == "completed"
        wait_until(lambda: organization.shown(rig)["owed"] == 0, "an end of what is owed")
    assert organization.committed() is None
    assert {
        f"{call.method} {call.path}" for call in organization.sandbox.calls if call.method != "GET"
    } == {
        "POST /v1/auth/access_token",
        "POST /v1/blueprints/service/entities/search",
        "POST /v1/blueprints/entities/datasource-entities",
    }
    assert organization.sandbox.entities() == []
