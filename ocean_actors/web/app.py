"""A small WSGI application that answers JSON: fixed paths, and errors that never show a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ocean_actors.text import one_line
from ocean_actors.web.answers import Answer, Refusal, error_answer
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import StartResponse

Environ = Mapping[str, Any]
Handler = Callable[[Environ], Answer]
Admit = Callable[[Environ], None]
Routes = Mapping[str, Mapping[str, Handler]]
"""The handler of each path, by method. Paths are compared byte for byte."""


class JsonApp:
    """Serves `routes` in our server, or mounted in somebody else's.

    A handler may raise Refusal. Refusals are logged with the caller's address, and so is a
    handler that fails, which is answered 500. HEAD is served wherever GET is. `admit` is called
    before anything else, and may raise Refusal. `headers` are added to every answer; a handler
    may set its own instead. `unknown` is what callers of other paths are told; by default, which
    paths there are.
    """

    def __init__(
        self,
        routes: Routes,
        log: WebLog,
        *,
        admit: Admit = lambda _environ: None,
        headers: Mapping[str, str] | None = None,
        unknown: str | None = None,
    ) -> None:
        self._routes = routes
        self._admit = admit
        self._headers = headers or {}
        self._log = log
        served = [f"{method} {path}" for path, methods in routes.items() for method in methods]
        self._unknown = unknown or f"no such path: {', '.join(served)} are served"

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call (PEP 3333)."""
        answer = self._answer(environ)
        if self._headers:
            answer = replace(answer, headers={**self._headers, **answer.headers})
        body = answer.send(start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def source(self, environ: Environ) -> str:
        """Returns the caller's address, as it is to appear in the log."""
        return one_line(environ.get("REMOTE_ADDR") or "an unknown address", 100)

    def _answer(self, environ: Environ) -> Answer:
        try:
            self._admit(environ)
            return self._handler(environ)(environ)
        except Refusal as refusal:
            if refusal.noteworthy:
                message = f"{_call(environ)}: {refusal.message}"
                self._log.refused(refusal.status, self.source(environ), message)
            return refusal.answer()
        except Exception as error:  # noqa: BLE001  (a bug of ours: logged, and answered 500)
            self._log.failed(_call(environ), error)
            return error_answer(500, "internal error")

    def _handler(self, environ: Environ) -> Handler:
        methods = self._routes.get(environ.get("PATH_INFO") or "")
        if methods is None:
            raise Refusal(404, self._unknown)
        method = environ["REQUEST_METHOD"]
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = {"Allow": ", ".join(methods)}
            raise Refusal(405, "wrong method for this path", allowed)
        return handler


def _call(environ: Environ) -> str:
    """Returns method and path of a call, as they are to appear in the log."""
    return one_line(f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO')}", 100)
