"""The integration as Port knows it: registered at start, read whenever a run needs its config."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ocean_actors.actors import Backoff, Message, Supervision, handles
from ocean_actors.context import Actor
from ocean_actors.frozen import freeze
from ocean_actors.messages import (
    ConfigFetched,
    ConfigSnapshot,
    FetchConfig,
    IntegrationRegistered,
    PortRequest,
)
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.models import Integration
from ocean_actors.port.transport import Retry
from ocean_actors.retry import ONCE

logger = logging.getLogger(__name__)

CONFIG_RETRY = Retry(attempts=3)


@dataclass(frozen=True)
class Register(Message):
    """See to it that Port knows the integration."""


def snapshot_of(integration: Integration) -> ConfigSnapshot:
    """The config that Port holds, with Port's own time."""
    return ConfigSnapshot(freeze(integration.config or {}), integration.updated_at)


def needs_patch(integration: Integration, destination: Mapping[str, str] | None) -> bool:
    """Whether Port sends the integration's changes elsewhere than the listener wants them.

    A `destination` of None (ONCE) leaves it to another process of the same integration. Port
    may add keys of its own (`agent`): only type and url are compared.
    """
    if destination is None:
        return False
    present = integration.changelog_destination or {}
    return any(present.get(key) != destination.get(key) for key in ("type", "url"))


class IntegrationActor(Actor):
    """Told to, registers the integration, retrying while Port cannot be reached; then serves
    its config.

    If Port refuses (wrong credentials or rights) it shuts the system down with exit code 1.
    """

    supervision = Supervision(retries=3)  # the coordinator waits for an answer

    def __init__(
        self,
        client: PortClient,
        destination: Mapping[str, str] | None,
        backoff: Backoff,
        *,
        requests: bool = False,
    ) -> None:
        """Take the client to ask with.

        With `requests` it also asks which resync request the run answers.
        """
        super().__init__()
        self._requests = requests
        self._client = client
        self._destination = destination
        self._backoff = backoff
        self._failures = 0
        self._known: ConfigSnapshot | None = None
        self._trying = False  # to register, with a timer
        self._waiting: FetchConfig | None = None

    @handles(Register)
    def on_register(self, _message: Register) -> None:
        """Register, or try again later; shut down when that is vain."""
        try:
            integration = self._registered(Retry())
        except PortError as error:
            if not error.temporary:
                self.context.shutdown(1, str(error))
                return
            delay = self._backoff.delay(self._failures, self.context.jitter())
            self._failures += 1
            logger.warning("cannot register with Port, again in %.1f s: %s", delay, error)
            self._trying = True
            self.context.schedule(delay, Register())
            return
        self._known = snapshot_of(integration)
        self.context.publish(IntegrationRegistered(self._known))
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.on_fetch_config(waiting)

    @handles(FetchConfig)
    def on_fetch_config(self, wanted: FetchConfig) -> None:
        """Answer with Port's config; with the last one known if Port does not answer."""
        if self._known is None:
            self._waiting = wanted
            if not self._trying:  # this is another life: nobody else tells it to register
                self.on_register(Register())
            return
        answers = None  # an old config may not be what Port's newest request is about
        try:
            integration = self._registered(CONFIG_RETRY)
        except PortError as error:
            logger.warning("the run starts with the last known config: %s", error)
        else:
            self._known = snapshot_of(integration)
            answers = self._newest_request()
        wanted.reply_to.tell(ConfigFetched(wanted.number, self._known, answers))

    def _newest_request(self) -> PortRequest | None:
        if not self._requests:
            return None
        try:
            return self._client.get_resync_request(retry=ONCE)
        except PortError as error:
            logger.info("requests that this run answers may be served once more: %s", error)
            return None

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
