"""An `OceanSystem` as the control server sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ocean_actors.control.controlled import UnknownKind
from ocean_actors.control.events import EventRing
from ocean_actors.messages import Policy


class Steerable(Protocol):
    """The methods of `OceanSystem` that are used here; see there."""

    def status(self) -> dict[str, Any]:
        """See `OceanSystem.status`."""

    def request_resync(
        self,
        reason: str,
        *,
        kinds: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
    ) -> str:
        """See `OceanSystem.request_resync`."""

    def abort(self, reason: str) -> bool:
        """See `OceanSystem.abort`."""

    def pause(self, reason: str, *, owner: str, abort: bool) -> None:
        """See `OceanSystem.pause`."""

    def resume(self, reason: str, *, owner: str) -> None:
        """See `OceanSystem.resume`."""


class ControlledSystem:
    """Implements `Controlled` for the integration `name`, whose handlers have `kinds`."""

    def __init__(self, name: str, system: Steerable, kinds: Sequence[str], ring: EventRing) -> None:
        self._name = name
        self._system = system
        self._kinds = kinds
        self._ring = ring

    @property
    def name(self) -> str:
        """The integration's identifier."""
        return self._name

    @property
    def events(self) -> EventRing:
        """The latest events; an `EventRecorder` in the system adds to them."""
        return self._ring

    def status(self) -> Mapping[str, Any]:
        """See `OceanSystem.status`."""
        return self._system.status()

    def request_resync(
        self,
        reason: str,
        *,
        kinds: Sequence[str] | None,
        parameters: Mapping[str, Any] | None,
        policy: Policy | None,
    ) -> str:
        """See `Controlled.request_resync`."""
        for kind in kinds or ():
            if kind not in self._kinds:
                raise UnknownKind(kind, self._kinds)
        asked: dict[str, Any] = {"kinds": kinds, "parameters": parameters, "policy": policy}
        given = {name: value for name, value in asked.items() if value is not None}
        return self._system.request_resync(reason, **given)

    def abort(self, reason: str) -> bool:
        """See `Controlled.abort`."""
        return self._system.abort(reason)

    def pause(self, reason: str, *, owner: str, abort: bool) -> None:
        """See `Controlled.pause`."""
        self._system.pause(reason, owner=owner, abort=abort)

    def resume(self, reason: str, *, owner: str) -> None:
        """See `Controlled.resume`."""
        self._system.resume(reason, owner=owner)
