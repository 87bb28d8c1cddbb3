"""The HTTP endpoint of a system: whether it is served, and by which server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocean_actors.log import get_logger
from ocean_actors.settings import HttpSettings
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import WsgiApp

if TYPE_CHECKING:
    from ocean_actors.web.server import HttpServer

logger = get_logger(__name__)

PROBE_THREADS = 2  # enough for probes and metrics, which wait for nothing
PROXIED_SECONDS = 600.0  # for a caller to read the whole answer to a call that was passed on
PROXIED_BYTES = 1 << 20  # of an answer that are in memory until the caller has read them


def is_served(wanted: bool | None, settings: HttpSettings, *, listens: bool) -> bool:
    """Returns whether a system serves its endpoint; `wanted` decides unless it is None.

    Otherwise it does if a listener or live handlers have a web application (`listens`), or if the
    settings name anything in `http`.
    """
    return (listens or bool(settings.model_fields_set)) if wanted is None else wanted


def has_metrics(settings: HttpSettings, *, listens: bool) -> bool:
    """Returns whether `/metrics` is served: by default unless strangers call the listener."""
    return not listens if settings.metrics is None else settings.metrics


class HttpEndpoint:
    """Serves an application on `http.host` and `http.port`. Started and stopped by its owner.

    `listens`: an application that others call is part of it, so that it has to be served. It gets
    `threads`, by default `http.threads`; without it, `PROBE_THREADS` at most. Calls for whose path
    `is_proxied` is true have `http.threads` threads of their own.
    """

    def __init__(
        self,
        settings: HttpSettings,
        app: WsgiApp,
        log: WebLog,
        *,
        listens: bool,
        threads: int | None = None,
        is_proxied: Callable[[str], bool] | None = None,
    ) -> None:
        self._is_proxied = is_proxied
        self._settings = settings
        self._app = app
        self._log = log
        self._threads = threads or settings.threads
        if not listens:
            self._threads = min(PROBE_THREADS, self._threads)
        self._optional = not listens and "port" not in settings.model_fields_set
        self._server: HttpServer | None = None

    @property
    def url(self) -> str | None:
        """The address for a client on this machine, or None while nothing is served."""
        return None if self._server is None else self._server.url

    def start(self) -> None:
        """Binds and serves.

        If the port is in use, was not set, and only probes and metrics would be served, logs a
        warning and serves nothing. Otherwise raises OSError, its text saying what to do.
        """
        from ocean_actors.web.channel import limits
        from ocean_actors.web.server import HttpServer, PortInUse, SlowCalls

        http = self._settings
        proxied: dict[str, Any] = {}
        answer_seconds = float("inf")
        if self._is_proxied is not None:
            answer_seconds = PROXIED_SECONDS
            proxied = {
                "slow": SlowCalls(self._is_proxied, http.threads),
                "outbuf_high_watermark": PROXIED_BYTES,
            }
        server = HttpServer(
            self._app, http.host, http.port,
            threads=self._threads,
            **limits(http.max_body_bytes, self._log.refused, answer_seconds=answer_seconds),
            **proxied,
        )  # fmt: skip
        try:
            server.start()
        except OSError as error:
            if isinstance(error, PortInUse) and self._optional:
                logger.warning("%s: no probes and no metrics are served; set http.port", error)
                return
            raise OSError(f"{error}: free the port, or set http.port and http.host") from None
        self._server = server
        logger.info("serving HTTP on %s", server.url)

    def stop(self, timeout: float) -> None:
        """Frees the port within `timeout` seconds; does nothing if nothing is served."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(timeout)
