"""The messages that Port sends about an integration, to Kafka or to a webhook.

Pure functions; docs/port-wire.md, section 7, has the shapes. Integrations are as Port's API shows
them; `at` is the time of the event.
"""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]


def config_updated(org_id: str, before: Json, after: Json, at: str) -> Json:
    """A field of the integration changed: its config, destination, version, …"""
    return {
        **_envelope("UPDATE", org_id, at, "API"),
        "context": {},
        "diff": {"before": before, "after": after},
        "changelogDestination": after.get("changelogDestination"),
    }


def reported(org_id: str, before: Json, after: Json, at: str) -> Json:
    """The integration reported the state of its resync, which also moves its `updatedAt`.

    The message has the shape of an update; it differs in that `updatedAt` equals the one in
    `resyncState`.
    """
    return config_updated(org_id, before, after, at)


def resync_requested(org_id: str, integration: Json, at: str) -> Json:
    """A resync was requested."""
    return {
        **_envelope("RESYNC", org_id, at, "UI"),
        "context": {"integrationId": integration["identifier"]},
    }


def deleted(org_id: str, before: Json, at: str) -> Json:
    """The integration was deleted."""
    return {
        **_envelope("DELETE", org_id, at, "UI"),
        "context": {},
        "diff": {"before": before, "after": None},
        "changelogDestination": before.get("changelogDestination"),
    }


def _envelope(action: str, org_id: str, at: str, origin: Literal["UI", "API"]) -> Json:
    return {
        "action": action,
        "resourceType": "integration",
        "status": "SUCCESS",
        "trigger": {"by": {"orgId": org_id, "userId": "sandbox"}, "at": at, "origin": origin},
    }
