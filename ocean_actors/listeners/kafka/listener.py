"""KAFKA: the organization's topic is consumed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ocean_actors import tls
from ocean_actors.actors import handles
from ocean_actors.leader.role import RoleActor
from ocean_actors.listeners.kafka.consumer import TopicConsumer
from ocean_actors.listeners.kafka.messages import (
    ConsumerFailed,
    HealthChanged,
    ResyncNeeded,
)
from ocean_actors.listeners.kafka.subscription import Place, consumer_options, place_of, uses_tls
from ocean_actors.listeners.recovery import owed
from ocean_actors.log import get_logger
from ocean_actors.messages import RequestSettled
from ocean_actors.port.client import PortClient
from ocean_actors.retry import ONCE
from ocean_actors.settings import IntegrationSettings, KafkaSettings

logger = get_logger(__name__)

STOP_SECONDS = 0.9  # for the thread: the system gives its actors a second


class KafkaListener(RoleActor):
    """Requests a resync for each message that concerns us, and commits it once it was served.

    Of several instances one consumes and the others stand by. The listener tells the coordinator
    when the group has given it the topic, and when it may have lost it.
    """

    def __init__(
        self,
        client: PortClient,
        settings: KafkaSettings,
        integration: IntegrationSettings,
        started_at: datetime,
        strict_tls: bool = True,
        commits: bool = True,
    ) -> None:
        """`started_at`: a group without offsets reads what was published since then.

        `strict_tls`: see `tls.client_context`. Without `commits` no offset is committed.
        """
        super().__init__()
        self._client = client
        self._settings = settings
        self._integration = integration
        self._started_at = started_at
        self._strict_tls = strict_tls
        self._commits = commits
        self._consumer: TopicConsumer | None = None

    def on_start(self) -> None:
        """Stand by, and start the thread."""
        self.context.set_role(active=False)
        self._consumer = TopicConsumer(
            self._find_place,
            self._find_owed,
            self._options,
            self._integration.identifier,
            poll_seconds=self._settings.consumer_poll_timeout,
            session_seconds=self._settings.session_timeout,
            started_ms=round(self._started_at.timestamp() * 1000),
            tell=self.context.ref.tell,
            clock=self.context.clock,
            jitter=self.context.jitter,
            commits=self._commits,
        )
        self._consumer.start()

    def on_stop(self) -> None:
        """Commit what has settled and leave the group."""
        if self._consumer is not None and not self._consumer.stop(STOP_SECONDS):
            logger.warning("the Kafka consumer did not stop in time; its thread is left behind")

    def on_failure(self, *_exc_info: object) -> None:
        """Do the same: the next life has a thread of its own."""
        self.on_stop()

    @handles(ResyncNeeded)
    def on_resync_needed(self, needed: ResyncNeeded) -> None:
        """Request a resync, with the config that the messages carry."""
        finding = needed.finding
        if finding is not None and finding.updated:
            self.context.config_updated(
                needed.reason, finding.snapshot, notify=True, correlation=needed.delivery_tag
            )
        else:
            self.context.request_resync(needed.reason, notify=True, correlation=needed.delivery_tag)

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        """Let the offset be committed."""
        delivery_tag = settled.request.correlation
        if self._consumer is not None and isinstance(delivery_tag, int):
            self._consumer.acknowledge(delivery_tag, alone=settled.outcome == "ignored")

    @handles(HealthChanged)
    def on_health_changed(self, changed: HealthChanged) -> None:
        """Show it in `status()`."""
        self.context.show(**changed.details)

    @handles(ConsumerFailed)
    def on_consumer_failed(self, failed: ConsumerFailed) -> None:
        """Fail with the same error, so that supervision decides."""
        raise failed.error

    def _find_place(self) -> Place:
        """Ask Port where to read, in the consumer's thread. Raises PortError."""
        organization = self._client.get_organization(ONCE)
        secure = self._settings.kafka_security_enabled
        credentials = self._client.get_kafka_credentials(ONCE) if secure else None
        return place_of(self._settings, self._integration, organization, credentials)

    def _find_owed(self) -> str | None:
        """Ask Port what an earlier process owes, in the consumer's thread. Raises PortError."""
        integration = self._client.get_integration(retry=ONCE)
        request = self._client.get_resync_request(retry=ONCE)
        return owed(integration, request, self._client.clock.now(), self._client.clock_skew)

    def _options(self, place: Place) -> dict[str, Any]:
        """Returns kafka-python's options. Raises OSError if certificates cannot be read."""
        context = None
        if uses_tls(self._settings, place):
            context = tls.client_context(strict=self._strict_tls)
        return consumer_options(self._settings, place, context)
