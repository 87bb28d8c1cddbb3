"""The two servers: `http` for probes, metrics and webhooks, `control` for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocean_actors.endpoint import HttpEndpoint
from ocean_actors.settings import Settings

if TYPE_CHECKING:
    from ocean_actors.control.server import ControlServer

HTTP_STOP_SECONDS = 0.5  # for calls in flight; the coordinator, which they wait for, has stopped
CONTROL_STOP_SECONDS = 0.5
STOP_SECONDS = HTTP_STOP_SECONDS + CONTROL_STOP_SECONDS


class Servers:
    """The two servers of a system or of a group of systems, of which either may be absent."""

    def __init__(self, http: HttpEndpoint | None, control: ControlServer | None) -> None:
        self._http = http
        self._control = control

    @property
    def http_url(self) -> str | None:
        """The address of `http` for a client on this machine; None if it is not served."""
        return None if self._http is None else self._http.url

    @property
    def control_url(self) -> str | None:
        """The address of `control`; None if there is none."""
        return None if self._control is None else self._control.url

    def start(self) -> None:
        """Serve.

        Raises OSError, whose text says what to do, if a port that is needed is taken.
        """
        if self._control is not None:
            self._control.start()
        if self._http is not None:
            self._http.start()

    def stop_http(self) -> None:
        """Free the port of `http`."""
        if self._http is not None:
            self._http.stop(HTTP_STOP_SECONDS)

    def stop_control(self) -> None:
        """Free the port of `control`, after all actors, so that the dashboard shows the end."""
        if self._control is not None:
            self._control.stop(CONTROL_STOP_SECONDS)


def is_control_served(wanted: bool | None, settings: Settings) -> bool:
    """Returns whether there is a control server: by default if the settings name a key."""
    named = "control" in settings.model_fields_set
    return settings.control.enabled and (named if wanted is None else wanted)
