"""What one system serves: `http` for probes, metrics and webhooks, `control` for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ocean_actors import endpoint
from ocean_actors.actors import ActorSystem, Clock
from ocean_actors.endpoint import HttpEndpoint
from ocean_actors.settings import Settings
from ocean_actors.web.endpoint import EndpointApp, MetricsPage, WsgiApp
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog

if TYPE_CHECKING:
    from ocean_actors.control.setup import Control

HTTP_STOP_SECONDS = 0.5  # for calls in flight; the coordinator, which they wait for, has stopped
CONTROL_STOP_SECONDS = 0.5
STOP_SECONDS = HTTP_STOP_SECONDS + CONTROL_STOP_SECONDS


class Servers:
    """The web application of a system, and the two servers, of which either may be absent."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        health: Callable[[], Health],
        metrics: MetricsPage,
        mounted: WsgiApp | None,
        live: WsgiApp | None = None,
        serve_http: bool | None,
        control: Control | None,
    ) -> None:
        """`mounted` is the listener's application, `live` that of the live handlers.

        `serve_http`: see `OceanSystem`.
        """
        log = WebLog(clock)
        has_page = endpoint.has_metrics(settings.http, listens=mounted is not None)
        self.app = EndpointApp(
            health, log, metrics=metrics if has_page else None, mounted=mounted, live=live
        )
        listens = mounted is not None or live is not None
        self._control = control
        self._http: HttpEndpoint | None = None
        if endpoint.is_served(serve_http, settings.http, listens=listens):
            self._http = HttpEndpoint(settings.http, self.app, log, listens=listens)

    @property
    def http_url(self) -> str | None:
        """The address of `http` for a client on this machine; None if it is not served."""
        return None if self._http is None else self._http.url

    @property
    def control_url(self) -> str | None:
        """The address of `control`; None if there is none."""
        return None if self._control is None else self._control.server.url

    def start(self, actors: ActorSystem) -> None:
        """Serve, and record events for the dashboard in `actors`.

        Raises OSError, whose text says what to do, if a port that is needed is taken.
        """
        if self._control is not None:
            self._control.server.start()
            actors.spawn(self._control.actor, *self._control.args, name="event-recorder")
        if self._http is not None:
            self._http.start()

    def stop_http(self) -> None:
        """Free the port of `http`."""
        if self._http is not None:
            self._http.stop(HTTP_STOP_SECONDS)

    def stop_control(self) -> None:
        """Free the port of `control`, after all actors, so that the dashboard shows the end."""
        if self._control is not None:
            self._control.server.stop(CONTROL_STOP_SECONDS)


def is_control_served(wanted: bool | None, settings: Settings) -> bool:
    """Returns whether a system has a control server: by default if the settings name a key."""
    named = "control" in settings.model_fields_set
    return settings.control.enabled and (named if wanted is None else wanted)
