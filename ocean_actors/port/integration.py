"""The integration as Port knows it: registered at start, read whenever a run needs its config."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from ocean_actors.actors import Actor, Backoff, Message, OnFailure, Supervision, handles
from ocean_actors.frozen import freeze
from ocean_actors.messages import (
    ConfigFetched,
    ConfigSnapshot,
    ConfigWanted,
    IntegrationRegistered,
)
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.models import Integration
from ocean_actors.port.transport import Retry

logger = logging.getLogger(__name__)

CONFIG_RETRY = Retry(attempts=3)


@dataclass(frozen=True)
class Register(Message):
    """See to it that Port knows the integration."""


class PortRefusedIntegration(Exception):  # noqa: N818  (it says what happened)
    """Port answered, and will not have us: wrong credentials or rights. Ends the system."""


def snapshot_of(integration: Integration) -> ConfigSnapshot:
    """The config that Port holds, with Port's own time."""
    return ConfigSnapshot(freeze(integration.config or {}), integration.updated_at)


def needs_patch(integration: Integration, destination: dict[str, Any] | None) -> bool:
    """Whether Port sends the integration's changes elsewhere than the listener wants them.

    A `destination` of None (ONCE) leaves it to another process of the same integration.
    """
    return destination is not None and (integration.changelog_destination or {}) != destination


class IntegrationActor(Actor):
    """Registers the integration, retrying while Port cannot be reached, then serves its config."""

    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)

    def __init__(
        self, client: PortClient, destination: dict[str, Any] | None, backoff: Backoff
    ) -> None:
        super().__init__()
        self._client = client
        self._destination = destination
        self._backoff = backoff
        self._failures = 0
        self._known: ConfigSnapshot | None = None
        self._waiting: tuple[ConfigWanted, ...] = ()

    def on_start(self) -> None:
        """Begin with the registration."""
        self.context.ref.tell(Register())

    @handles(Register)
    def on_register(self, _message: Register) -> None:
        """Register, or try again later. Raises PortRefusedIntegration when that is vain."""
        try:
            integration = self._registered(Retry())
        except PortError as error:
            if not error.temporary:
                raise PortRefusedIntegration(str(error)) from None
            delay = self._backoff.delay(self._failures, self.context.chance())
            self._failures += 1
            logger.warning("cannot register with Port, again in %.1f s: %s", delay, error)
            self.context.schedule(delay, Register())
            return
        self._known = snapshot_of(integration)
        self.context.publish(IntegrationRegistered(self._known))
        waiting, self._waiting = self._waiting, ()
        for wanted in waiting:
            self.on_config_wanted(wanted)

    @handles(ConfigWanted)
    def on_config_wanted(self, wanted: ConfigWanted) -> None:
        """Answer with Port's config; with the last one known if Port does not answer."""
        if self._known is None:
            self._waiting = (wanted,)
            return
        try:
            integration = self._registered(CONFIG_RETRY)
        except PortError as error:
            logger.warning("the run starts with the last known config: %s", error)
        else:
            self._known = snapshot_of(integration)
        wanted.reply_to.tell(ConfigFetched(wanted.number, self._known))

    def _registered(self, retry: Retry) -> Integration:
        """The integration as Port has it, after seeing to it that it has it. Raises PortError."""
        try:
            integration = self._client.get_integration(retry=retry)
        except PortError as error:
            if error.status != 404:
                raise
            logger.info("registering the integration with Port")
            return self._client.create_integration(self._destination or {})
        if needs_patch(integration, self._destination):
            logger.info("telling Port where to send changes: %s", self._destination or "nowhere")
            return self._client.patch_integration(changelogDestination=self._destination)
        return integration
