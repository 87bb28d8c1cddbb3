"""The control server's web application: the dashboard, `/api/…` and `/metrics`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import pykka

from ocean_actors.actors import MailboxFull
from ocean_actors.control.access import Access
from ocean_actors.control.calls import (
    CallT,
    PauseCall,
    ResumeCall,
    ResyncCall,
    SteeringCall,
    read_call,
)
from ocean_actors.control.controlled import Controlled, Steerable
from ocean_actors.control.pages import FILES, HEADERS, pages, with_etag
from ocean_actors.control.status_cache import StatusCache
from ocean_actors.errors import UnknownKind
from ocean_actors.redaction import Redaction
from ocean_actors.settings import ControlSettings
from ocean_actors.text import one_line
from ocean_actors.web.answers import RETRY, Answer, Refusal
from ocean_actors.web.app import Environ, Handler, JsonApp
from ocean_actors.web.endpoint import MetricsPage, metrics_handler
from ocean_actors.web.log import WebLog

JSON = "application/json"


class ControlApp(JsonApp):
    """Shows and steers the integrations of one process.

    Where there are several, `?integration=NAME` chooses one. `metrics` makes the page
    `GET /metrics`, which is not served without it. `secrets` are kept out of every answer under
    `/api`.
    """

    def __init__(
        self,
        settings: ControlSettings,
        controlled: Sequence[Controlled],
        log: WebLog,
        monotonic: Callable[[], float],
        *,
        metrics: MetricsPage | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        routes: dict[str, dict[str, Handler]] = {path: {"GET": page} for path, page in pages()}
        routes["/api/integrations"] = {"GET": self.integrations}
        routes["/api/status"] = {"GET": self.status}
        routes["/api/events"] = {"GET": self.events}
        routes["/api/resync"] = {"POST": self._steering(ResyncCall, _resync)}
        routes["/api/abort"] = {"POST": self._steering(SteeringCall, _abort)}
        routes["/api/pause"] = {"POST": self._steering(PauseCall, _pause)}
        routes["/api/resume"] = {"POST": self._steering(ResumeCall, _resume)}
        if metrics is not None:
            routes["/metrics"] = {"GET": metrics_handler(metrics)}
        access = Access(settings.host, settings.token, public=FILES)
        super().__init__(routes, log, admit=access.admit, headers=HEADERS)
        self._redact = Redaction(secrets)
        self._controlled = {each.name: each for each in controlled}
        self._statuses = {
            each.name: StatusCache(each, monotonic, self._redact) for each in controlled
        }

    def integrations(self, _environ: Environ) -> Answer:
        """Answers `GET /api/integrations`: the names that `?integration=` may have."""
        return self._json(200, {"integrations": list(self._controlled)})

    def status(self, environ: Environ) -> Answer:
        """Answers `GET /api/status`. Raises Refusal."""
        encoded = self._statuses[self._chosen(environ).name].get()
        return with_etag(environ, encoded.etag, encoded.body, JSON)

    def events(self, environ: Environ) -> Answer:
        """Answers `GET /api/events?after=N`. Raises Refusal."""
        after = _query(environ).get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Refusal(400, "after: expected the number of an event, 0 for all")
        ring = self._chosen(environ).events
        return self._json(
            200,
            {"instance": ring.instance, "latest": ring.latest, "events": ring.after(int(after))},
        )

    def _steering(self, model: type[CallT], act: Callable[[Steerable, CallT], Answer]) -> Handler:
        """Returns what serves a call that changes something."""

        def serve(environ: Environ) -> Answer:
            call = read_call(environ, model)
            controlled = self._chosen(environ)
            try:
                answer = act(controlled.system, call)
            except UnknownKind as error:
                raise Refusal(404, str(error)) from None
            except ValueError as error:
                raise Refusal(400, one_line(str(error))) from None
            except (MailboxFull, pykka.Timeout, pykka.ActorDeadError, RuntimeError) as error:
                raise Refusal(503, one_line(str(error)) or "no answer in time", RETRY) from None
            finally:
                self._statuses[controlled.name].forget()
            return answer

        return serve

    def _chosen(self, environ: Environ) -> Controlled:
        name = _query(environ).get("integration")
        known = ", ".join(self._controlled)
        if name is None:
            if len(self._controlled) == 1:
                return next(iter(self._controlled.values()))
            raise Refusal(
                400, f"choose an integration with ?integration= or --integration: {known}"
            )
        if name not in self._controlled:
            raise Refusal(404, f"unknown integration {one_line(name, 60)}; those here are {known}")
        return self._controlled[name]

    def _json(self, status: int, body: Mapping[str, Any]) -> Answer:
        return Answer(status, self._redact(json.dumps(body).encode()))


def _resync(system: Steerable, call: ResyncCall) -> Answer:
    request_id = system.request_resync(
        call.reason, kinds=call.kinds, parameters=call.parameters, policy=call.policy
    )
    return Answer(202, {"ok": True, "id": request_id})


def _abort(system: Steerable, call: SteeringCall) -> Answer:
    return Answer(200, {"ok": True, "aborted": system.abort(call.reason)})


def _pause(system: Steerable, call: PauseCall) -> Answer:
    system.pause(call.reason, owner=call.owner, abort=call.abort)
    return Answer(200, {"ok": True})


def _resume(system: Steerable, call: ResumeCall) -> Answer:
    system.resume(call.reason, owner=call.owner)
    return Answer(200, {"ok": True})


def _query(environ: Environ) -> dict[str, str]:
    """Returns the parameters of the address; of one that is given twice, the last value."""
    try:
        given = parse_qs(environ.get("QUERY_STRING") or "", max_num_fields=20, errors="replace")
    except ValueError:
        raise Refusal(400, "at most 20 parameters are read") from None
    return {name: values[-1] for name, values in given.items()}
