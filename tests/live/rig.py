"""Live handlers of a fake issue tracker, and a system that serves them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tracker import signature_of
from waiting import wait_until

from ocean_actors import Live, LiveCall, LiveHandler, ResyncHandler, ResyncRun
from ocean_actors.live import signatures
from ocean_actors.testing import SandboxedSystem

SECRET = "hook-secret"

ISSUE: dict[str, Any] = {
    "schema": {"properties": {"title": {"type": "string"}, "by": {"type": "string"}}},
    "relations": {"project": {"target": "project"}, "parent": {"target": "issue"}},
}


class Nothing(ResyncHandler):
    """A resync that does nothing."""

    def resync(self, run: ResyncRun) -> None:
        pass


class Hooked(LiveHandler):
    """A live handler that does what a test says, to calls signed as the tracker does."""

    path = "tracker"
    work: Callable[[LiveCall, Live], Any] = staticmethod(lambda _call, _live: None)

    def authenticate(self, call: LiveCall) -> bool:
        return signatures.hmac_sha256(call, SECRET, "X-Tracker-Signature")

    def key(self, call: LiveCall) -> str:
        return str(call.json()["id"])

    def handle(self, call: LiveCall, live: Live) -> Any:
        return type(self).work(call, live)


def hooked(work: Callable[[LiveCall, Live], Any], **attributes: Any) -> type[Hooked]:
    """A live handler that calls `work`, with other attributes."""
    return type("Hooked", (Hooked,), {"work": staticmethod(work), **attributes})


@contextmanager
def serving(live: type[LiveHandler], *handlers: Any, **options: Any) -> Iterator[SandboxedSystem]:
    """A system with live handlers, served on a free port; its sandbox knows the blueprints."""
    settings = {"http": {"host": "127.0.0.1", "port": 0}, **options}
    rig = SandboxedSystem([*(handlers or (Nothing,)), live], **settings)
    rig.sandbox.create_blueprint("project")
    rig.sandbox.create_blueprint("issue", **ISSUE)
    rig.sandbox.create_blueprint("a-blueprint")
    with rig:
        yield rig


def post(rig: SandboxedSystem, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """POST to the system; returns the status and the JSON of the answer, with its headers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{rig.system.http_url}{path}"
    request = urllib.request.Request(url, data, headers)  # noqa: S310  (of the test)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, _answer(answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _answer(error.read(), dict(error.headers))


def tell(rig: SandboxedSystem, identifier: str, /, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Tell the system of an issue, signed as the tracker does."""
    body = json.dumps({"id": identifier, **fields}).encode()
    return post(rig, "/live/tracker", body, **{"X-Tracker-Signature": signature_of(body)})


def counts(rig: SandboxedSystem) -> dict[str, int]:
    """The counts of the path `tracker`."""
    found: dict[str, int] = rig.system.status()["live"]["tracker"]
    return found


def wait_for_counts(rig: SandboxedSystem, **wanted: int) -> None:
    """Wait until the counts of the path `tracker` are as wanted."""
    wait_until(lambda: wanted.items() <= counts(rig).items(), f"the counts {wanted}")


def titles(rig: SandboxedSystem) -> dict[str, Any]:
    """The titles of the issues in Port, by identifier."""
    return {each["identifier"]: each["title"] for each in rig.sandbox.entities("issue")}


def _answer(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    return {**json.loads(body), "headers": {name.lower(): value for name, value in headers.items()}}
