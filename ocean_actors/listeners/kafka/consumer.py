"""The thread that reads a topic. A kafka-python consumer is for one thread, which is this one.

It keeps polling as long as it is a member of the group, however long a run takes: the broker
would otherwise take its partitions away. Acknowledgements reach it through a queue that it looks
at between two polls.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata, TopicPartition

from ocean_actors.actors import Backoff, Cancelled, Clock, Message
from ocean_actors.errors import OceanError
from ocean_actors.listeners.kafka.health import (
    TRANSIENT,
    ConsumerHealth,
    ConsumerState,
    Observation,
    state_of,
)
from ocean_actors.listeners.kafka.kafka_python import DamagedBatch, GroupConsumer, text_of
from ocean_actors.listeners.kafka.messages import ConsumerFailed, ResyncNeeded
from ocean_actors.listeners.kafka.offsets import OffsetTracker, Partition
from ocean_actors.listeners.kafka.role import Role
from ocean_actors.listeners.kafka.scanner import Finding, Scanner
from ocean_actors.listeners.kafka.subscription import Place
from ocean_actors.log import get_logger
from ocean_actors.port.errors import PortError
from ocean_actors.retry import ONCE

logger = get_logger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=10.0)
IDLE_SECONDS = 0.2  # of one poll: how late a stop is noticed
UNSETTLED_SECONDS = 0.05  # of one poll while something may settle
BATCH = 4_000  # records of one poll
OBSERVE_SECONDS = 0.5  # between two observations
RECHECK_SECONDS = 300.0  # between two questions to Port for the organization and its flags
UNREACHABLE_RECHECK_SECONDS = 5.0  # the same while no broker is reachable
UNREACHABLE_SECONDS = 300.0  # without a broker, then a new consumer is tried
FAILED_POLLS = 50  # in a row, then a new consumer is tried
COMMIT_SECONDS = 0.3  # for the last commit
LEAVE_SECONDS = 0.5  # for leaving the group
MISSED = "messages were missed"


class Reconnect(OceanError):
    """The connection is given up in order to begin anew; the message says why."""


CURABLE = (Reconnect, PortError, kafka_errors.KafkaError, OSError, ValueError)
"""What a new connection may cure; anything else is a bug of ours."""


class TopicConsumer:
    """Reads the messages for `identifier` at the place that `find` names, and tells what it finds.

    `find` is called in the thread, before every new connection and at intervals. `owed` is called
    if the group has never committed an offset, and returns why Port says that a resync is owed,
    or None. Both may raise PortError. No failure of Port or of a broker ends the thread: it tries
    again, at growing intervals.
    """

    def __init__(
        self,
        find: Callable[[], Place],
        owed: Callable[[], str | None],
        options: Callable[[Place], dict[str, Any]],
        identifier: str,
        *,
        poll_seconds: float,
        session_seconds: float,
        started_ms: int,
        tell: Callable[[Message], None],
        clock: Clock,
        jitter: Callable[[], float],
        commits: bool = True,
    ) -> None:
        self._find = find
        self._owed = owed
        self._options = options
        self._identifier = identifier
        self._commits = commits
        self._poll_seconds = poll_seconds
        self._session_seconds = session_seconds
        self._started_ms = started_ms
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._stopping = threading.Event()
        self._acknowledged: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self._offsets = OffsetTracker()
        self._role = Role(self._offsets, session_seconds, self._tell_unless_stopping, clock)
        self._health = ConsumerHealth(tell, clock)
        self._group: GroupConsumer | None = None
        self._scanner: Scanner | None = None
        self._place: Place | None = None
        # Later lives of the listener use higher tags: settlements of old ones acknowledge nothing.
        self._delivery_tag = round(clock.monotonic() * 1_000_000)
        self._failed_polls = 0
        self._observed_at = self._reached_at = self._asked_at = self._ask_from = float("-inf")
        self._thread = threading.Thread(target=self._main, name="kafka-consumer", daemon=True)

    # -- called by the listener --------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def acknowledge(self, delivery_tag: int, *, alone: bool) -> None:
        """The request with `delivery_tag` has settled and, unless `alone`, all earlier ones."""
        self._acknowledged.put((delivery_tag, alone))

    def stop(self, timeout: float) -> bool:
        """Commit what has settled, leave the group and end the thread.

        Returns whether the thread ended within `timeout` seconds.
        """
        self._stopping.set()
        group = self._group
        if group is not None:
            group.abort()  # it may be waiting for brokers that are down
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    if not self._health.failures:
                        self._show("connecting")
                    self._session(self._find())
                except CURABLE as error:
                    if not self._stopping.is_set():
                        self._pause(error)
        except Cancelled:
            return  # the client of Port was cancelled, as the system stops
        except BaseException as error:  # noqa: BLE001  (the listener raises it)
            self._tell(ConsumerFailed(error))

    def _session(self, place: Place) -> None:
        """Be a member of the group until stopped. Raises what a new consumer may cure."""
        if self._scanner is None or self._place is None or self._place.topic != place.topic:
            self._scanner = Scanner(self._identifier, requests_only=place.requests_only)
        self._place = place
        self._role.join(place.topic)
        group = self._group = GroupConsumer(
            self._options(place),
            owned=lambda: self._offsets.partitions,
            confirmed=self._role.confirm,
            clock=self._clock,
        )
        if self._stopping.is_set():
            return  # `stop` came before there was something to abort
        group.connect()
        self._observed_at = float("-inf")
        self._reached_at = self._asked_at = self._clock.monotonic()
        self._failed_polls = 0
        try:
            group.subscribe(place.topic, self._on_assigned, self._on_revoked)
            while not self._stopping.is_set():
                group.check()
                self._check_role(group)
                self._take_acknowledged()
                self._commit(group)
                self._observe(group, place)
                self._poll(group, place, self._scanner)
        finally:
            self._leave(group)

    def _poll(self, group: GroupConsumer, place: Place, scanner: Scanner) -> None:
        longest = UNSETTLED_SECONDS if self._offsets.unsettled else IDLE_SECONDS
        try:
            batches = group.poll(min(self._poll_seconds, longest), BATCH)
            known = self._role.held or batches or self._is_at_end(group)
        except kafka_errors.NoOffsetForPartitionError as error:
            self._begin(group, error.args[0])
        except kafka_errors.OffsetOutOfRangeError as error:
            self._resume_after_gap(group, error.args[0])
        except DamagedBatch as error:
            self._skip(group, error, scanner)
        except kafka_errors.RetriableError as error:
            self._failed_polls += 1
            if self._failed_polls == FAILED_POLLS:
                raise
            self._health.fail(error, "the consumer goes on")
            self._stopping.wait(IDLE_SECONDS)
        else:
            self._failed_polls = 0
            if batches:
                self._scan(batches, scanner, place)
            if known and not self._role.held:  # requests are told before a run can start
                self._role.take()

    def _scan(
        self, batches: Mapping[TopicPartition, list[Any]], scanner: Scanner, place: Place
    ) -> None:
        """Interpret what was read. One resync answers everything that one poll asks for."""
        found: Finding | None = None
        unreadable = scanner.unreadable.total()
        for partition, records in batches.items():
            finding = scanner.scan(records)
            if finding is not None:
                if found is None:
                    self._delivery_tag += 1
                self._offsets.track(partition, finding.offset, self._delivery_tag)
                found = finding if found is None else found.joined(finding)
            self._offsets.read(partition, records[-1].offset + 1)
        if found is not None:
            self._tell(ResyncNeeded(self._delivery_tag, found.reason, found))
        if scanner.unreadable.total() > unreadable:
            self._health.warn(
                "unreadable messages", "skipped unreadable messages of %s, in total: %s",
                place.topic, dict(scanner.unreadable),
            )  # fmt: skip

    # -- partitions --------------------------------------------------------------------------

    def _check_role(self, group: GroupConsumer) -> None:
        """Raise Reconnect if the broker has not confirmed our membership for too long."""
        if self._role.expired:
            self._role.end()
            group.forget_membership()  # leaving would let the other one start while our run ends
            raise Reconnect(
                "no heartbeat was answered for two thirds of sessionTimeout "
                f"({self._session_seconds:g} s); the role is given up"
            )

    def _on_assigned(self, partitions: Iterable[Partition]) -> None:
        """In kafka-python's thread, while this one waits in a poll."""
        for partition in partitions:
            self._offsets.assign(partition)

    def _on_revoked(self, partitions: Iterable[Partition]) -> None:
        """In kafka-python's thread, while this one waits in a poll or closes."""
        for partition in partitions:
            self._offsets.revoke(partition)
        if not self._role.assigned():
            self._role.end()

    # -- where to read -----------------------------------------------------------------------

    def _begin(self, group: GroupConsumer, partitions: Iterable[TopicPartition]) -> None:
        """The group has no offset: begin with the first message since the process started.

        Only Port may know what was requested before, so Port is asked, unless we have the role
        already and the topic has merely gained partitions. Raises PortError.
        """
        reason = None if self._role.held else self._owed()
        offsets = group.offsets_at(self._started_ms, list(partitions))
        if reason is not None:
            self._delivery_tag += 1
        for partition, offset in offsets.items():
            logger.info("%s, partition %d, is read from offset %d", *partition, offset)
            group.consumer.seek(partition, offset)
            self._offsets.begin(partition, offset)
            if reason is not None:  # with an offset committed, Port would not be asked again
                self._offsets.track(partition, None, self._delivery_tag)
        if reason is not None:
            self._tell(ResyncNeeded(self._delivery_tag, reason, None))

    def _is_at_end(self, group: GroupConsumer) -> bool:
        """Returns whether partitions are assigned, and all that is in them has been read."""
        partitions = [TopicPartition(*each) for each in self._offsets.partitions]
        return bool(partitions) and group.is_at_end(partitions)

    def _resume_after_gap(
        self, group: GroupConsumer, offsets: Mapping[TopicPartition, int]
    ) -> None:
        """The broker has deleted what was to be read next; there may have been a request in it."""
        self._delivery_tag += 1
        for partition, offset in offsets.items():
            logger.warning(
                "%s, partition %d: offset %d no longer exists; a resync stands in for the missed "
                "messages",
                *partition, offset,
            )  # fmt: skip
            self._offsets.track(partition, offset, self._delivery_tag)
        group.consumer.seek_to_beginning(*offsets)
        self._tell(ResyncNeeded(self._delivery_tag, MISSED, None))

    def _skip(self, group: GroupConsumer, damage: DamagedBatch, scanner: Scanner) -> None:
        """A batch cannot be read; there may have been a request in it."""
        partition, offset = damage.partition, damage.offset
        end = group.consumer.highwater(partition) or offset + 1
        next_offset = max(offset + 1, min(damage.next_offset, end))
        scanner.damaged += 1
        self._health.warn(
            "damaged batches", "%s, partition %d: offsets %d to %d cannot be read (%s); a resync "
            "stands in for them", *partition, offset, next_offset - 1, damage.cause,
        )  # fmt: skip
        self._delivery_tag += 1
        self._offsets.track(partition, offset, self._delivery_tag)
        group.consumer.seek(partition, next_offset)
        self._offsets.read(partition, next_offset)
        self._tell(ResyncNeeded(self._delivery_tag, MISSED, None))

    # -- offsets -----------------------------------------------------------------------------

    def _take_acknowledged(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                delivery_tag, alone = self._acknowledged.get_nowait()
                if alone:
                    self._offsets.ack(delivery_tag)
                else:
                    self._offsets.ack_through(delivery_tag)

    def _commit(self, group: GroupConsumer) -> None:
        offsets = self._offsets.take_due(self._clock.monotonic())
        if offsets and self._commits:
            group.consumer.commit_async(_for_kafka(offsets), callback=self._on_committed)

    def _on_committed(self, offsets: Mapping[TopicPartition, Any], answer: object) -> None:
        """In this thread, from within a later poll."""
        self._health.count_commit(succeeded=not isinstance(answer, Exception))
        if isinstance(answer, Exception):
            self._offsets.failed(tuple(offsets))
            self._health.fail(answer, "the commit is retried")

    def _leave(self, group: GroupConsumer) -> None:
        """Commit what may be committed, and let another instance take over at once."""
        self._take_acknowledged()
        offsets = self._offsets.take_committable(self._clock.monotonic())
        try:
            if offsets and self._commits and group.is_member():
                group.consumer.commit(_for_kafka(offsets), timeout_ms=round(COMMIT_SECONDS * 1000))
                self._health.count_commit(succeeded=True)
        except kafka_errors.KafkaError as error:
            self._health.count_commit(succeeded=False)
            logger.warning("the last settled offsets were not committed: %s", text_of(error))
        try:
            group.consumer.close(autocommit=False, timeout_ms=round(LEAVE_SECONDS * 1000))
        except kafka_errors.KafkaError as error:
            logger.warning("the consumer did not close properly: %s", text_of(error))
        if self._offsets.partitions:  # the group did not say so
            self._on_revoked(self._offsets.partitions)

    # -- health ------------------------------------------------------------------------------

    def _observe(self, group: GroupConsumer, place: Place) -> None:
        """Show how things stand, and ask Port from time to time whether to read elsewhere."""
        now = self._clock.monotonic()
        if now - self._observed_at < OBSERVE_SECONDS and self._health.state not in TRANSIENT:
            return
        self._observed_at = now
        reachable = group.reachable()
        if reachable:
            self._reached_at = now
            asked_at, interval = self._asked_at, RECHECK_SECONDS
        else:
            self._health.unreachable(group.failure)
            asked_at = max(self._asked_at, self._reached_at)
            interval = UNREACHABLE_RECHECK_SECONDS
        joined = group.joined()  # before `leads`, which may become true meanwhile
        seen = Observation(
            reachable=reachable,
            leads=self._role.assigned(),
            topic_exists=reachable and group.has_topic(place.topic),
            joined=joined,
        )
        self._show(state_of(seen, self._health.state))
        if now - self._reached_at > UNREACHABLE_SECONDS:
            raise Reconnect("no broker can be reached any more")
        if now - asked_at > interval and now >= self._ask_from:
            self._recheck(place, reachable=reachable)

    def _recheck(self, place: Place, *, reachable: bool) -> None:
        """Raise if Port names another topic, or, while no broker is reachable, another login.

        A refused login often looks like a lost connection.
        """
        self._asked_at = self._clock.monotonic()
        try:
            found = self._find()
        except PortError as error:
            self._ask_from = self._asked_at + _asked_wait(error)
            self._health.fail(error, "the consumer goes on")
            return
        if (found.topic, found.group) != (place.topic, place.group) or (
            found != place and not reachable
        ):
            raise Reconnect("Port names another topic or another login")

    def _tell_unless_stopping(self, message: Message) -> None:
        if not self._stopping.is_set():
            self._tell(message)

    def _show(self, state: ConsumerState) -> None:
        group, positions = self._group, self._offsets.positions()
        lags = group.lags(positions) if group is not None else {}
        self._health.show(state, self._place, self._scanner, self._offsets, lags)

    def _pause(self, error: Exception) -> None:
        """Wait before a new connection; a stop ends the wait."""
        delay = BACKOFF.delay(self._health.failures, self._jitter()) + _asked_wait(error)
        self._health.failures += 1
        self._health.fail(error, f"retrying in {delay:.1f} s")
        self._show("failing")
        self._stopping.wait(delay)


def _asked_wait(error: Exception) -> float:
    """Returns how many seconds Port asks us to wait; 0 if it does not."""
    asked = error.asked_wait if isinstance(error, PortError) else None
    return min(asked or 0.0, ONCE.longest)


def _for_kafka(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
        for partition, offset in offsets.items()
    }
