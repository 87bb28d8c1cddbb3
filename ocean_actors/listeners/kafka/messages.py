"""What the consumer's thread tells the listener."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message
from ocean_actors.frozen import FrozenDict
from ocean_actors.listeners.kafka.scanner import Finding


@dataclass(frozen=True)
class ResyncNeeded(Message):
    """A resync has to be requested. Its settlement is to be acknowledged with `delivery_tag`.

    `finding` is what the messages say; None if messages were missed or Port says what is owed.
    """

    delivery_tag: int
    reason: str
    finding: Finding | None


@dataclass(frozen=True)
class HealthChanged(Message):
    """The state of the consumer, as plain data for `status()`."""

    details: FrozenDict


@dataclass(frozen=True)
class ConsumerFailed(Message):
    """The thread has ended because of a bug of ours."""

    error: BaseException
