"""Everything that relies on private parts of kafka-python (written for 3.0.12).

The rest of the package uses `GroupConsumer` and the public methods of its `consumer`.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.heartbeat import Heartbeat
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket, create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from kafka.structs import MemberState, TopicPartition

from ocean_actors.actors import Clock
from ocean_actors.listeners.kafka.offsets import Partition
from ocean_actors.text import one_line

OPTIONS: dict[str, Any] = {
    "client_id": "ocean-actors",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # the consumer decides where reading begins
    "metadata_max_age_ms": 60_000,
    "reconnect_backoff_max_ms": 1_000,
    "bootstrap_timeout_ms": 5_000,
    "metrics_enabled": False,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,  # fewer turns with kafka-python's own thread
}

LOOKUP_MS = 5_000  # for a question for offsets
START_SECONDS = 5.0  # for a new thread to begin

WIRE_LOGGERS = ("kafka.net.connection", "kafka.net.transport", "kafka.protocol.parser")
"""The loggers that print whole requests, and so passwords, at level DEBUG."""


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


for _name in WIRE_LOGGERS:
    logging.getLogger(_name).addFilter(_above_debug)

TIMED_OUT = "Connection timed out"
"""What kafka-python says of a connection that took too long, or longer than was left."""


def _is_timeout(error: Exception) -> bool:
    timeouts = (kafka_errors.RequestTimedOutError, kafka_errors.KafkaTimeoutError)
    return isinstance(error, timeouts) or TIMED_OUT in str(error)


class BrokersUnreachable(kafka_errors.KafkaError):  # type: ignore[misc]  # kafka-python is untyped
    """None of the brokers accepted a connection; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


def text_of(error: Exception) -> str:
    """Returns an error as one line; those of kafka-python begin with their type already."""
    return one_line(str(error) if isinstance(error, kafka_errors.KafkaError) else error)


