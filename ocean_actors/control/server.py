"""Serves the control application, on a free port if the usual one is taken."""

from __future__ import annotations

from ocean_actors.control.calls import MAX_BODY_BYTES
from ocean_actors.log import get_logger
from ocean_actors.settings import ControlSettings
from ocean_actors.web.channel import limits
from ocean_actors.web.log import WebLog
from ocean_actors.web.server import HttpServer, PortInUse
from ocean_actors.web.wsgi import WsgiApp

logger = get_logger(__name__)

THREADS = 2
CONNECTIONS = 64


class ControlServer:
    """Serves `app` where `settings` say. Started and stopped by its owner."""

    def __init__(self, settings: ControlSettings, app: WsgiApp, log: WebLog) -> None:
        self._settings = settings
        self._app = app
        self._log = log
        self._server = self._on(settings.port)

    @property
    def url(self) -> str:
        """The address of the dashboard."""
        return self._server.url

    def start(self) -> None:
        """Serve, and log the address.

        If the port is taken, another one is used, unless the settings name it: then OSError is
        raised, whose text is one line.
        """
        try:
            self._server.start()
        except OSError as error:
            if not isinstance(error, PortInUse) or "port" in self._settings.model_fields_set:
                hint = "free the port, or set control.port and control.host"
                raise OSError(f"{error}: {hint}") from None
            self._server = self._on(0)
            self._server.start()
            logger.warning(
                "port %d is in use: the dashboard is on %s (control.port sets another port)",
                self._settings.port, self.url,
            )  # fmt: skip
            return
        logger.info("the dashboard is on %s", self.url)

    def stop(self, timeout: float = 1.0) -> None:
        """Free the port, within `timeout` seconds."""
        self._server.stop(timeout)

    def _on(self, port: int) -> HttpServer:
        return HttpServer(
            self._app, self._settings.host, port, threads=THREADS,
            **limits(MAX_BODY_BYTES, self._log.refused, connections=CONNECTIONS),
        )  # fmt: skip
