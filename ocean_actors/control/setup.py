"""The control server of one integration, put together; imports the web server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ocean_actors.actors import Actor, Clock
from ocean_actors.control.app import ControlApp
from ocean_actors.control.controlled import Controlled, Steerable
from ocean_actors.control.events import EventRing
from ocean_actors.control.recorder import EventRecorder, Snapshot
from ocean_actors.control.redaction import secrets_of
from ocean_actors.control.server import ControlServer
from ocean_actors.settings import Settings
from ocean_actors.web.endpoint import MetricsPage
from ocean_actors.web.log import WebLog


@dataclass(frozen=True)
class Control:
    """The server, and the actor (with its arguments) to be spawned in the system that it shows."""

    server: ControlServer
    actor: type[Actor]
    args: tuple[Any, ...]


def control(
    settings: Settings,
    system: Steerable,
    snapshot: Snapshot,
    clock: Clock,
    metrics: MetricsPage,
) -> Control:
    """Returns the control server of `system`; nothing starts yet."""
    ring = EventRing()
    log = WebLog(clock)
    controlled = Controlled(settings.integration.identifier, system, ring)
    app = ControlApp(
        settings.control, [controlled], log, clock.monotonic,
        metrics=metrics, secrets=tuple(secrets_of(settings)),
    )  # fmt: skip
    server = ControlServer(settings.control, app, log)
    return Control(server, EventRecorder, (ring, snapshot))
