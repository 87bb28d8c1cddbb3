"""An integration for tests that a test moves by hand, served by the real control server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from ocean_actors.actors import SystemClock
from ocean_actors.control.app import ControlApp
from ocean_actors.control.controlled import Controlled
from ocean_actors.control.events import EventLine, EventRing, Level
from ocean_actors.control.server import ControlServer
from ocean_actors.messages import Policy
from ocean_actors.resync.scope import all_kinds, require_known
from ocean_actors.settings import ControlSettings
from ocean_actors.web.endpoint import MetricsPage
from ocean_actors.web.log import WebLog

KINDS = {"Repositories": ("repository",), "Issues": ("issue", "comment"), "Teams": ("team",)}
TOKEN = "correct-horse-battery-staple"


def ago(seconds: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


def ended(
    number: int, status: str = "completed", seconds: float = 12.0, age: float = 600.0, **more: Any
) -> dict[str, Any]:
    """A run that ended, as `status()` shows it."""
    return {
        "id": f"4f1c9a2e-{number}",
        "number": number,
        "trigger": "polling",
        "reason": "resync requested",
        "requestedAt": ago(age + seconds + 1),
        "startedAt": ago(age + seconds),
        "status": status,
        "seconds": seconds,
        "kinds": None,
        "covered": 1,
        "entities": 120,
        "failedEntities": 0,
        "deletedEntities": 0,
        "failures": [],
        **more,
    }


def actor(
    name: str, parent: str | None = None, state: str = "running", **more: Any
) -> dict[str, Any]:
    return {
        "name": name, "type": name.title(), "parent": parent, "state": state, "mailbox": 0,
        "handled": 10, "refused": 0, "dropped": 0, "coalesced": 0, "restarts": 0, "failure": None,
        "message": None, "message_seconds": None, "hung": False, "details": {}, **more,
    }  # fmt: skip


class Desk:
    """Implements `Steerable` over plain data; keeps what it was asked to do in `calls`."""

    def __init__(self, name: str = "my-github") -> None:
        self.name = name
        self.events = EventRing()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failure: Exception | None = None
        self.asked = 0
        """How often the status was asked for."""
        self.resync: dict[str, Any] = {
            "state": "idle", "pauses": [], "pending": [], "run": None, "runs": [],
            "kinds": KINDS, "requests": 0, "ignored": 0, "covered": 0, "late": 0,
        }  # fmt: skip
        self.facts: dict[str, Any] = {
            "integration": name, "version": "0.2.0", "startedAt": ago(7200), "listener": "POLLING",
            "listening": {"state": "running", "lastEventAt": ago(40), "nextPollAt": ago(-20)},
            "registered": True, "stopped": False, "exitCode": 0, "cause": None,
            "actors": [
                actor("listener-supervisor"),
                actor("polling", "listener-supervisor"),
                actor("coordinator"),
                *(actor(f"handler-{name}", "coordinator") for name in KINDS),
            ],
            "deadLetters": {}, "leftBehind": [],
        }  # fmt: skip

    def status(self) -> Mapping[str, Any]:
        self.asked += 1
        now = datetime.now(timezone.utc).isoformat()
        return {**self.facts, "now": now, "resync": self.resync and dict(self.resync)}

    def tell(self, level: Level, text: str, kind: str = "RunEnded") -> None:
        """Add an event."""
        self.events.add(datetime.now(timezone.utc), EventLine(kind, level, text))

    def begin(self, number: int = 1, **progress: Mapping[str, Any]) -> None:
        """Have a run in flight."""
        run = ended(number, age=0.0)
        for key in ("status", "failures"):
            del run[key]
        self.resync["state"] = "running"
        self.resync["run"] = {**run, "handlers": list(KINDS), "progress": progress}

    def end(self, status: str = "completed", **more: Any) -> None:
        """End it."""
        number = self.resync["run"]["number"]
        self.resync["runs"].append(ended(number, status, age=0.0, **more))
        self.resync["state"], self.resync["run"] = "idle", None

    def request_resync(
        self,
        reason: str,
        *,
        kinds: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
    ) -> str:
        require_known(kinds, all_kinds(KINDS))
        self._called("resync", reason=reason, kinds=kinds, parameters=parameters, policy=policy)
        return f"request-{len(self.calls)}"

    def abort(self, reason: str) -> bool:
        self._called("abort", reason=reason)
        if self.resync["run"] is None:
            return False
        self.end("aborted", failures=[reason])
        return True

    def pause(self, reason: str, *, owner: str, abort: bool) -> None:
        self._called("pause", reason=reason, owner=owner, abort=abort)
        self.resync["pauses"] = [{"owner": owner, "reason": reason, "since": ago(0)}]

    def resume(self, reason: str, *, owner: str) -> None:
        self._called("resume", reason=reason, owner=owner)
        self.resync["pauses"] = []

    def _called(self, name: str, **arguments: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.calls.append((name, arguments))


def serve(
    *desks: Desk,
    port: int | None = 0,
    host: str = "127.0.0.1",
    token: str | None = None,
    metrics: MetricsPage | None = None,
    secrets: Sequence[str] = (),
) -> ControlServer:
    """Returns the real server of `desks`, started; `port` of None: as if it was not set."""
    given = {"host": host, "token": token} | ({} if port is None else {"port": port})
    settings = ControlSettings.model_validate(given)
    clock = SystemClock()
    log = WebLog(clock)
    controlled = [Controlled(desk.name, desk, desk.events) for desk in desks]
    app = ControlApp(settings, controlled, log, clock.monotonic, metrics=metrics, secrets=secrets)
    server = ControlServer(settings, app, log)
    server.start()
    return server


def busy_night(desk: Desk, runs: int = 200) -> None:
    """Fill a desk with what a busy integration shows: for screenshots and for reading."""
    reasons = ["resync requested", "mapping changed", "scheduled resync", "start"]
    for number in range(201 - runs, 201):
        seconds = 4 + (number * 37 % 53) + (160 if number % 41 == 0 else 0)
        status = "completed"
        more: dict[str, Any] = {"entities": 180 + number * 13 % 90, "deletedEntities": number % 3}
        if number % 17 == 5:
            status, more["failures"] = "failed", ["Issues: HTTPError: 503 of the API"]
            more["failedEntities"] = 4
        elif number % 13 == 7:
            status, more["failures"] = "aborted", ["a newer request came: mapping changed"]
        age = (201 - number) * 420.0
        desk.resync["runs"].append(
            ended(number, status, float(seconds), age, reason=reasons[number % 4], **more)
        )
    desk.begin(
        201,
        Repositories={
            "done": 240,
            "total": 240,
            "message": None,
            "rate": None,
            "secondsLeft": None,
        },
        Issues={
            "done": 1312,
            "total": 4100,
            "message": "acme/shop",
            "rate": 61.5,
            "secondsLeft": 45.0,
        },
        Teams={"done": 17, "total": None, "message": None, "rate": 2.4, "secondsLeft": None},
    )
    desk.resync["run"]["handlers"] = ["Issues", "Teams"]
    desk.resync["run"]["startedAt"] = ago(21)
    desk.resync["pending"] = [
        {"id": "r1", "trigger": "schedule", "reason": "scheduled resync", "requestedAt": ago(9),
         "kinds": None, "policy": "queue"},
    ]  # fmt: skip
    desk.resync |= {"requests": 1204, "ignored": 3, "covered": 1200, "late": 2}
    desk.facts["actors"][-1] |= {"restarts": 2, "failure": "ValueError: no such team"}
    desk.facts["actors"][-2] |= {"message": "StartResync", "message_seconds": 21.0}
    desk.facts["deadLetters"] = {"Elapsed": 1}
    for number in range(190, 201):
        desk.tell(
            "info", f"run 4f1c9a2e-{number} started: resync requested (polling)", "RunStarted"
        )
        if number % 17 == 5:
            desk.tell(
                "bad",
                f"run 4f1c9a2e-{number} failed after 48.0 s; Issues: HTTPError: 503",
            )
        elif number % 13 == 7:
            desk.tell(
                "warning",
                f"run 4f1c9a2e-{number} aborted after 6.1 s; a newer request came: mapping changed",
            )
        else:
            desk.tell(
                "good",
                f"run 4f1c9a2e-{number} completed after 31.0 s, entities: 214 sent, 1 deleted",
            )
    desk.tell(
        "warning", "actor handler-Teams was restarted: ValueError: no such team", "ActorRestarted"
    )
    desk.tell("info", "run 4f1c9a2e-201 started: mapping changed (polling)", "RunStarted")
    desk.tell("info", "Issues: 1312 of 4100, acme/shop", "RunProgressed")
