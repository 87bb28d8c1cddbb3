"""The webhook's web application: `POST /resync`, for Port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocean_actors.listeners.changelog import Unreadable
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import (
    NotListening,
    NotTaken,
    WebhookIntake,
    WebhookOutcome,
)
from ocean_actors.web.answers import RETRY, Answer, Refusal
from ocean_actors.web.app import JsonApp
from ocean_actors.web.log import WebLog


class WebhookApp(JsonApp):
    """A WSGI application, mounted in the system's endpoint.

    Under somebody else's server, limits of connections, headers and time are that server's
    concern; the limit of bodies holds everywhere.
    """

    def __init__(self, reader: CallReader, intake: WebhookIntake, log: WebLog) -> None:
        super().__init__({"/resync": {"POST": self.resync}}, log)
        self._reader = reader
        self._intake = intake

    def source(self, environ: Mapping[str, Any]) -> str:
        """Returns the address that a call counts as coming from."""
        return self._reader.source(environ)

    def resync(self, environ: Mapping[str, Any]) -> Answer:
        """Answer `POST /resync`. Raises Refusal."""
        if not self._intake.is_listening:  # before any lock: in a forked process one may be held
            raise _not_listening()
        call = self._reader.read(environ)
        try:
            return _answer(self._intake.take(call))
        except Unreadable as error:
            raise Refusal(400, f"the body cannot be read: {error}") from None
        except NotTaken as error:
            self._reader.give_back(call)
            if isinstance(error, NotListening):
                raise _not_listening() from None
            raise Refusal(503, str(error), RETRY) from None
        except BaseException:
            self._reader.give_back(call)
            raise


def _not_listening() -> Refusal:
    return Refusal(503, "this integration is not listening now", RETRY, noteworthy=False)


def _answer(outcome: WebhookOutcome) -> Answer:
    body = {"ok": True, "status": outcome.status}
    if outcome.reason is not None:
        return Answer(200, {**body, "reason": outcome.reason})
    if outcome.request_id is not None:
        return Answer(202, {**body, "id": outcome.request_id})
    return Answer(202, body)
