"""An integration of Port Ocean inside, which hears of Port by Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pythons import NEWEST, python_with
from shop import Rig, Shop
from waiting import wait_until

pytestmark = pytest.mark.xdist_group("kafka")  # one worker, one broker


def test_requests_on_kafka_are_run_by_the_child(organization: Any, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    listener = organization.listener()
    python = python_with(NEWEST)
    with Rig(shop, python, sandbox=organization.sandbox, eventListener=listener) as rig:
        wait_until(lambda: rig.child["state"] == "ready", "a child")  # once this instance leads
        organization.publish({"action": "RESYNC", "context": {"integrationId": "shop"}})
        while rig.ended("completed").run.trigger != "kafka":
            pass
        sandbox = organization.sandbox
        assert len(sandbox.entities("product")) == 3
        integration = sandbox.integration("shop") or {}
        assert integration["changelogDestination"]["type"] == "KAFKA"
        assert len(integration["config"]["resources"]) == 2
