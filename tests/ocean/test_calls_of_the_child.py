"""What others call at our port reaches the integration inside, and what it makes reaches Port."""

from __future__ import annotations

from typing import Any

import requests
from shop import Rig
from waiting import wait_until

from ocean_actors import RunEnded


def call(rig: Rig, method: str, path: str, **more: Any) -> requests.Response:
    """Call our own port, once the child is ready."""
    assert rig.child_url
    assert rig.system.http_url is not None
    return requests.request(method, f"{rig.system.http_url}{path}", timeout=60, **more)


def prices(rig: Rig) -> dict[str, Any]:
    """Returns the prices of the products in Port."""
    return {
        each["identifier"]: each["properties"].get("price")
        for each in rig.sandbox.entities("product")
    }


def test_a_live_event_reaches_the_integration_and_its_entity_reaches_port(shared: Rig) -> None:
    shared.run(products=2)
    answer = call(
        shared, "POST", "/integration/products",
        json={"name": "product-1", "price": 999}, headers={"X-Shop": "open"},
    )  # fmt: skip
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "x-request-id" in answer.headers  # of upstream's middleware
    wait_until(lambda: prices(shared).get("product-1") == 999, "the new price")
    for name, price, door in (("product-1", 555, "closed"), ("product-0", 7, "open")):
        call(
            shared, "POST", "/integration/products",
            json={"name": name, "price": price}, headers={"X-Shop": door},
        )  # fmt: skip
    wait_until(lambda: prices(shared).get("product-0") == 7, "the second new price")
    assert prices(shared)["product-1"] == 999  # the integration rejected the event


def test_the_integrations_own_routes_and_upstreams_are_reached(shared: Rig) -> None:
    assert call(shared, "GET", "/integration/prices").json() == {"product-1": 1}
    assert call(shared, "GET", "/integration/nothing").status_code == 404
    assert call(shared, "GET", "/openapi.json").json()["info"]["title"] == "FastAPI"


def test_probes_and_metrics_are_ours(shared: Rig) -> None:
    assert call(shared, "GET", "/health/ready").json() == {
        "ok": True, "listening": True, "port": True, "standby": False,
    }  # fmt: skip
    assert "ocean_actors_" in call(shared, "GET", "/metrics").text


def test_a_live_event_that_asks_for_a_resync_gets_one_from_us(shared: Rig) -> None:
    shared.run()
    answer = call(
        shared, "POST", "/integration/products",
        json={"name": "everything"}, headers={"X-Shop": "open"},
    )  # fmt: skip
    assert answer.status_code == 200
    ended = shared.expect(RunEnded, 60)
    assert (ended.status, ended.run.trigger) == ("completed", "ocean")
