"""The web application of a group: its health, its metrics, and the applications of its systems."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from ocean_actors.group.members import prefix
from ocean_actors.log import LogContext, logging_context
from ocean_actors.web.answers import RETRY, Answer, Refusal
from ocean_actors.web.app import Environ, JsonApp
from ocean_actors.web.endpoint import MetricsPage, metrics_handler
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import StartResponse, WsgiApp

PATIENCE = 0.5
"""Seconds that a call waits for others of its integration before it is answered 503."""

Healths = Mapping[str, Health]
"""The health of each integration, by its identifier."""


@dataclass(frozen=True)
class Mounted:
    """The web application of one integration, and what probes are told of it.

    `is_proxied` says whether calls of a path, as the application sees it, wait for others.
    """

    identifier: str
    app: WsgiApp
    health: Callable[[], Health]
    is_proxied: Callable[[str], bool] = lambda _path: False


class GroupApp(JsonApp):
    """Serves `GET /health`, `/health/live`, `/health/ready` and, with `metrics`, `GET /metrics`.

    The application of each integration is below the path of its identifier: `/shop/resync`,
    `/shop/live/…`, `/shop/health/ready`. Each serves at most `share` calls at a time, so that the
    hanging code of one (`authenticate` of a live handler, for example) does not take all threads
    of the server.
    """

    def __init__(
        self,
        mounted: Iterable[Mounted],
        log: WebLog,
        *,
        share: int,
        metrics: MetricsPage | None = None,
    ) -> None:
        self._members = tuple(mounted)
        self._mounted = _by_path(self._members)
        self._places = {
            each.identifier: threading.BoundedSemaphore(share) for each in self._members
        }
        routes: dict[str, Any] = {
            "/health": {"GET": functools.partial(self._probed, health)},
            "/health/live": {"GET": functools.partial(self._probed, live)},
            "/health/ready": {"GET": functools.partial(self._probed, ready)},
        }
        if metrics is not None:
            routes["/metrics"] = {"GET": metrics_handler(metrics)}
        super().__init__(routes, log)
        self._paths = routes

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call (PEP 3333)."""
        path = environ.get("PATH_INFO") or ""
        found = None if path in self._paths else self._find(path)
        if found is None:
            return super().__call__(environ, start_response)
        return self._forward(*found, environ, start_response)

    def is_proxied(self, path: str) -> bool:
        """Returns whether calls of a path, as it was sent, wait for somebody else's answer."""
        found = None if path in self._paths else self._find(path)
        return found is not None and found[1].is_proxied(path[len(found[0]) :])

    def _find(self, path: str) -> tuple[str, Mounted] | None:
        """Returns the integration below whose path `path` is; an identifier may hold slashes."""
        end = len(path)
        while (end := path.rfind("/", 0, end)) > 0:
            if (mounted := self._mounted.get(path[:end])) is not None:
                return path[:end], mounted
        return None

    def _forward(
        self, at: str, mounted: Mounted, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        below = {
            **environ,
            "SCRIPT_NAME": f"{environ.get('SCRIPT_NAME') or ''}{at}",
            "PATH_INFO": environ["PATH_INFO"][len(at) :],
        }
        places = self._places[mounted.identifier]
        if not places.acquire(timeout=PATIENCE):
            refusal = Refusal(503, "too many calls to this integration are in progress", RETRY)
            self._log.refused(503, self.source(environ), f"{at}: {refusal.message}")
            return refusal.answer().send(start_response)
        try:
            with logging_context(LogContext(mounted.identifier)):
                return mounted.app(below, start_response)
        finally:
            places.release()

    def _probed(
        self, summary: Callable[[Healths], tuple[bool, dict[str, Any]]], _environ: Environ
    ) -> Answer:
        ok, each = summary({each.identifier: each.health() for each in self._members})
        return Answer(200 if ok else 503, {"ok": ok, "integrations": each})


def live(healths: Healths) -> tuple[bool, dict[str, Any]]:
    """Returns whether the process works, and what is told of each integration.

    It works while one integration does: a restart of the process would end that one, too.
    """
    ok = any(each.live for each in healths.values())
    return ok, {name: each.live_data() for name, each in healths.items()}


def ready(healths: Healths) -> tuple[bool, dict[str, Any]]:
    """Returns whether each integration is ready or has ended as asked, and what is told of it."""
    ok = all(each.ready or each.ended for each in healths.values())
    return ok, {name: {**each.ready_data(), "ended": each.ended} for name, each in healths.items()}


def health(healths: Healths) -> tuple[bool, dict[str, Any]]:
    """Returns whether every integration is well, and all that is known of each.

    One is well if it works, and is ready or has ended as asked.
    """
    told = ready(healths)[1]
    each = {
        name: {**told[name], **one.live_data(), "ok": one.live and (one.ready or one.ended)}
        for name, one in healths.items()
    }
    return all(one["ok"] for one in each.values()), each


def _by_path(mounted: Iterable[Mounted]) -> dict[str, Mounted]:
    """Returns the applications by the start of `PATH_INFO`.

    Our server leaves the path as it was sent; others decode it (PEP 3333).
    """
    sent = {prefix(each.identifier): each for each in mounted}
    decoded = {unquote_to_bytes(path).decode("latin-1"): each for path, each in sent.items()}
    return {**decoded, **sent}
