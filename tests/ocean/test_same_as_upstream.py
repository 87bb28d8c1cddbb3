"""The same integration in upstream's own process and inside ours does the same in Port."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pythons import BOTH, python_with
from shop import IDENTIFIER, Rig, Shop
from waiting import wait_until

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

NOWHERE = "http://127.0.0.1:9"  # where Port reaches nobody: the test makes the calls
PRODUCTS = 12
KEPT = (
    "identifier", "installationAppType", "version", "title", "changelogDestination", "config",
    "arePortResourcesInitialized", "actionsProcessingEnabled", "processingMode",
)  # fmt: skip


@pytest.mark.parametrize("version", BOTH)
def test_entities_blueprints_and_the_integration_are_the_same(version: str, tmp_path: Path) -> None:
    python = python_with(version)
    shop = Shop(tmp_path)
    shop.order(products=PRODUCTS)
    with Sandbox() as sandbox:
        with upstream(shop, python, sandbox):
            alone = seen_in(sandbox)
        sandbox.reset()
        webhook = {"type": "WEBHOOK", "appHost": NOWHERE}
        with Rig(shop, python, sandbox=sandbox, eventListener=webhook) as rig:
            wait_until(lambda: rig.system.status()["registered"], "the registration")
            for _ in range(2):
                sandbox.request_resync(IDENTIFIER)
                requests.post(f"{rig.system.http_url}/resync", timeout=30)
                assert rig.ended("completed").run.trigger == "webhook"
                assert seen_in(sandbox) == alone
    assert len(alone["entities"]) == PRODUCTS + 2
    assert alone["integration"]["changelogDestination"]["url"] == f"{NOWHERE}/resync"


@contextlib.contextmanager
def upstream(shop: Shop, python: Path, sandbox: Sandbox) -> Iterator[None]:
    """Run the shop as `ocean sail` does, until it has resynced once."""
    port = port_of(sandbox)
    env = {
        **os.environ,
        "OCEAN__PORT__CLIENT_ID": port["clientId"],
        "OCEAN__PORT__CLIENT_SECRET": port["clientSecret"],
        "OCEAN__PORT__BASE_URL": port["baseUrl"],
        "OCEAN__INTEGRATION__IDENTIFIER": IDENTIFIER,
        "OCEAN__INTEGRATION__TYPE": "shop",
        "OCEAN__INTEGRATION__CONFIG__CURRENCY": "€",
        "OCEAN__EVENT_LISTENER__TYPE": "WEBHOOK",
        "OCEAN__EVENT_LISTENER__APP_HOST": NOWHERE,
    }
    command = [str(python), "-c", PLAIN]
    with subprocess.Popen(
        command, cwd=shop.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            address = next(line for line in process.stdout if line.startswith(b"http://"))
            url = address.decode().strip()
            requests.post(f"{url}/resync", timeout=60).raise_for_status()
            wait_until(lambda: sandbox.statuses(IDENTIFIER)[-1:] == ["completed"], "the resync")
            yield
        finally:
            process.kill()


PLAIN = """\
import asyncio, socket, sys, threading, uvicorn
taken = socket.socket(); taken.bind(("127.0.0.1", 0))
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup([taken])
        print(f"http://127.0.0.1:{taken.getsockname()[1]}", flush=True)
uvicorn.run = lambda app, **more: Server(uvicorn.Config(app, log_level="critical")).run()
from port_ocean.run import run
import port_ocean.log.logger_setup as log
log._stdout_loguru_handler = lambda level: None
run()
"""
"""As upstream's command, but on a free port that it prints, and without a log."""


def seen_in(sandbox: Sandbox) -> dict[str, Any]:
    """Returns what Port holds, without times and sorted.

    Port-ocean creates blueprints side by side, so they arrive in any order.
    """
    integration = sandbox.integration(IDENTIFIER) or {}
    entities = [
        {key: value for key, value in each.items() if key not in ("createdAt", "updatedAt")}
        for each in sandbox.entities()
    ]
    with requests.Session() as session:
        credentials = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
        token = session.post(f"{sandbox.url}/v1/auth/access_token", json=credentials).json()
        session.headers["Authorization"] = f"Bearer {token['accessToken']}"
        found = session.get(f"{sandbox.url}/v1/blueprints").json()["blueprints"]
    stamps = ("createdAt", "updatedAt", "createdBy", "updatedBy")
    blueprints = [
        {key: value for key, value in each.items() if key not in stamps} for each in found
    ]
    return {
        "integration": {key: integration.get(key) for key in KEPT},
        "entities": sorted(entities, key=lambda each: (each["blueprint"], each["identifier"])),
        "blueprints": sorted(blueprints, key=lambda each: each["identifier"]),
    }
