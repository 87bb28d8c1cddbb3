"""The web application of a system: health, metrics, and what its listener serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ocean_actors.web.answers import Answer, StartResponse
from ocean_actors.web.app import Environ, Handler, JsonApp, Routes
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog

WsgiApp = Callable[..., Any]

LIVE = "/live/"
"""The prefix of the paths of live handlers."""

MetricsPage = Callable[[], tuple[bytes, str]]
"""Returns the metrics as they are sent, and their content type."""


def metrics_handler(page: MetricsPage) -> Handler:
    """Return what answers `GET /metrics`."""

    def answer(_environ: Environ) -> Answer:
        body, content_type = page()
        return Answer(200, body, content_type=content_type)

    return answer


class EndpointApp(JsonApp):
    """Serves `GET /health/live`, `GET /health/ready` and, with `metrics`, `GET /metrics`.

    Calls of paths below `/live/` go to `live`, those of any other path to `mounted`. `health` is
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
    ) -> None:
        routes: dict[str, Any] = {
            "/health/live": {"GET": self._answer_live},
            "/health/ready": {"GET": self._answer_ready},
        }
        if metrics is not None:
            routes["/metrics"] = {"GET": metrics_handler(metrics)}
        super().__init__(routes, log)
        self._paths: Routes = routes
        self._health = health
        self._mounted = mounted
        self._live = live

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call (PEP 3333)."""
        path = environ.get("PATH_INFO") or ""
        app = self._live if path.startswith(LIVE) else self._mounted
        if app is not None and path not in self._paths:
            answer: Iterable[bytes] = app(environ, start_response)
            return answer
        return super().__call__(environ, start_response)

    def _answer_live(self, _environ: Environ) -> Answer:
        """Answer `GET /health/live`: 503 and the reason if the process should be restarted."""
        health = self._health()
        return Answer(200 if health.live else 503, health.live_data())

    def _answer_ready(self, _environ: Environ) -> Answer:
        """Answer `GET /health/ready`: 503 until the listener is up and Port was reached."""
        health = self._health()
        return Answer(200 if health.ready else 503, health.ready_data())
