"""KAFKA: the organization's topic is consumed."""

from __future__ import annotations

import functools
import logging
from datetime import datetime

from ocean_actors.actors import handles
from ocean_actors.context import Actor
from ocean_actors.listeners.kafka.consumer import (
    Heard,
    RoleHeard,
    StateHeard,
    ThreadFailed,
    TopicConsumer,
)
from ocean_actors.listeners.kafka.subscription import Place, consumer_options, place_of
from ocean_actors.messages import RequestSettled
from ocean_actors.port.client import PortClient
from ocean_actors.port.models import Organization
from ocean_actors.retry import ONCE
from ocean_actors.settings import IntegrationSettings, KafkaSettings

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.9  # for the thread: the system gives its actors a second
REMEMBERED = 1_000  # requests that were not settled; the newest settles the earlier ones


class KafkaListener(Actor):
    """Requests a resync for each message that concerns us, and says when it was served.

    One instance of several consumes; the others stand by. So it does nothing before the group
    has given it a partition, and nothing once that is taken away: the coordinator is told.
    """

    def __init__(
        self,
        client: PortClient,
        settings: KafkaSettings,
        integration: IntegrationSettings,
        started_at: datetime,
    ) -> None:
        """Take who to ask, and since when requests that no group ever saw are ours to serve."""
        super().__init__()
        self._client = client
        self._settings = settings
        self._integration = integration
        self._started_at = started_at
        self._organization: Organization | None = None
        self._consumer: TopicConsumer | None = None
        self._delivery_tags: dict[str, int] = {}

    def on_start(self) -> None:
        """Stand by, and start the thread."""
        self.context.set_role(active=False)
        self._consumer = TopicConsumer(
            self._find_place,
            functools.partial(consumer_options, self._settings),
            self._integration.identifier,
            poll_seconds=self._settings.consumer_poll_timeout,
            session_seconds=self._settings.session_timeout,
            started_ms=round(self._started_at.timestamp() * 1000),
            tell=self.context.ref.tell,
            clock=self.context.clock,
            jitter=self.context.jitter,
        )
        self._consumer.start()

    def on_stop(self) -> None:
        """Commit what is settled and leave the group."""
        if self._consumer is not None and not self._consumer.stop(STOP_SECONDS):
            logger.warning("the Kafka consumer does not end; its thread is left behind")

    def on_failure(self, *_exc_info: object) -> None:
        """The next life has a thread of its own."""
        self.on_stop()

    @handles(Heard)
    def on_heard(self, heard: Heard) -> None:
        """Request a resync; what the message says of the config is Port's word."""
        finding = heard.finding
        if finding is not None and finding.updated:
            request = self.context.config_updated(heard.reason, finding.snapshot, notify=True)
        else:
            request = self.context.request_resync(heard.reason, notify=True)
        if len(self._delivery_tags) == REMEMBERED:
            del self._delivery_tags[next(iter(self._delivery_tags))]
        self._delivery_tags[request] = heard.delivery_tag

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        """Let the offset be committed."""
        delivery_tag = self._delivery_tags.pop(settled.request.id, None)
        if delivery_tag is None or self._consumer is None:
            return
        alone = settled.outcome == "ignored"
        if not alone:
            self._delivery_tags = {
                key: each for key, each in self._delivery_tags.items() if each > delivery_tag
            }
        self._consumer.settled(delivery_tag, alone=alone)

    @handles(RoleHeard)
    def on_role(self, role: RoleHeard) -> None:
        """Say whether resyncs are ours to run."""
        lease = role.lease
        self.context.set_role(active=lease is not None, lease=lease)

    @handles(StateHeard)
    def on_state(self, state: StateHeard) -> None:
        """Show it in `status()`."""
        self.context.show(**state.details)

    @handles(ThreadFailed)
    def on_thread_failed(self, failed: ThreadFailed) -> None:
        """Fail likewise, so that supervision decides."""
        raise failed.error

    def _find_place(self) -> Place:
        """Ask Port, in the consumer's thread: credentials every time, as they may have changed."""
        if self._organization is None:
            self._organization = self._client.get_organization(ONCE)
        secure = self._settings.kafka_security_enabled
        credentials = self._client.get_kafka_credentials(ONCE) if secure else None
        return place_of(self._settings, self._integration, self._organization, credentials)
