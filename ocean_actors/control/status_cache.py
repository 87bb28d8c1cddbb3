"""The encoded status of an integration, made once for all dashboards that ask for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ocean_actors.control.controlled import Controlled

SECONDS = 1.0  # that a status is given to further callers

# What changes while nothing happens: the coordinator handles the very question, for example.
_OF_NO_INTEREST = frozenset({"now"})
_OF_NO_INTEREST_IN_ACTORS = frozenset({"handled", "message", "message_seconds"})


@dataclass(frozen=True)
class Encoded:
    """A status as it is sent. The weak `etag` is the same if only time has passed."""

    body: bytes
    etag: str
    made_at: float


class StatusCache:
    """Encodes the status of `controlled`, at most once a second. Any thread may use it."""

    def __init__(
        self,
        controlled: Controlled,
        monotonic: Callable[[], float],
        redact: Callable[[bytes], bytes],
    ) -> None:
        self._controlled = controlled
        self._monotonic = monotonic
        self._redact = redact
        self._latest: Encoded | None = None

    def get(self) -> Encoded:
        """Returns the status, which may be a second old."""
        latest, now = self._latest, self._monotonic()
        if latest is None or not 0 <= now - latest.made_at < SECONDS:
            latest = self._latest = self._encode(now)
        return latest

    def forget(self) -> None:
        """Have the next `get` ask anew, as something was changed."""
        self._latest = None

    def _encode(self, now: float) -> Encoded:
        events = self._controlled.events
        status = {
            **self._controlled.system.status(),
            "events": {"instance": events.instance, "latest": events.latest},
        }
        encode = json.JSONEncoder(default=str, separators=(",", ":")).encode
        body = self._redact(encode(status).encode())
        digest = hashlib.sha256(encode(_lasting(status)).encode()).hexdigest()
        return Encoded(body, f'W/"{digest[:16]}"', now)


def _lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a reader would see change; of a run that ended, its id, as it is final."""
    lasting = {name: value for name, value in status.items() if name not in _OF_NO_INTEREST}
    lasting["actors"] = [
        {name: value for name, value in actor.items() if name not in _OF_NO_INTEREST_IN_ACTORS}
        for actor in status.get("actors", ())
    ]
    if resync := status.get("resync"):
        run = {name: value for name, value in (resync["run"] or {}).items() if name != "seconds"}
        lasting["resync"] = {**resync, "run": run, "runs": [run["id"] for run in resync["runs"]]}
    return lasting
