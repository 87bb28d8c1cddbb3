"""A shop, as somebody would write it for Port Ocean, whose files say what it does in each resync.

`orders.json` beside the integration's folder has what to do, and `notes` what was done.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from loguru import logger
from port_ocean.context.ocean import ocean
from port_ocean.core.handlers.port_app_config.models import ResourceConfig
from port_ocean.core.handlers.webhook.abstract_webhook_processor import AbstractWebhookProcessor
from port_ocean.core.handlers.webhook.webhook_event import (
    EventHeaders,
    EventPayload,
    WebhookEvent,
    WebhookEventRawResults,
)
from port_ocean.utils import http_async_client
from words import hello  # a module of the integration's own

PLACE = Path.cwd().parent
leaked: list[bytes] = []


def orders(name: str, default: Any) -> Any:
    """Returns what the test wants now."""
    file = PLACE / "orders.json"
    return json.loads(file.read_text()).get(name, default) if file.exists() else default


def note(what: str) -> None:
    """Tell the test that something has happened."""
    with (PLACE / "notes").open("a") as file:
        file.write(what + "\n")


def fail_if_wanted(hook: str) -> None:
    if orders("raise", None) == hook:
        raise ValueError(f"the {hook} of the shop is broken")


@ocean.on_start()
async def on_start() -> None:
    note(f"start {hello()} {ocean.integration_config.get('currency')}")
    fail_if_wanted("on_start")


@ocean.on_resync_start()
async def on_resync_start() -> None:
    note("resync_start")
    fail_if_wanted("on_resync_start")


@ocean.on_resync_complete()
async def on_resync_complete() -> None:
    note("resync_complete")
    fail_if_wanted("on_resync_complete")


@ocean.on_resync("product")
async def products(_kind: str) -> AsyncIterator[list[dict[str, Any]]]:
    note("products")
    await http_async_client.get(f"{ocean.config.port.base_url}/health")
    logger.info("the shop lists its products")
    count = orders("products", 3)
    for start in range(0, count, 10):
        yield [
            {"name": f"product-{number}", "price": number, "maker": f"maker-{number % 2}"}
            for number in range(start, min(start + 10, count))
        ]
    fail_if_wanted("products")
    await hinder()
    note("products end")


@ocean.on_resync("maker")
async def makers(_kind: str) -> list[dict[str, Any]]:
    note("makers")
    fail_if_wanted("makers")
    return [{"name": f"maker-{number}"} for number in range(orders("makers", 2))]


async def hinder() -> None:
    """Wait, block or leak, as the test wants."""
    match orders("mode", "quick"):
        case "wait":
            note("waiting")
            await asyncio.sleep(3600)
        case "deaf":
            note("waiting")
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    note("cancelled")
        case "block":
            note("waiting")
            time.sleep(3600)
        case "leak":
            leaked.append(os.urandom(64 * 1024 * 1024))
        case "exit":
            raise SystemExit(7)
        case "print":
            print("printed by the shop\x1b[31m")  # noqa: T201  (as integrations do)


class ProductChanged(AbstractWebhookProcessor):
    """Live events: a product was sold, or everything has to be resynced."""

    async def authenticate(self, payload: EventPayload, headers: EventHeaders) -> bool:
        return headers.get("x-shop") == "open"

    async def validate_payload(self, payload: EventPayload) -> bool:
        return "name" in payload

    async def should_process_event(self, event: WebhookEvent) -> bool:
        return True

    async def get_matching_kinds(self, event: WebhookEvent) -> list[str]:
        return ["product"]

    async def handle_event(
        self, payload: EventPayload, resource: ResourceConfig
    ) -> WebhookEventRawResults:
        if payload["name"] == "everything":
            await ocean.sync_raw_all()
            return WebhookEventRawResults([], [])
        changed = {"name": payload["name"], "price": payload["price"], "maker": "maker-0"}
        return WebhookEventRawResults(updated_raw_results=[changed], deleted_raw_results=[])


ocean.add_webhook_processor("/products", ProductChanged)


@ocean.router.get("/prices")
async def prices() -> dict[str, int]:
    return {"product-1": 1}
