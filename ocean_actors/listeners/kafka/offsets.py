"""Which offsets may be committed: a request's only once it has settled. Pure, no Kafka in it.

A committed offset is the next one to read (KIP-211 and all clients), so it may be at most the
offset of the oldest request that has not settled; with none, the position of the reader.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Partition = tuple[str, int]
"""A topic and a number in it; kafka-python's TopicPartition is one."""

MOST_OWED = 64  # entries per partition; what comes on top joins the last one


@dataclass
class Owed:
    """Requests that have not settled: the first one's offset, the last one's delivery_tag."""

    offset: int
    delivery_tag: int
    joined: bool = False  # it stands for several


@dataclass
class Track:
    """One partition that is ours."""

    position: int | None = None  # the next offset to read
    committed: int | None = None  # the last one sent to be committed
    owed: deque[Owed] = field(default_factory=deque)

    def committable(self) -> int | None:
        """What may be committed, if anything is known."""
        return self.owed[0].offset if self.owed else self.position


class OffsetTracker:
    """Tracks, for each assigned partition, what was read and which requests are not settled.

    Delivery tags grow from request to request. A tag from before a partition was lost does not
    settle requests that were tracked after the partition came back. A commit is due at once when
    a request was settled, else after `messages` messages or `seconds` seconds, so that a restart
    reads little again.
    """

    def __init__(self, *, messages: int = 10_000, seconds: float = 5.0) -> None:
        self._messages = messages
        self._seconds = seconds
        self._tracks: dict[Partition, Track] = {}
        self._pressing = False
        self._last = float("-inf")

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Those that are ours."""
        return tuple(sorted(self._tracks))

    @property
    def owed(self) -> int:
        """How many entries wait to be settled."""
        return sum(len(track.owed) for track in self._tracks.values())

    def positions(self) -> dict[Partition, int]:
        """The next offset to read of each partition, as far as known."""
        return {
            partition: track.position
            for partition, track in self._tracks.items()
            if track.position is not None
        }

    def take(self, partition: Partition) -> None:
        """It is ours now: nothing is known of it yet."""
        self._tracks[partition] = Track()

    def drop(self, partition: Partition) -> None:
        """It is ours no more: nothing is committed for it."""
        self._tracks.pop(partition, None)

    def begin(self, partition: Partition, offset: int) -> None:
        """Reading begins at `offset`, which is to be committed soon: nobody has yet."""
        track = self._tracks.get(partition)
        if track is not None:
            track.position = offset
            self._pressing = True

    def read(self, partition: Partition, position: int) -> None:
        """All before `position` was read."""
        track = self._tracks.get(partition)
        if track is not None:
            track.position = position

    def track(self, partition: Partition, offset: int, delivery_tag: int) -> None:
        """The message at `offset` asked for something, which has `delivery_tag`."""
        track = self._tracks.get(partition)
        if track is None:
            return
        if len(track.owed) < MOST_OWED:
            track.owed.append(Owed(offset, delivery_tag))
        else:
            track.owed[-1].delivery_tag = delivery_tag
            track.owed[-1].joined = True

    def ack_through(self, delivery_tag: int) -> None:
        """What has `delivery_tag` needs nothing more, nor does what has an earlier one."""
        for track in self._tracks.values():
            while track.owed and track.owed[0].delivery_tag <= delivery_tag:
                track.owed.popleft()
                self._pressing = True

    def ack(self, delivery_tag: int) -> None:
        """What has `delivery_tag` needs nothing more; earlier ones still may."""
        for track in self._tracks.values():
            for entry in track.owed:
                if entry.delivery_tag == delivery_tag and not entry.joined:
                    track.owed.remove(entry)
                    self._pressing = True
                    break

    def take_due(self, now: float) -> dict[Partition, int]:
        """The offsets to commit now (monotonic seconds); they count as committed from here on."""
        if not self._pressing and now - self._last < self._seconds and not self._many():
            return {}
        return self.take_committable(now)

    def take_committable(self, now: float) -> dict[Partition, int]:
        """Everything that may be committed and is not."""
        offsets: dict[Partition, int] = {}
        for partition, track in self._tracks.items():
            offset = track.committable()
            if offset is not None and offset != track.committed:
                offsets[partition] = track.committed = offset
        self._pressing = False
        self._last = now
        return offsets

    def failed(self, partitions: tuple[Partition, ...]) -> None:
        """Their last commit did not succeed: it is due again."""
        for partition in partitions:
            if partition in self._tracks:
                self._tracks[partition].committed = None
                self._pressing = True

    def _many(self) -> bool:
        return any(
            track.position is not None and track.position - (track.committed or 0) >= self._messages
            for track in self._tracks.values()
            if not track.owed
        )
