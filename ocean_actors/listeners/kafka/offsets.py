"""Which offsets may be committed: a request's only once it has settled. Pure, knows no Kafka.

A committed offset is the next one to read (KIP-211). It may therefore be at most the offset of
the oldest request that has not settled; if there is none, the position of the reader.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Partition = tuple[str, int]
"""A topic and the number of one of its partitions; kafka-python's TopicPartition is one."""

MAX_UNSETTLED = 64  # entries per partition; further requests join the last entry


@dataclass
class Unsettled:
    """Requests that have not settled: the first one's offset, the last one's delivery tag.

    `offset` is None for what Port says is owed: no message stands for it.
    """

    offset: int | None
    delivery_tag: int
    joined: bool = False  # it stands for several requests


@dataclass
class Track:
    """What is known of one assigned partition."""

    position: int | None = None  # the next offset to read
    committed: int | None = None  # the offset that was last sent to be committed
    unsettled: deque[Unsettled] = field(default_factory=deque)

    def committable(self) -> int | None:
        """Returns the offset that may be committed, or None."""
        return self.unsettled[0].offset if self.unsettled else self.position


class OffsetTracker:
    """Tracks, for each assigned partition, what was read and which requests are not settled.

    Delivery tags grow from request to request. A tag from before a partition was revoked does not
    settle requests that were tracked after the partition came back. A commit is due at once when
    a request has settled, otherwise after `messages` messages or `seconds` seconds, so that a
    restart reads little again.
    """

    def __init__(self, *, messages: int = 10_000, seconds: float = 5.0) -> None:
        self._messages = messages
        self._seconds = seconds
        self._tracks: dict[Partition, Track] = {}
        self._pressing = False
        self._last = float("-inf")

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Returns the assigned partitions."""
        return tuple(sorted(self._tracks))

    @property
    def unsettled(self) -> int:
        """Returns how many entries have not settled."""
        return sum(len(track.unsettled) for track in self._tracks.values())

    def positions(self) -> dict[Partition, int]:
        """Returns the next offset to read of each partition for which it is known."""
        return {
            partition: track.position
            for partition, track in self._tracks.items()
            if track.position is not None
        }

    def assign(self, partition: Partition) -> None:
        """The partition is ours from now on; nothing is known of it yet."""
        self._tracks[partition] = Track()

    def revoke(self, partition: Partition) -> None:
        """The partition is no longer ours: nothing is committed for it."""
        self._tracks.pop(partition, None)

    def begin(self, partition: Partition, offset: int) -> None:
        """Reading begins at `offset`. It is to be committed soon, because nobody has yet."""
        track = self._tracks.get(partition)
        if track is not None:
            track.position = offset
            self._pressing = True

    def read(self, partition: Partition, position: int) -> None:
        """All messages before `position` were read."""
        track = self._tracks.get(partition)
        if track is not None:
            track.position = position

    def track(self, partition: Partition, offset: int | None, delivery_tag: int) -> None:
        """The message at `offset` requests a resync, which is settled by `delivery_tag`.

        If `offset` is None, nothing is committed for the partition before that.
        """
        track = self._tracks.get(partition)
        if track is None:
            return
        if len(track.unsettled) < MAX_UNSETTLED:
            track.unsettled.append(Unsettled(offset, delivery_tag))
        else:
            track.unsettled[-1].delivery_tag = delivery_tag
            track.unsettled[-1].joined = True

    def ack_through(self, delivery_tag: int) -> None:
        """The request with `delivery_tag`, and all with earlier tags, have settled."""
        for track in self._tracks.values():
            while track.unsettled and track.unsettled[0].delivery_tag <= delivery_tag:
                track.unsettled.popleft()
                self._pressing = True

    def ack(self, delivery_tag: int) -> None:
        """The request with `delivery_tag` has settled; earlier ones may not have."""
        for track in self._tracks.values():
            for entry in track.unsettled:
                if entry.delivery_tag == delivery_tag and not entry.joined:
                    track.unsettled.remove(entry)
                    self._pressing = True
                    break

    def take_due(self, now: float) -> dict[Partition, int]:
        """Returns the offsets to commit now (monotonic seconds), and mark them committed."""
        if not self._pressing and now - self._last < self._seconds and not self._many():
            return {}
        return self.take_committable(now)

    def take_committable(self, now: float) -> dict[Partition, int]:
        """Returns all offsets that may be committed and are not, and mark them committed."""
        offsets: dict[Partition, int] = {}
        for partition, track in self._tracks.items():
            offset = track.committable()
            if offset is not None and offset != track.committed:
                offsets[partition] = track.committed = offset
        self._pressing = False
        self._last = now
        return offsets

    def failed(self, partitions: tuple[Partition, ...]) -> None:
        """The last commit of `partitions` failed: it is due again."""
        for partition in partitions:
            if partition in self._tracks:
                self._tracks[partition].committed = None
                self._pressing = True

    def _many(self) -> bool:
        return any(
            track.position is not None and track.position - (track.committed or 0) >= self._messages
            for track in self._tracks.values()
            if not track.unsettled
        )
