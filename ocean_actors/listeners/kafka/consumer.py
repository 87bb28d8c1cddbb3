"""The thread that reads a topic. kafka-python's consumer is for one thread, which is this one.

It never stops polling while it is a member of the group, however long a run takes: the broker
would take its partitions away. Results reach it through a queue, looked at between two polls.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.structs import OffsetAndMetadata, TopicPartition

from ocean_actors.actors import Backoff, Cancelled, Clock, Message
from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.listeners.kafka.offsets import OffsetTracker, Partition
from ocean_actors.listeners.kafka.scanner import Finding, Scanner
from ocean_actors.listeners.kafka.subscription import Place
from ocean_actors.port.errors import PortError
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

logger = logging.getLogger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=10.0)
IDLE_SLICE = 0.2  # seconds of one poll: how late a stop is noticed
OWING_SLICE = 0.05  # and while something may settle
BATCH = 4_000  # records of one poll
OBSERVE_SECONDS = 0.5  # between two looks at how things stand
UNSETTLED = ("connecting", "joining")  # looked at after every poll
ASK_AGAIN_SECONDS = 5.0  # without a broker, then Port is asked whether anything has changed
UNREACHABLE_SECONDS = 300.0  # then all is begun anew
FAILED_POLLS = 50  # in a row, then a new consumer is tried
COMMIT_SECONDS = 0.3  # for the last commit
LEAVE_SECONDS = 0.5  # for the good-bye to the group

OPTIONS: dict[str, Any] = {
    "client_id": "ocean-actors",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # where reading begins is decided here
    "metadata_max_age_ms": 60_000,
    "reconnect_backoff_max_ms": 1_000,
    "bootstrap_timeout_ms": 5_000,
    "metrics_enabled": False,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,  # fewer turns with kafka-python's thread
}


@dataclass(frozen=True)
class Heard(Message):
    """Somebody wants a resync. To be settled by `delivery_tag`."""

    delivery_tag: int
    reason: str
    finding: Finding | None


@dataclass(frozen=True)
class RoleHeard(Message):
    """How long a partition of the topic is ours; None: another instance serves it, or nobody."""

    lease: Lease | None


@dataclass(frozen=True)
class StateHeard(Message):
    """How things stand, as plain data."""

    details: FrozenDict


@dataclass(frozen=True)
class ThreadFailed(Message):
    """The thread ended by a mistake of ours."""

    error: BaseException


class Heartbeat(Protocol):
    """What is used of kafka-python's: when (monotonic seconds) one was sent, and answered well."""

    last_send: float
    last_receive: float


class Lease:
    """The time that a partition is ours. `holds` may be asked in any thread.

    A process that slept through its session, as one on a paused machine does, is for a moment
    the last to know that another took over. So after a long gap between two ticks nothing holds
    until the broker has answered a heartbeat that was sent since.
    """

    def __init__(self, clock: Clock, session_seconds: float) -> None:
        self._clock = clock
        self._longest_gap = session_seconds / 2  # the last heartbeat before it was some time ago
        self._ended = False
        self._doubted_at: float | None = None
        self._ticked_at = clock.monotonic()

    def tick(self, heartbeat: Heartbeat) -> None:
        """In the thread that reads, between two polls."""
        now, doubted_at = self._clock.monotonic(), self._doubted_at
        if now - self._ticked_at > self._longest_gap:
            self._doubted_at = now
        elif doubted_at is not None and doubted_at < heartbeat.last_send <= heartbeat.last_receive:
            self._doubted_at = None
        self._ticked_at = now  # last: `holds` looks at it first

    def end(self) -> None:
        """It is over, for good."""
        self._ended = True

    def valid(self) -> bool:
        """Whether it lasts, for all that can be known."""
        awake = self._clock.monotonic() - self._ticked_at <= self._longest_gap
        return awake and self._doubted_at is None and not self._ended


