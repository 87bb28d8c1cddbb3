"""The integrations in the sandbox, their resync requests and reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ocean_actors.sandbox import changelog
from ocean_actors.sandbox.errors import conflict, not_found
from ocean_actors.sandbox.stamps import Stamps

KEPT_REPORTS = 10_000

Json = dict[str, Any]
Announce = Callable[[Json, Json], None]  # a change-log message, and its integration


class Integrations:
    """Integrations, resync requests and reports by identifier.

    A returned dict never changes: each change makes a new one.
    """

    def __init__(
        self, org_id: str, stamps: Stamps, announce: Announce, mapping: Json | None = None
    ) -> None:
        """`mapping` is the config of an integration that is created without one."""
        self._org_id = org_id
        self._stamps = stamps
        self._announce = announce
        self._mapping = mapping or {}
        self._integrations: dict[str, Json] = {}
        self._requests: dict[str, Json] = {}
        self._reports: dict[str, deque[Json]] = {}
        self._request_count = 0
        self.config_change_creates_request = True

    def all(self) -> list[Json]:
        """Returns all integrations."""
        return list(self._integrations.values())

    def find(self, identifier: str) -> Json | None:
        """Returns the integration, None if there is none."""
        return self._integrations.get(identifier)

    def get(self, identifier: str) -> Json:
        """Returns the integration. Raises ApiError 404."""
        integration = self._integrations.get(identifier)
        if integration is None:
            raise not_found("Integration", identifier)
        return integration

    def create(self, identifier: str, fields: Json) -> Json:
        """Create an integration, without a message. Raises ApiError 409 if it exists."""
        if identifier in self._integrations:
            raise conflict("identifier_taken", f'Integration "{identifier}" exists already')
        now = self._stamps.next()
        return self._put(
            {
                "identifier": identifier,
                "installationType": "OnPrem",
                "installationAppType": None,
                "version": None,
                "title": identifier,
                "changelogDestination": {},
                "arePortResourcesInitialized": False,
                "actionsProcessingEnabled": False,
                "incrementalSyncEnabled": False,
                **fields,
                "installationId": identifier,
                "config": fields.get("config") or self._mapping,
                "createdAt": now,
                "updatedAt": now,
            }
        )

    def patch(self, identifier: str, fields: Json, *, skip_resync: bool = False) -> Json:
        """Change fields; without any it is a resync request (docs/port-wire.md, section 2)."""
        before = self.get(identifier)
        after = self._put({**before, **fields, "updatedAt": self._stamps.next()})
        if not fields:
            self.request_resync(identifier)
            return after
        if "config" in fields and self.config_change_creates_request and not skip_resync:
            self._add_request(identifier)
        self._announce(
            changelog.config_updated(self._org_id, before, after, after["updatedAt"]), after
        )
        return after

    def report(self, identifier: str, fields: Json) -> Json:
        """Record a run's state; `updatedAt` of the state and of the integration become equal."""
        before = self.get(identifier)
        now = self._stamps.next()
        state = {**(before.get("resyncState") or {}), **fields, "updatedAt": now}
        after = self._put({**before, "resyncState": state, "updatedAt": now})
        self._reports.setdefault(identifier, deque(maxlen=KEPT_REPORTS)).append(
            {**fields, "updatedAt": now}
        )
        self._announce(changelog.reported(self._org_id, before, after, now), after)
        return after

    def reports(self, identifier: str) -> list[Json]:
        """Returns the last reports, oldest first, each with Port's time as `updatedAt`."""
        return list(self._reports.get(identifier, ()))

    def request_resync(self, identifier: str) -> Json:
        """Record a resync request and announce it in the change log."""
        integration = self.get(identifier)
        request = self._add_request(identifier)
        self._announce(
            changelog.resync_requested(self._org_id, integration, request["updatedAt"]),
            integration,
        )
        return request

    def request(self, identifier: str) -> Json | None:
        """Returns the newest resync request, None if there is none. Raises ApiError 404."""
        self.get(identifier)
        return self._requests.get(identifier)

    def delete(self, identifier: str) -> None:
        """Delete the integration and its requests; its reports stay. Raises ApiError 404."""
        before = self.get(identifier)
        del self._integrations[identifier]
        self._requests.pop(identifier, None)
        message = changelog.deleted(self._org_id, before, self._stamps.next())
        self._announce(message, before)

    def _put(self, integration: Json) -> Json:
        self._integrations[integration["identifier"]] = integration
        return integration

    def _add_request(self, identifier: str) -> Json:
        self._request_count += 1
        request = {"id": f"request_{self._request_count}", "updatedAt": self._stamps.next()}
        self._requests[identifier] = request
        return request
