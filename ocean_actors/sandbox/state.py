"""Everything that the sandbox holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ocean_actors.actors.clock import Clock
from ocean_actors.sandbox.calls import CallLog
from ocean_actors.sandbox.catalog import Catalog
from ocean_actors.sandbox.faults import Faults
from ocean_actors.sandbox.integrations import Integrations
from ocean_actors.sandbox.page import Page
from ocean_actors.sandbox.publishers import Delivery
from ocean_actors.sandbox.schemas import Behaviour
from ocean_actors.sandbox.stamps import Stamps
from ocean_actors.sandbox.tokens import Tokens

KEPT_DELIVERIES = 10_000

Json = dict[str, Any]


class State:
    """One organization in Port, the record of calls, and the faults.

    It uses no threads; `Core` holds the lock. Change-log messages wait in `outbox`, each with its
    integration, until `Core` publishes them.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        organization_id: str,
        behaviour: Behaviour,
        kafka_credentials: Json | None,
        seed: int,
        clock: Clock,
        blueprints: Iterable[Json] = (),
        mapping: Json | None = None,
    ) -> None:
        self.stamps = Stamps(clock)
        self.outbox: deque[tuple[Json, Json]] = deque()
        self.organization_id = organization_id
        self.kafka_credentials = kafka_credentials
        self.integrations = Integrations(organization_id, self.stamps, self._announce, mapping)
        self.catalog = Catalog(self.stamps)
        for blueprint in blueprints:
            self.catalog.create_blueprint(blueprint)
        self.tokens = Tokens(client_id, client_secret, behaviour.token_lifetime, clock)
        self.calls = CallLog()
        self.faults = Faults(seed)
        self.deliveries: deque[Delivery] = deque(maxlen=KEPT_DELIVERIES)
        self._pages: dict[str, Page] = {}
        self.behave(behaviour)

    def page(self, identifier: str) -> Page:
        """Returns what Port would show of an integration. Raises ApiError 404."""
        self.integrations.get(identifier)
        return self._pages.setdefault(identifier, Page())

    def behave(self, behaviour: Behaviour) -> None:
        """Apply settings; tokens that were issued keep their lifetime."""
        self.behaviour = behaviour
        self.tokens.lifetime = behaviour.token_lifetime
        self.tokens.refusing = behaviour.refuse_credentials
        self.catalog.refuse_unknown_properties = behaviour.refuse_unknown_properties
        self.integrations.config_change_creates_request = behaviour.config_change_creates_request

    def organization(self) -> Json:
        """Returns the organization as GET /organization shows it."""
        return {
            "id": self.organization_id,
            "name": "Sandbox",
            "featureFlags": list(self.behaviour.feature_flags),
            "isBlocked": False,
        }

    def _announce(self, message: Json, integration: Json) -> None:
        self.outbox.append((message, integration))
