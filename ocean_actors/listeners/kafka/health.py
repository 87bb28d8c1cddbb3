"""How the consumer is doing: its state, what is shown in `status()`, what is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocean_actors.actors import Clock, Message
from ocean_actors.frozen import freeze
from ocean_actors.listeners.kafka.kafka_python import text_of
from ocean_actors.listeners.kafka.messages import HealthChanged
from ocean_actors.listeners.kafka.offsets import OffsetTracker, Partition
from ocean_actors.listeners.kafka.scanner import Scanner
from ocean_actors.listeners.kafka.subscription import Place
from ocean_actors.log import get_logger
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

ConsumerState = Literal[
    "connecting",
    "joining",
    "active",
    "standby",
    "waiting for the topic",
    "unreachable",
    "failing",
]

TRANSIENT: frozenset[ConsumerState] = frozenset({"connecting", "joining", "failing"})
"""States that are expected to change soon."""

WELL: frozenset[ConsumerState] = frozenset({"active", "standby"})


@dataclass(frozen=True)
class Observation:
    """What was seen of a connected consumer."""

    reachable: bool  # a broker is connected
    leads: bool  # the partition that confers the role is ours
    topic_exists: bool
    joined: bool  # the group has accepted us, and we know what it has assigned us


def state_of(seen: Observation, before: ConsumerState) -> ConsumerState:
    """Returns the state that follows `before` when `seen` is observed."""
    if not seen.reachable:
        return before if before in ("connecting", "failing") else "unreachable"
    if seen.leads:
        return "active"
    if not seen.topic_exists:
        return "waiting for the topic"
    return "standby" if seen.joined else "joining"


class ConsumerHealth:
    """The consumer's state and last error. Tells `HealthChanged`, and logs what is new.

    `failures` counts the failed attempts since all was well. Used by the consumer's thread only.
    """

    def __init__(self, tell: Callable[[Message], None], clock: Clock) -> None:
        self.state: ConsumerState = "connecting"
        self.failures = 0
        self._tell = tell
        self._error: str | None = None
        self._logged_state: ConsumerState | None = None
        self._logged_error: str | None = None
        self._shown: Mapping[str, Any] = {}
        self._commits = {"succeeded": 0, "failed": 0}
        self._throttles = {
            kind: Throttle(clock)
            for kind in ("state", "trouble", "unreadable messages", "damaged batches")
        }

    def show(
        self,
        state: ConsumerState,
        place: Place | None,
        scanner: Scanner | None,
        offsets: OffsetTracker,
        lags: Mapping[Partition, int],
    ) -> None:
        """Enter `state`, and tell the listener if anything that `status()` shows has changed.

        `lags` are how many messages of each partition have not been read.
        """
        self.state = state
        if state in WELL:
            self.failures = 0
            self._error = self._logged_error = None
        if state != self._logged_state:
            self._logged_state = state
            self._log(state, place.topic if place is not None else None)
        details = self._details(place, scanner, offsets, lags)
        if details != self._shown:
            self._shown = details
            self._tell(HealthChanged(freeze(details)))

    def count_commit(self, *, succeeded: bool) -> None:
        """Count an answer to a commit of offsets."""
        self._commits["succeeded" if succeeded else "failed"] += 1

    def fail(self, error: Exception, what_now: str) -> None:
        """Remember `error`. The log names each error once until all is well again."""
        self._error = text_of(error)
        if self._error != self._logged_error:
            self._logged_error = self._error
            self.warn("trouble", "Kafka: %s; %s", self._error, what_now)

    def unreachable(self, error: Exception | None) -> None:
        """Remember why no broker can be reached."""
        if error is not None:
            self._error = text_of(error)

    def warn(self, kind: str, text: str, *arguments: object) -> None:
        """Log a warning, unless there were too many of that kind lately."""
        if self._throttles[kind].admit().admitted:
            logger.warning(text, *arguments)

    def _log(self, state: ConsumerState, topic: str | None) -> None:
        match state:
            case "active":
                logger.info(
                    "this instance leads: it is consuming the topic %s, and runs the resyncs", topic
                )
            case "standby":
                logger.info("standing by: another instance consumes %s", topic)
            case "waiting for the topic":
                self.warn("state", "the topic %s does not exist yet", topic)
            case "unreachable":
                cause = "" if self._error is None else f": {self._error}"
                self.warn("state", "no Kafka broker can be reached%s", cause)

    def _details(
        self,
        place: Place | None,
        scanner: Scanner | None,
        offsets: OffsetTracker,
        lags: Mapping[Partition, int],
    ) -> dict[str, Any]:
        details: dict[str, Any] = {"state": self.state, "error": self._error}
        if place is not None:
            details |= {"topic": place.topic, "group": place.group, "brokers": list(place.brokers)}
        if scanner is not None:
            details |= {
                "messages": scanner.messages,
                "requests": scanner.requests,
                "updates": scanner.updates,
                "irrelevant": dict(scanner.irrelevant),
                "unreadable": dict(scanner.unreadable),
                "damaged": scanner.damaged,
            }
        details["owed"] = offsets.unsettled
        details["positions"] = _by_name(offsets.positions())
        details["lag"] = _by_name(lags)
        details["commits"] = dict(self._commits)
        return details


def _by_name(values: Mapping[Partition, int]) -> dict[str, int]:
    return {f"{topic}/{number}": value for (topic, number), value in values.items()}
