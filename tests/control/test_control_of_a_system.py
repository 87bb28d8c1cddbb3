"""The control server in front of a real integration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from waiting import wait_until

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

HEADERS = {"X-Ocean-Actors": "1"}


class Quick(ResyncHandler):
    kinds = ("thing",)

    def resync(self, run: ResyncRun) -> None:
        run.progress(1, 2)


class Unlucky(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        raise ValueError("the password is hunter2hunter2")


@pytest.fixture
def start() -> Iterator[Callable[..., OceanSystem]]:
    """Starts systems that share a sandbox; stops them at the end."""
    systems: list[OceanSystem] = []

    def start(handler: type[ResyncHandler] = Quick, **options: Any) -> OceanSystem:
        control = options.pop("control", {"port": 0})
        values = {
            "port": port_of(sandbox),
            "integration": {"identifier": "shop", "config": {"password": "hunter2hunter2"}},
            "eventListener": {"type": "POLLING", "interval": 0.2},
            **({"control": control} if control else {}),
        }
        system = OceanSystem(Settings.from_dict(values, {}), [handler], **options)
        systems.append(system)
        system.start()
        return system

    with Sandbox() as sandbox:
        yield start
        for system in systems:
            system.stop()


def url_of(system: OceanSystem) -> str:
    assert system.control_url is not None
    return system.control_url


def status(system: OceanSystem) -> dict[str, Any]:
    answer = requests.get(f"{url_of(system)}/api/status", timeout=10)
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def wait_for(system: OceanSystem, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    def shown() -> dict[str, Any] | None:
        found = status(system)
        return found if condition(found) else None

    return wait_until(shown, lambda: status(system))


def has_run(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: found["resync"] is not None and len(found["resync"]["runs"]) >= number


def test_it_shows_what_the_integration_does(start: Callable[..., OceanSystem]) -> None:
    found = wait_for(start(), has_run(1))
    assert found["integration"] == "shop"
    assert found["listening"]["state"] == "running"
    assert found["listening"]["connected"] is True
    assert found["listening"]["nextPollAt"] > found["listening"]["lastPollAt"]
    assert found["listening"]["lastEventAt"] is not None
    assert found["resync"]["runs"][0]["status"] == "completed"
    assert found["startedAt"] <= found["now"]


def test_a_resync_is_requested_and_runs(start: Callable[..., OceanSystem]) -> None:
    system = start()
    wait_for(system, has_run(1))
    url = f"{url_of(system)}/api/resync"
    answer = requests.post(url, json={"reason": "over HTTP"}, headers=HEADERS, timeout=10)
    assert answer.status_code == 202
    runs = wait_for(system, has_run(2))["resync"]["runs"]
    assert runs[-1]["reason"] == "over HTTP"
    unknown = requests.post(url, json={"kinds": ["thin"]}, headers=HEADERS, timeout=10)
    assert (unknown.status_code, "thing" in unknown.json()["message"]) == (404, True)


def test_its_events_are_kept(start: Callable[..., OceanSystem]) -> None:
    system = start()
    wait_for(system, has_run(1))
    wait_for(system, lambda found: bool(found["events"]["latest"] >= 3))
    events = requests.get(f"{url_of(system)}/api/events", timeout=10).json()["events"]
    kinds = [each["kind"] for each in events]
    assert kinds.index("IntegrationRegistered") < kinds.index("RunStarted")


def test_no_secret_of_its_settings_is_shown(start: Callable[..., OceanSystem]) -> None:
    system = start(Unlucky)
    shown = json.dumps(wait_for(system, has_run(1)))
    assert "the password is ***" in shown
    assert "hunter2hunter2" not in shown


@pytest.mark.parametrize(
    ("control", "options", "opened"),
    [
        (None, {}, False),
        ({"enabled": True, "port": 0}, {}, True),
        ({"enabled": False}, {"serve_control": True}, False),
        ({"port": 0}, {"serve_control": False}, False),
    ],
)
def test_an_embedded_system_opens_only_what_its_settings_name(
    start: Callable[..., OceanSystem], control: Any, options: dict[str, Any], opened: bool
) -> None:
    system = start(control=control, **options)
    assert (system.control_url is not None) is opened


def test_a_stop_frees_the_port(start: Callable[..., OceanSystem]) -> None:
    system = start()
    url = url_of(system)
    assert system.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/api/status", timeout=10)


def test_a_taken_port_that_was_set_keeps_the_system_from_starting(
    start: Callable[..., OceanSystem],
) -> None:
    port = int(url_of(start()).rpartition(":")[2])
    system = start(control={"port": port})
    assert system.wait(30)
    assert system.exit_code == 1
    assert f"127.0.0.1:{port}: Address already in use: free the port, or set control.port" in str(
        system.cause
    )


def test_metrics_are_served_beside_the_api(start: Callable[..., OceanSystem]) -> None:
    system = start(Unlucky)
    wait_for(system, has_run(1))
    answer = requests.get(url_of(system) + "/metrics", timeout=10)
    assert answer.headers["Content-Type"] == system.metrics()[1]
    assert 'ocean_actors_runs_total{outcome="failed",trigger="polling"} 1.0' in answer.text
    assert "hunter2" not in answer.text
