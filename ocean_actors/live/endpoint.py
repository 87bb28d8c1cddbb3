"""The web application of the live handlers: `POST /live/<path>`, for the third-party system."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ocean_actors.actors import Clock
from ocean_actors.live.call import Headers, LiveCall, UnreadableCall
from ocean_actors.live.intake import LiveIntake
from ocean_actors.text import one_line
from ocean_actors.web.answers import RETRY, Answer, Refusal
from ocean_actors.web.app import Environ, JsonApp
from ocean_actors.web.body import read_body
from ocean_actors.web.endpoint import LIVE
from ocean_actors.web.log import WebLog

QUEUED = Answer(202, b'{"ok": true, "status": "queued"}')


class LiveApp(JsonApp):
    """A WSGI application, mounted in the system's endpoint.

    `authenticate` and `key` of the user run here; whatever they raise or return concerns the call
    alone.
    """

    def __init__(
        self, intakes: Iterable[LiveIntake], *, max_body_bytes: int, clock: Clock, log: WebLog
    ) -> None:
        routes = {
            f"{LIVE}{intake.spec.path}": {"POST": functools.partial(self.receive, intake)}
            for intake in intakes
        }
        super().__init__(routes, log, unknown="no such path")  # the paths may be secret
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._web_log = log

    def receive(self, intake: LiveIntake, environ: Environ) -> Answer:
        """Answer `POST /live/<path>`: 202 once the call is queued. Raises Refusal."""
        if not intake.is_open:  # before any lock: in a forked process one may be held
            raise Refusal(503, "live events are not taken now", RETRY, noteworthy=False)
        if intake.standby:
            raise Refusal(503, "this instance stands by: call again", RETRY, noteworthy=False)
        body = read_body(environ, self._max_body_bytes)
        call = LiveCall(
            path=intake.spec.path,
            method=str(environ["REQUEST_METHOD"]),
            headers=Headers(_headers(environ)),
            body=body,
            source=self.source(environ),
            received_at=self._clock.now(),
        )
        self._authenticate(intake, call)
        reception = intake.accept(call, self._key(intake, call))
        if reception == "queued":
            return QUEUED
        if reception == "full":
            raise Refusal(503, "too many events wait: call again", RETRY)
        raise Refusal(503, "live events are not taken now", RETRY, noteworthy=False)

    def _authenticate(self, intake: LiveIntake, call: LiveCall) -> None:
        spec = intake.spec
        try:
            answer: object = spec.handler.authenticate(call)
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            self._web_log.failed(f"{spec.name}.authenticate", error)
            raise Refusal(401, "the call is not authentic", noteworthy=False) from None
        if answer is True:
            return
        if answer is not False:
            _close(answer)
            self._web_log.add(
                ("authenticate", spec.name), logging.ERROR,
                f"{spec.name}.authenticate: expected True or False, not {one_line(answer, 80)}; "
                "calls are answered 401",
            )  # fmt: skip
        raise Refusal(401, "the call is not authentic")

    def _key(self, intake: LiveIntake, call: LiveCall) -> str:
        spec = intake.spec
        try:
            key: object = spec.handler.key(call)
        except UnreadableCall as error:
            raise Refusal(400, str(error)) from None
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            self._web_log.failed(f"{spec.name}.key", error)
            raise Refusal(500, "the call cannot be read", noteworthy=False) from None
        if not isinstance(key, str):
            _close(key)
            self._web_log.add(
                ("key", spec.name),
                logging.ERROR,
                f"{spec.name}.key: expected a text, not {one_line(key, 80)}",
            )
            raise Refusal(500, "the call cannot be read", noteworthy=False)
        return str.__str__(key)  # a subclass may have a `__hash__` or `__eq__` that raises


def _close(answer: object) -> None:
    """Close a coroutine that nobody awaits: Python would warn of it."""
    if inspect.iscoroutine(answer):
        answer.close()


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Returns the headers of a call, from how WSGI names them."""
    headers = {
        name[5:].replace("_", "-"): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-")] = str(environ[name])
    return headers