class GroupConsumer:
    """A `KafkaConsumer` that reports when the broker has confirmed its membership of the group.

    `confirmed` is called, in kafka-python's thread, with the time (`clock.monotonic()`) at which
    a heartbeat or a join request was sent that the broker has answered. `owned` says which
    partitions are assigned. One thread uses the consumer; `abort` may be called by any.
    """

    consumer: KafkaConsumer

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        owned: Callable[[], Iterable[Partition]],
        confirmed: Callable[[float], None],
        clock: Clock,
    ) -> None:
        self._options = options
        self._assignor = Assignor(owned, confirmed, clock)
        self._confirmed = confirmed
        self._clock = clock
        self._client: Client | None = None
        self._connected = False
        self._aborted = threading.Event()

    def connect(self) -> None:
        """Connect to a broker, within `bootstrap_timeout_ms`.

        Raises BrokersUnreachable, another KafkaError if a broker refused us or `abort` was
        called, OSError or ValueError if the options cannot be used.
        """
        try:
            self.consumer = KafkaConsumer(
                **OPTIONS,
                **self._options,
                kafka_client=self._make_client,
                partition_assignment_strategy=(self._assignor,),
            )
        except BaseException as error:
            if self._client is not None:
                self._client.close()  # otherwise its thread goes on for ever
                if isinstance(error, kafka_errors.KafkaTimeoutError):
                    raise self._bootstrap_failure() from error
            if self._aborted.is_set() and isinstance(error, RuntimeError):  # of a closed selector
                raise kafka_errors.KafkaConnectionError("aborted") from None
            raise
        self._connected = True
        if self._aborted.is_set():  # `abort` may have closed the client already
            self._require_client().close()
            raise kafka_errors.KafkaConnectionError("aborted")
        coordinator = self.consumer._coordinator  # noqa: SLF001  (no public way)
        coordinator.heartbeat = ConfirmedHeartbeat(
            self._confirmed, self._clock, **coordinator.config
        )
        self.consumer._fetcher.PartitionRecords = CheckedRecords  # noqa: SLF001  (no public way)

    def abort(self) -> None:
        """End a `connect` that is waiting for brokers; has no effect on a connected consumer."""
        self._aborted.set()
        if self._client is not None and not self._connected:
            self._client.close()

    def subscribe(
        self,
        topic: str,
        assigned: Callable[[Iterable[Partition]], None],
        revoked: Callable[[Iterable[Partition]], None],
    ) -> None:
        """Join the group to read `topic`. The callbacks hear which partitions come and go.

        They are called in kafka-python's thread, while the consumer's thread polls or closes.
        """
        self.consumer.subscribe([topic], listener=RebalanceListener(assigned, revoked))

    def poll(self, seconds: float, max_records: int) -> dict[TopicPartition, list[Any]]:
        """Returns the next records, by partition, after waiting for them up to `seconds`.

        Raises a KafkaError; DamagedBatch if the next batch cannot be read.
        """
        coordinator = self.consumer._coordinator  # noqa: SLF001  (no public way)
        if coordinator._join_task is not None:  # noqa: SLF001  (no public way)
            # kafka-python 3.0.12 forgets a join that outlasts a poll if new partitions caused it
            coordinator.request_rejoin()
        records: dict[TopicPartition, list[Any]] = self.consumer.poll(
            timeout_ms=round(seconds * 1000), max_records=max_records
        )
        return records

    def offsets_at(
        self, milliseconds: int, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Returns each partition's first offset since a time (epoch milliseconds), or its end."""
        found = self.consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds), LOOKUP_MS)
        ends = self.consumer.end_offsets(partitions, LOOKUP_MS)
        return {
            each: ends[each] if found.get(each) is None else found[each].offset
            for each in partitions
        }

    def is_at_end(self, partitions: list[TopicPartition]) -> bool:
        """Returns whether all that is in the partitions has been read."""
        ends = self.consumer.end_offsets(partitions, 1_000)
        return all((self.consumer.position(each, 1_000) or 0) >= end for each, end in ends.items())

    def lags(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """Returns how many messages wait after `positions`, where the broker has said so."""
        ends = {}
        for partition in positions:
            with contextlib.suppress(kafka_errors.IllegalStateError):  # it is not ours any more
                ends[partition] = self.consumer.highwater(TopicPartition(*partition))
        return {
            partition: max(0, end - positions[partition])
            for partition, end in ends.items()
            if end is not None
        }

    def forget_membership(self) -> None:
        """Keep `close` from leaving the group: the broker then waits for the session timeout."""
        self.consumer._coordinator.reset_generation()  # noqa: SLF001  (no public way)

    def check(self) -> None:
        """Raise the error with which a broker refused our credentials, if one did."""
        refusal = self._connections().refusal
        if refusal is not None:
            raise refusal

    @property
    def failure(self) -> Exception | None:
        """Why the last connection that failed did so."""
        return self._connections().failure

    def reachable(self) -> bool:
        """Returns whether a broker is connected."""
        client = self._require_client()
        return any(client.connected(broker.node_id) for broker in client.cluster.brokers())

    def has_topic(self, topic: str) -> bool:
        """Returns whether the brokers know `topic`. If not, they are asked again soon."""
        cluster = self._require_client().cluster
        if cluster.partitions_for_topic(topic):
            return True
        cluster.request_update()
        return False

    def is_member(self) -> bool:
        """Returns whether the group has given us a member id that is not forgotten."""
        return bool(self.consumer.group_metadata().member_id)

    def joined(self) -> bool:
        """Returns whether the group is not rebalancing and `owned` says what it has assigned us."""
        stable = self.consumer.group_metadata().state is MemberState.STABLE
        return stable and self._assignor.heard()

    def _make_client(self, **options: Any) -> Client:
        net = Selector(**options)
        self._client = Client(net, Connections(net, **options))
        if self._aborted.is_set():
            self._client.close()
        return self._client

    def _bootstrap_failure(self) -> Exception:
        connections = self._connections()
        if connections.refusal is not None:
            return connections.refusal
        brokers = ", ".join(self._options["bootstrap_servers"])
        cause = "no answer" if connections.failure is None else text_of(connections.failure)
        return BrokersUnreachable(f"cannot connect to any of {brokers}: {cause}")

    def _connections(self) -> Connections:
        return self._require_client()._manager  # type: ignore[no-any-return]  # noqa: SLF001  (no public way)

    def _require_client(self) -> Client:
        assert self._client is not None  # noqa: S101  (made by `connect`)
        return self._client


class Selector(NetworkSelector):  # type: ignore[misc]  # kafka-python is untyped
    """An event loop that any thread may close while another one starts it.

    That of kafka-python would then end its thread with a traceback, or never end it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turns = threading.Lock()  # of the thread that connects, and of the one that aborts it

    def start(self) -> None:
        """Start the thread, and return once it is at work. Raises KafkaError after `close`."""
        begun = threading.Event()
        with self._turns:
            if self._closed:
                raise kafka_errors.KafkaConnectionError("aborted")
            super().start()
            self.call_soon_threadsafe(begun.set)
            begun.wait(START_SECONDS)

    def close(self) -> None:
        """End the thread, and close what it waits with."""
        with self._turns:
            super().close()


class Client(KafkaNetClient):  # type: ignore[misc]  # kafka-python is untyped
    """A client that two threads may close at once: the one that uses it, and one that aborts it.

    That of kafka-python raises RuntimeError in one of them if the other closes the loop first.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._closing = threading.Lock()  # neither thread can send the other one a message

    def close(self, node_id: Any = None) -> None:
        """Close the connection to a node; without `node_id` all connections, and the loop."""
        with self._closing:
            super().close(node_id)


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python is untyped
    """Connects without a proxy, and closes the socket if that fails."""

    SCHEMES = ("direct",)  # kafka-python uses this class if `proxy_url` has this scheme
    URL = "direct:"

    async def sock_connect(
        self, net: NetworkSelector, sock: socket.socket, *args: Any, **options: Any
    ) -> Any:
        """Returns `sock`, connected."""
        try:
            return await super().sock_connect(net, sock, *args, **options)
        except BaseException:  # also if the attempt is cancelled, as the consumer is closed
            sock.close()
            raise


class TlsTransport(KafkaSSLTransport):  # type: ignore[misc]  # kafka-python is untyped
    """TLS over a connected socket. That of kafka-python waits for ever for a broker that is silent.

    `timeout_at` is a time of `time.monotonic()`, None for no bound.
    """

    def __init__(
        self, net: NetworkSelector, sock: socket.socket, timeout_at: float | None, **options: Any
    ) -> None:
        super().__init__(net, sock, **options)
        self._timeout_at = timeout_at

    async def handshake(self) -> None:
        """Agree on keys with the broker. Raises OSError, or KafkaTimeoutError at `timeout_at`."""
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._net.wait_read(self._sock, timeout_at=self._timeout_at)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(self._sock, timeout_at=self._timeout_at)
            else:
                return


class Connections(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """Keeps the errors with which connections ended; kafka-python itself only logs them.

    Leaves no socket open if a connection fails; kafka-python leaves it to the garbage collector.
    """

    def __init__(self, net: NetworkSelector, **options: Any) -> None:
        super().__init__(net, **options)
        self.cluster.config["allow_auto_create_topics"] = False  # kafka-python loses this option
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self.refusal: Exception | None = None  # of our credentials
        self.failure: Exception | None = None  # of whatever kind, the last one

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Returns the connection to a broker, after making sure that its end is noticed."""
        connection = super().get_connection(*args, **options)
        if connection not in self._watched:
            self._watched.add(connection)
            connection.close_future.add_errback(self._on_closed)
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        """Returns a connected transport. The same as in kafka-python 3.0.12, except that it
        closes what it has opened if it fails or is cancelled, and bounds the handshake.
        """
        with contextlib.ExitStack() as unless_connected:
            sock = await create_connection(
                self._net,
                node.host,
                node.port,
                self.config["socket_options"],
                proxy_url=self.config["proxy_url"] or ClosingSocket.URL,
                timeout_at=timeout_at,
            )
            unless_connected.enter_context(sock)
            if self.ssl_enabled:
                tls = {key: value for key, value in self.config.items() if key.startswith("ssl_")}
                transport = TlsTransport(self._net, sock, timeout_at, host=node.host, **tls)
            else:
                transport = KafkaTCPTransport(self._net, sock, host=node.host)
            unless_connected.callback(transport.close)
            try:
                await transport.handshake()
            except OSError as error:
                raise kafka_errors.KafkaConnectionError(f"Handshake failed: {error}") from error
            except kafka_errors.KafkaTimeoutError as error:
                raise kafka_errors.KafkaConnectionError(
                    f"{TIMED_OUT} during the handshake"
                ) from error
            unless_connected.pop_all()
        return transport

    def _on_closed(self, error: Exception) -> None:
        # The last attempt may be cut off by the end of the bootstrap, and then knows no cause.
        if self.failure is None or self.bootstrapped or not _is_timeout(error):
            self.failure = error
        if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
            self.refusal = error
            if not self.bootstrapped:  # otherwise kafka-python retries until its time is up
                self._net.call_soon_threadsafe(self.close)


class ConfirmedHeartbeat(Heartbeat):  # type: ignore[misc]  # kafka-python is untyped
    """Reports, for each heartbeat that the broker answered, when it was sent.

    kafka-python sends a heartbeat only after the one before was answered or given up.
    """

    def __init__(self, confirmed: Callable[[float], None], clock: Clock, **config: Any) -> None:
        super().__init__(**config)
        self._confirmed = confirmed
        self._clock = clock
        self._sent_at = float("-inf")

    def sent_heartbeat(self) -> None:
        """A heartbeat is about to be sent."""
        super().sent_heartbeat()
        self._sent_at = self._clock.monotonic()

    def received_heartbeat(self) -> None:
        """The broker has answered it, and still counts us among the group's members."""
        super().received_heartbeat()
        self._confirmed(self._sent_at)


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]  # kafka-python is untyped
    """Assigns all partitions of the topic to one member: the one that has them already.

    Whoever has the partitions runs the resyncs, so they must not be spread over several members.
    A member that joins claims only what it really owns; kafka-python 3.0.12 also claims what the
    member has lost, and would thus take it away from its present owner during a run.
    """

    def __init__(
        self,
        owned: Callable[[], Iterable[Partition]],
        confirmed: Callable[[float], None],
        clock: Clock,
    ) -> None:
        super().__init__()
        self._owned = owned
        self._confirmed = confirmed
        self._clock = clock
        self._joined_at = float("-inf")
        self._assigned: frozenset[Partition] | None = None  # None: no answer to the last request
        self._topic_missing = False

    def heard(self) -> bool:
        """Returns whether our last request to join was answered, and the listener told of it.

        An assignment that we made before we knew the partitions of the topic does not count.
        """
        return self._assigned == frozenset(self._owned()) and not self._topic_missing

    def metadata(self, topics: Iterable[str]) -> Any:
        """Returns what is sent when joining the group."""
        self._joined_at = self._clock.monotonic()
        self._assigned = None
        self._topic_missing = False
        self.member_assignment = [TopicPartition(*each) for each in self._owned()]
        return super().metadata(topics)

    def on_assignment(self, assignment: Any, generation: int | None = None) -> None:
        """The broker has answered the request to join."""
        super().on_assignment(assignment, generation)
        self._assigned = frozenset((each.topic, each.partition) for each in assignment.partitions())
        self._confirmed(self._joined_at)

    def assign(self, cluster: Any, members: Iterable[Any]) -> dict[str, Any]:
        """Returns the assignment of each member; called for the member that leads the group.

        A partition that has to move is assigned to nobody at first. Its owner gives it up and
        joins again, and the next assignment contains it (KIP-429).
        """
        owners: dict[Partition, str] = {}
        topics: dict[str, list[str]] = {}
        for member in members:
            for owned in getattr(member.metadata, "owned_partitions", None) or ():
                owners |= {(owned.topic, number): member.member_id for number in owned.partitions}
            for topic in member.metadata.topics:
                topics.setdefault(topic, []).append(member.member_id)
        assigned: dict[str, list[tuple[str, list[int]]]] = {
            member.member_id: [] for member in members
        }
        for topic, subscribed in topics.items():
            numbers = sorted(cluster.partitions_for_topic(topic) or ())
            self._topic_missing |= not numbers
            present = [owners.get((topic, number)) for number in numbers]
            chosen = next((each for each in present if each in subscribed), min(subscribed))
            kept = [
                number
                for number, owner in zip(numbers, present, strict=True)
                if owner is None or owner == chosen
            ]
            if kept:
                assigned[chosen].append((topic, kept))
        return {
            member: ConsumerProtocolAssignment(self.version, partitions, b"")
            for member, partitions in assigned.items()
        }


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Passes on which partitions come and go."""

    def __init__(
        self,
        assigned: Callable[[Iterable[Partition]], None],
        revoked: Callable[[Iterable[Partition]], None],
    ) -> None:
        self._assigned = assigned
        self._revoked = revoked

    def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        """They are ours from now on."""
        self._assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        """They are to be given to another member; `on_partitions_lost` ends here as well."""
        self._revoked(revoked)


# -- damaged batches -------------------------------------------------------------------------------

BATCH_HEADER = struct.Struct(">qiibIhi")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta."""

LENGTH_COUNTS_FROM = 12  # bytes from the start of the batch


class DamagedBatch(kafka_errors.KafkaError):  # type: ignore[misc]  # kafka-python is untyped
    """A batch cannot be read: `partition` is damaged from `offset` to before `next_offset`."""

    def __init__(
        self, partition: TopicPartition, offset: int, next_offset: int, cause: str
    ) -> None:
        super().__init__(partition, offset, next_offset, cause)
        self.partition = partition
        self.offset = offset
        self.next_offset = next_offset
        self.cause = cause


class CheckedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """The records of one fetch. Raises DamagedBatch, whatever was wrong with a batch."""

    def _unpack_records(self, tp: TopicPartition, records: Any, *rest: Any) -> Iterator[Any]:
        try:
            yield from super()._unpack_records(tp, records, *rest)
        except Exception as error:  # a wrong CRC, an unknown codec, what decompressors raise
            offset = self.next_fetch_offset
            end = end_of_batch(records._buffer, offset)  # noqa: SLF001  (no public way)
            raise DamagedBatch(tp, offset, end, text_of(error)) from error


def end_of_batch(buffer: bytes, offset: int) -> int:
    """Returns the offset that follows the batch in `buffer` (fetched bytes) with `offset` in it.

    If the headers make no sense, that is the next offset.
    """
    begin = 0
    while begin + BATCH_HEADER.size <= len(buffer):
        base, length, _, magic, _, _, delta = BATCH_HEADER.unpack_from(buffer, begin)
        begin += LENGTH_COUNTS_FROM + length
        end: int = base + 1 + (delta if magic >= 2 else 0)
        if end > offset:
            return _before_next_batch(buffer, begin, offset, end)
        if length <= 0:
            break
    return offset + 1


def _before_next_batch(buffer: bytes, begin: int, offset: int, end: int) -> int:
    """Returns `end`, or where the next batch starts if that is before: `end` may be damaged."""
    if not 0 <= begin <= len(buffer) - BATCH_HEADER.size:
        return end
    following: int = BATCH_HEADER.unpack_from(buffer, begin)[0]
    return min(end, following) if following > offset else end
