"""The web application of a system: health, metrics, and what its listener serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from ocean_actors.web.answers import Answer
from ocean_actors.web.app import Environ, Handler, JsonApp, Routes
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import StartResponse, WsgiApp

LIVE = "/live/"
"""The prefix of the paths of live handlers."""

HEALTH = "/health/"
METRICS = "/metrics"
RESYNC = "/resync"

MetricsPage = Callable[[], tuple[bytes, str]]
"""Returns the metrics as they are sent, and their content type."""


def metrics_handler(page: MetricsPage) -> Handler:
    """Returns what answers `GET /metrics`."""

    def answer(_environ: Environ) -> Answer:
        body, content_type = page()
        return Answer(200, body, content_type=content_type)

    return answer


class EndpointApp(JsonApp):
    """Serves `GET /health/live`, `GET /health/ready` and, with `metrics`, `GET /metrics`.

    Calls of paths below `/live/` go to `live`, those of any other path to `mounted`. With a
    `proxy`, only `/resync` goes to `mounted`, and what is not ours goes to the proxy. `health` is
    called for each probe, from any thread.
    """

    def __init__(
        self,
        health: Callable[[], Health],
        log: WebLog,
        *,
        metrics: MetricsPage | None = None,
        mounted: WsgiApp | None = None,
        live: WsgiApp | None = None,
        proxy: WsgiApp | None = None,
    ) -> None:
        routes: dict[str, Any] = {
            f"{HEALTH}live": {"GET": self._answer_live},
            f"{HEALTH}ready": {"GET": self._answer_ready},
        }
        if metrics is not None:
            routes[METRICS] = {"GET": metrics_handler(metrics)}
        super().__init__(routes, log)
        self._paths: Routes = routes
        self._health = health
        self._mounted = mounted
        self._live = live
        self._proxy = proxy

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call (PEP 3333)."""
        app = self._app_of(environ.get("PATH_INFO") or "")
        if app is not None:
            return app(environ, start_response)
        return super().__call__(environ, start_response)

    def is_proxied(self, path: str) -> bool:
        """Returns whether calls of a path, as it was sent, wait for somebody else's answer."""
        return self._proxy is not None and self._app_of(path) is self._proxy

    def _app_of(self, path: str) -> WsgiApp | None:
        """Returns the application that serves a path, None if this one does."""
        if path in self._paths:
            return None
        if path.startswith(LIVE):
            return self._live
        if self._proxy is None or (path == RESYNC and self._mounted is not None):
            return self._mounted
        return None if self._is_ours(path) else self._proxy

    def _is_ours(self, path: str) -> bool:
        """Returns whether others may take a path for one of ours, even one like `/%6Detrics`."""
        sent = unquote(path)
        return (
            not path.startswith("/")
            or sent.startswith((HEALTH, LIVE))
            or sent == METRICS
            or (sent == RESYNC and self._mounted is not None)
        )

    def _answer_live(self, _environ: Environ) -> Answer:
        """Answer `GET /health/live`: 503 and the reason if the process should be restarted."""
        health = self._health()
        return Answer(200 if health.live else 503, health.live_data())

    def _answer_ready(self, _environ: Environ) -> Answer:
        """Answer `GET /health/ready`: 503 on standby, or until we listen and have reached Port."""
        health = self._health()
        return Answer(200 if health.ready else 503, health.ready_data())
