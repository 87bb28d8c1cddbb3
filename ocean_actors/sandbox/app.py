"""The sandbox as one WSGI application: routing, and the steps that every call goes through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from http.client import responses
from typing import Any
from urllib.parse import unquote

import bottle  # type: ignore[import-untyped]
from waitress.channel import ClientDisconnected  # type: ignore[import-untyped]

from ocean_actors.log import get_logger
from ocean_actors.sandbox import api, api_catalog, api_ingest, control, guard
from ocean_actors.sandbox.calls import Call
from ocean_actors.sandbox.core import Core
from ocean_actors.sandbox.errors import ApiError
from ocean_actors.sandbox.faults import Fault, Kind, SandboxAnswer, faulty_answer
from ocean_actors.sandbox.request import Request, read_request
from ocean_actors.web.wsgi import StartResponse

logger = get_logger(__name__)

MAX_BODY = 1024 * 1024  # bytes; docs/port-wire.md, section 1


class SandboxApp:
    """Records each call of the API, applies the fault that hits it, and answers it."""

    def __init__(self, core: Core, host: str) -> None:
        self._core = core
        self._host = host
        self._router = _router(core)

    def __call__(self, environ: Mapping[str, Any], start: StartResponse) -> Iterable[bytes]:
        """The WSGI entry."""
        request = read_request(environ)
        if request.path.startswith("/sandbox/"):
            return _send(request, self._routed(request, control=True), start)
        with self._core.changing() as state:
            fault = state.faults.take(request.method, request.path)
            call = state.calls.arrived(_call_of(request, state.stamps.next()))
            releases = self._core.releases  # who sees the call may release it before it is held
        answer = self._answer(request, fault, releases)
        with self._core.changing() as state:
            status = None if answer.cut else answer.status
            kind = fault.kind.value if fault is not None else None
            state.calls.answered(call.number, status, kind)
        if fault is not None and fault.kind is Kind.DROP:
            raise ClientDisconnected  # has waitress close the connection without an answer
        return _send(request, answer, start)

    def _answer(self, request: Request, fault: Fault | None, releases: int) -> SandboxAnswer:
        if fault is None:
            return self._routed(request)
        answer = self._routed(request) if fault.applied else None
        if fault.kind in (Kind.DELAY, Kind.HANG):
            self._core.hold(fault.seconds, releases if fault.kind is Kind.HANG else None)
            return answer if answer is not None else self._routed(request)
        return faulty_answer(fault)

    def _routed(self, request: Request, *, control: bool = False) -> SandboxAnswer:
        """Returns the answer of the handler that the path leads to."""
        if len(request.raw) > MAX_BODY:
            message = f"the body is larger than {MAX_BODY} bytes"
            return _answer_of(413, ApiError(413, "payload_too_large", message).body())
        try:
            if control:
                guard.check(request, self._host)
            route, identifiers = self._router.match(
                {"REQUEST_METHOD": request.method, "PATH_INFO": request.path}
            )
            return _answer_of(*route.callback(request, **identifiers))
        except ApiError as error:
            return _answer_of(error.status, error.body())
        except bottle.HTTPError as error:
            known = {404: "not_found", 405: "method_not_allowed"}
            code = known.get(error.status_code, "bad_request")
            message = f"no such route: {request.method} {request.path}"
            return _answer_of(error.status_code, ApiError(0, code, message).body())
        except Exception:
            logger.exception("the sandbox failed at %s %s", request.method, request.path)
            failed = ApiError(500, "internal_error", "the sandbox failed; its log says why")
            return _answer_of(500, failed.body())


def _router(core: Core) -> bottle.Router:
    """Returns Bottle's router; it decodes identifiers after it has split the path."""
    app = bottle.Bottle()
    app.router.add_filter("part", lambda _config: (r"[^/]+", unquote, None))
    for method, path, handler in api.PUBLIC:
        app.route(path, method, partial(_with_state, core, handler))
    for method, path, handler in (*api.ROUTES, *api_catalog.ROUTES, *api_ingest.ROUTES):
        app.route(path, method, partial(_with_token, core, handler))
    for method, path, handler in control.ROUTES:
        app.route(path, method, partial(_with_core, core, handler))
    return app.router


def _with_state(core: Core, handler: api.Handler, request: Request, **ids: str) -> api.Reply:
    with core.changing() as state:
        return handler(request, state, **ids)


def _with_token(core: Core, handler: api.Handler, request: Request, **ids: str) -> api.Reply:
    with core.changing() as state:
        state.tokens.check(request.headers.get("authorization", ""))
        return handler(request, state, **ids)


def _with_core(core: Core, handler: control.Handler, request: Request, **ids: str) -> api.Reply:
    return handler(request, core, **ids)


def _call_of(request: Request, at: str) -> Call:
    """Returns the record of a call, without its token."""
    kept = {name: value for name, value in request.headers.items() if name != "authorization"}
    return Call(
        number=0,
        at=at,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=kept,
        raw=request.raw,
    )


def _answer_of(status: int, body: Mapping[str, Any]) -> SandboxAnswer:
    return SandboxAnswer(status, (("Content-Type", "application/json"),), json.dumps(body).encode())


def _send(request: Request, answer: SandboxAnswer, start: StartResponse) -> Iterable[bytes]:
    start(f"{answer.status} {responses.get(answer.status, 'Unknown')}", list(answer.headers))
    if request.method == "HEAD":
        return [b""]
    return _cut(answer.body) if answer.cut else [answer.body]


def _cut(body: bytes) -> Iterator[bytes]:
    yield body
    raise ClientDisconnected