class TopicConsumer:
    """Reads for `identifier` at the place that `find` says, and tells what it hears.

    `find` is called in the thread, before every new connection; it may raise PortError. Nothing
    of what goes wrong outside ends the thread: it is tried again, at growing intervals.
    """

    def __init__(
        self,
        find: Callable[[], Place],
        options: Callable[[Place], dict[str, Any]],
        identifier: str,
        *,
        poll_seconds: float,
        session_seconds: float,
        started_ms: int,
        tell: Callable[[Message], None],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._find = find
        self._options = options
        self._identifier = identifier
        self._poll_seconds = poll_seconds
        self._session_seconds = session_seconds
        self._started_ms = started_ms
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._stopping = threading.Event()
        self._settled: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self._connecting: KafkaNetClient | None = None
        self._offsets = OffsetTracker()
        self._scanner: Scanner | None = None
        self._place: Place | None = None
        self._delivery_tag = 0
        self._failures = 0
        self._lease: Lease | None = None  # as the actor was told
        self._state = ""
        self._error: str | None = None
        self._shown: Mapping[str, Any] = {}
        self._troubles = Throttle(clock)
        self._unreadable = Throttle(clock)
        self._thread = threading.Thread(target=self._main, name="kafka-consumer", daemon=True)

    # -- from the actor's thread -------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def settled(self, delivery_tag: int, *, alone: bool = False) -> None:
        """What has `delivery_tag` needs nothing more; nor, unless `alone`, do earlier ones."""
        self._settled.put((delivery_tag, alone))

    def stop(self, timeout: float) -> bool:
        """Commit what is settled, leave the group, end the thread; whether it ended in time."""
        self._stopping.set()
        connecting = self._connecting
        if connecting is not None:
            connecting.close()  # it waits for brokers that may not be there
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._set_state("connecting")
                    self._session(self._find())
                except (PortError, kafka_errors.KafkaError, OSError, ValueError) as error:
                    if not self._stopping.is_set():
                        self._pause(error)
        except Cancelled:
            pass  # the client of Port was cancelled: all ends
        except BaseException as error:  # noqa: BLE001  (it is raised again in the actor)
            self._tell(ThreadFailed(error))

    def _session(self, place: Place) -> None:
        """Be a member of the group until stopped. Raises what a new consumer may cure."""
        if self._scanner is None or self._place is None or self._place.topic != place.topic:
            self._scanner = Scanner(self._identifier, requests_only=place.requests_only)
        self._place = place
        consumer, client = self._connect(place)
        try:
            consumer.subscribe([place.topic], listener=Partitions(self._taken, self._lost))
            self._poll(consumer, client, place, self._scanner)
        finally:
            self._leave(consumer)

    def _connect(self, place: Place) -> tuple[KafkaConsumer, KafkaNetClient]:
        made: list[KafkaNetClient] = []

        def make_client(**options: Any) -> KafkaNetClient:
            net = NetworkSelector(**options)
            made.append(KafkaNetClient(net, Connections(net, **options)))
            self._connecting = made[0]
            return made[0]

        try:
            consumer = KafkaConsumer(
                **OPTIONS,
                **self._options(place),
                kafka_client=make_client,
                partition_assignment_strategy=(Assignor(lambda: self._offsets.partitions),),
            )  # raises also when stop() closes the client
        except BaseException as error:
            for client in made:
                client.close()  # else its thread goes on for ever
                if isinstance(error, kafka_errors.KafkaTimeoutError):
                    _connections(client).check()  # which it retried until its time was up
            raise
        finally:
            self._connecting = None
        return consumer, made[0]

    def _poll(
        self, consumer: KafkaConsumer, client: KafkaNetClient, place: Place, scanner: Scanner
    ) -> None:
        failed = 0
        observed = float("-inf")
        reached = asked = self._clock.monotonic()
        while not self._stopping.is_set():
            _connections(client).check()
            if self._lease is not None:
                self._lease.tick(consumer._coordinator.heartbeat)  # noqa: SLF001
            self._take_settled()
            self._commit(consumer)
            now = self._clock.monotonic()
            if now - observed >= OBSERVE_SECONDS or self._state in UNSETTLED:
                observed = now
                if self._observe(consumer, client, place):
                    reached = asked = now
                elif now - reached > UNREACHABLE_SECONDS:
                    raise kafka_errors.KafkaConnectionError("no broker can be reached any more")
                elif now - asked > ASK_AGAIN_SECONDS:
                    asked = now
                    self._ask_again(place)
            longest = OWING_SLICE if self._offsets.owed else IDLE_SLICE
            wait = round(min(self._poll_seconds, longest) * 1000)
            try:
                batches = consumer.poll(timeout_ms=wait, max_records=BATCH)
                known = self._lease is not None or batches or self._nothing_waits(consumer)
            except kafka_errors.NoOffsetForPartitionError as error:
                self._begin(consumer, error.args[0])
            except kafka_errors.OffsetOutOfRangeError as error:
                self._missed(consumer, error.args[0])
            except kafka_errors.RetriableError as error:
                failed += 1
                if failed == FAILED_POLLS:
                    raise
                self._trouble(error, "the consumer goes on")
                self._stopping.wait(IDLE_SLICE)
            else:
                failed = 0
                if batches:
                    self._take(batches, scanner, place)
                if known and self._lease is None:  # what is owed was told before a run can start
                    self._lease = Lease(self._clock, self._session_seconds)
                    self._tell(RoleHeard(self._lease))

    def _ask_again(self, place: Place) -> None:
        """Begin anew if Port names other credentials: a refusal often looks like a lost line."""
        try:
            found = self._find()
        except PortError as error:
            self._trouble(error, "the consumer goes on")
            return
        if found != place:
            raise kafka_errors.KafkaConnectionError("Port names other credentials now")

    def _take(
        self, batches: Mapping[TopicPartition, list[Any]], scanner: Scanner, place: Place
    ) -> None:
        """Judge what was read. All that one poll brings and asks for is answered by one resync."""
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
            self._tell(Heard(self._delivery_tag, found.reason, found))
        if scanner.unreadable.total() > unreadable:
            if self._unreadable.admit().admitted:
                logger.warning(
                    "skipped messages of %s that cannot be read, in all: %s",
                    place.topic, dict(scanner.unreadable),
                )  # fmt: skip

    # -- partitions --------------------------------------------------------------------------

    def _taken(self, partitions: Iterable[Partition]) -> None:
        """In kafka-python's own thread, while this one waits in a poll."""
        for partition in partitions:
            self._offsets.take(partition)

    def _lost(self, partitions: Iterable[Partition]) -> None:
        """In kafka-python's own thread, while this one waits in a poll or closes."""
        for partition in partitions:
            self._offsets.drop(partition)
        lease = self._lease
        if lease is not None and not self._offsets.partitions and not self._stopping.is_set():
            lease.end()
            self._lease = None
            self._tell(RoleHeard(None))

    def _begin(self, consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Nobody ever committed: begin at the end as it was when the process started."""
        wanted = list(partitions)
        found = consumer.offsets_for_times(dict.fromkeys(wanted, self._started_ms), 5_000)
        ends = consumer.end_offsets(wanted, 5_000)
        for partition in wanted:
            since = found.get(partition)
            offset = since.offset if since is not None else ends[partition]
            logger.info("%s %d is read from offset %d on", *partition, offset)
            consumer.seek(partition, offset)
            self._offsets.begin(partition, offset)

    def _nothing_waits(self, consumer: KafkaConsumer) -> bool:
        """Whether there is something of ours, and all of it was read before."""
        partitions = [TopicPartition(*each) for each in self._offsets.partitions]
        if not partitions:
            return False
        ends = consumer.end_offsets(partitions, 1_000)
        return all((consumer.position(each, 1_000) or 0) >= end for each, end in ends.items())

    def _missed(self, consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        """The broker has deleted what was to be read next: a request may have been in it."""
        self._delivery_tag += 1
        for partition, offset in offsets.items():
            logger.warning(
                "%s %d: offset %d is not there any more; a resync stands in for what was missed",
                *partition, offset,
            )  # fmt: skip
            self._offsets.track(partition, offset, self._delivery_tag)
        consumer.seek_to_beginning(*offsets)
        self._tell(Heard(self._delivery_tag, "messages were missed", None))

    # -- offsets -----------------------------------------------------------------------------

    def _take_settled(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                delivery_tag, alone = self._settled.get_nowait()
                if alone:
                    self._offsets.ack(delivery_tag)
                else:
                    self._offsets.ack_through(delivery_tag)

    def _commit(self, consumer: KafkaConsumer) -> None:
        offsets = self._offsets.take_due(self._clock.monotonic())
        if offsets:
            consumer.commit_async(_for_kafka(offsets), callback=self._committed)

    def _committed(self, offsets: Mapping[TopicPartition, Any], answer: object) -> None:
        """In this thread, from within a later poll."""
        if isinstance(answer, Exception):
            self._offsets.failed(tuple(offsets))
            self._trouble(answer, "the commit is tried again")

    def _leave(self, consumer: KafkaConsumer) -> None:
        """Commit what may be committed and let another instance take over at once."""
        self._take_settled()
        offsets = self._offsets.take_committable(self._clock.monotonic())
        try:
            if offsets:
                consumer.commit(_for_kafka(offsets), timeout_ms=round(COMMIT_SECONDS * 1000))
        except kafka_errors.KafkaError as error:
            logger.warning("what was settled last is not committed: %s", one_line(error))
        try:
            consumer.close(autocommit=False, timeout_ms=round(LEAVE_SECONDS * 1000))
        except kafka_errors.KafkaError as error:
            logger.warning("the consumer did not close in good order: %s", one_line(error))
        if self._offsets.partitions:  # the group did not say so
            self._lost(self._offsets.partitions)

    # -- how things stand --------------------------------------------------------------------

    def _observe(self, consumer: KafkaConsumer, client: KafkaNetClient, place: Place) -> bool:
        """Show how things stand; whether a broker is connected."""
        reachable = any(client.connected(broker.node_id) for broker in client.cluster.brokers())
        if not reachable:
            self._set_state("unreachable" if self._state != "connecting" else "connecting")
        elif self._offsets.partitions:
            self._well("active")
        elif not client.cluster.partitions_for_topic(place.topic):
            client.cluster.request_update()
            self._set_state("waiting for the topic")
        elif consumer.group_metadata().state is MemberState.STABLE:
            self._well("standby")
        else:
            self._set_state("joining")
        return reachable

    def _well(self, state: str) -> None:
        self._failures = 0
        self._error = None
        self._set_state(state)

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._say(state)
        details = self._details()
        if details != self._shown:
            self._shown = details
            self._tell(StateHeard(freeze(details)))

    def _say(self, state: str) -> None:
        topic = self._place.topic if self._place is not None else None
        match state:
            case "active":
                logger.info("consuming %s", topic)
            case "standby":
                logger.info("standing by: another instance consumes %s", topic)
            case "waiting for the topic":
                self._warn("there is no topic %s (yet)", topic)
            case "unreachable":
                self._warn("no Kafka broker can be reached", None)

    def _details(self) -> dict[str, Any]:
        place, scanner = self._place, self._scanner
        details: dict[str, Any] = {"state": self._state, "error": self._error}
        if place is not None:
            details |= {"topic": place.topic, "group": place.group, "brokers": list(place.brokers)}
        if scanner is not None:
            details |= {
                "messages": scanner.messages,
                "requests": scanner.requests,
                "updates": scanner.updates,
                "ignored": dict(scanner.ignored),
                "unreadable": dict(scanner.unreadable),
            }
        details["owed"] = self._offsets.owed
        details["positions"] = {
            f"{topic}/{number}": offset
            for (topic, number), offset in self._offsets.positions().items()
        }
        return details

    # -- trouble -----------------------------------------------------------------------------

    def _pause(self, error: Exception) -> None:
        """Wait before a new connection; a stop ends the wait."""
        delay = BACKOFF.delay(self._failures, self._jitter())
        self._failures += 1
        self._trouble(error, f"again in {delay:.1f} s")
        self._set_state("failing")
        self._stopping.wait(delay)

    def _trouble(self, error: Exception, what_now: str) -> None:
        self._error = one_line(error)
        self._warn("Kafka: %s", f"{self._error}; {what_now}")

    def _warn(self, text: str, argument: str | None) -> None:
        if self._troubles.admit().admitted:
            logger.warning(text, *(() if argument is None else (argument,)))


class Connections(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """Tells that a broker refused our credentials; kafka-python 3.0.12 itself only logs it."""

    def __init__(self, net: NetworkSelector, **options: Any) -> None:
        super().__init__(net, **options)
        self.cluster.config["allow_auto_create_topics"] = False  # an option that gets lost
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._refusal: Exception | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Get it, and watch it."""
        connection = super().get_connection(*args, **options)
        if connection not in self._watched:
            self._watched.add(connection)
            connection.close_future.add_errback(self._closed)
        return connection

    def check(self) -> None:
        """Raise what a broker said when it refused our credentials, if one did."""
        if self._refusal is not None:
            raise self._refusal

    def _closed(self, error: Exception) -> None:
        if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
            self._refusal = error
            if not self.bootstrapped:
                self._net.call_soon_threadsafe(
                    self.close
                )  # else it tries again until its time is up


def _connections(client: KafkaNetClient) -> Connections:
    return client._manager  # type: ignore[no-any-return]  # noqa: SLF001


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]  # kafka-python is untyped
    """A newcomer takes nothing away, and nor does one that was away and comes back.

    kafka-python 3.0.12 itself claims, when it joins, also what it has lost: the instance that
    has it since would be made to give it up in mid-run.
    """

    def __init__(self, owned: Callable[[], Iterable[Partition]]) -> None:
        super().__init__()
        self._owned = owned

    def metadata(self, topics: Iterable[str]) -> Any:
        """What to say when joining the group."""
        self.member_assignment = [TopicPartition(*each) for each in self._owned()]
        return super().metadata(topics)


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Hears which partitions come and go. Called while our thread waits in kafka-python."""

    def __init__(
        self,
        taken: Callable[[Iterable[Partition]], None],
        lost: Callable[[Iterable[Partition]], None],
    ) -> None:
        self._taken = taken
        self._lost = lost

    def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        """They are ours."""
        self._taken(assigned)

    def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        """They are to be another's; on_partitions_lost, when they are already, does the same."""
        self._lost(revoked)


def _for_kafka(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
        for partition, offset in offsets.items()
    }
