"""All live handlers of a system, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pykka

from ocean_actors.actors import ActorSystem, CancelToken, Clock, Message, Ref
from ocean_actors.live.commands import DrainEvents
from ocean_actors.live.endpoint import LiveApp
from ocean_actors.live.handler import LiveHandlerError, LiveSpec
from ocean_actors.live.intake import LiveIntake
from ocean_actors.live.router import LiveRouter
from ocean_actors.live.worker import KnownConfig, LiveServices
from ocean_actors.port.client import PortClient
from ocean_actors.port.live_writes import LiveWrites
from ocean_actors.settings import Settings
from ocean_actors.text import one_line
from ocean_actors.web.log import WebLog

Drain = Callable[[pykka.Future[None]], Message]


@dataclass(frozen=True)
class LiveEvents:
    """The live handlers' intakes, their web application (None without handlers), and the parts
    that they share.
    """

    intakes: tuple[LiveIntake, ...]
    app: LiveApp | None
    services: LiveServices

    def spawn(self, actors: ActorSystem) -> list[tuple[Ref, Drain]]:
        """Start a router for each; returns what each is told to end its work before the stop."""
        return [
            (
                actors.spawn(
                    LiveRouter, intake, self.services, name=f"live-{intake.spec.path}"
                ),
                DrainEvents,
            )
            for intake in self.intakes
        ]  # fmt: skip

    def shut(self) -> None:
        """Take no more calls."""
        for intake in self.intakes:
            intake.shut()

    def status(self) -> dict[str, Mapping[str, int]]:
        """Returns the counts of each path."""
        return {intake.spec.path: intake.counts.as_data() for intake in self.intakes}


def live_events(
    handlers: Sequence[LiveSpec],
    settings: Settings,
    clock: Clock,
    client: Callable[[CancelToken], PortClient],
    writes: LiveWrites,
    *,
    standby: bool,
) -> LiveEvents:
    """Put the parts together; nothing runs yet.

    `client` makes clients of Port; `standby`: this instance begins on standby. Raises
    LiveHandlerError for a handler that does not take the settings.
    """
    for spec in handlers:
        try:
            spec.handler.settings = settings
        except Exception as error:  # noqa: BLE001  (a property of the user's may raise anything)
            raise LiveHandlerError(
                f"handlers: {spec.name}.settings cannot be set: {one_line(error)}"
            ) from None
    intakes = tuple(LiveIntake(spec, standby=standby) for spec in handlers)
    services = LiveServices(settings, clock, client, writes, KnownConfig())
    app = None
    if intakes:
        limit = settings.http.max_body_bytes
        app = LiveApp(intakes, max_body_bytes=limit, clock=clock, log=WebLog(clock))
    return LiveEvents(intakes, app, services)
