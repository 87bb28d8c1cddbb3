"""Sends batches of entities to Port in a worker, as its parent orders (see `remote.py`)."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Sequence

from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity
from ocean_actors.port.batches import (
    ENVELOPE,
    LARGEST_BODY,
    LARGEST_UPSERT,
    Item,
    UpsertAnswer,
    body_of,
    failure_of,
    parse_upsert,
)
from ocean_actors.port.client import PortClient
from ocean_actors.port.deferred import Deferred
from ocean_actors.port.errors import PortError
from ocean_actors.port.models import AccessToken
from ocean_actors.port.remote import (
    BatchAnnounced,
    BatchNotSent,
    BatchSent,
    EntitiesRefused,
    ForgetBatch,
    FromWorker,
    SendBatch,
    StopWriting,
    ToWorker,
    packed,
)
from ocean_actors.port.sent_entities import fingerprint
from ocean_actors.port.transport import segment
from ocean_actors.port.upserts import BATCH_REFUSED

logger = get_logger(__name__)

EMPTY_BODY = sum(map(len, ENVELOPE))


class RemoteSender:
    """Writes the entities of one shard. `add` and `finish` are for the shard's thread.

    Up to `width` batches wait here or are on their way. When the token of `client` is cancelled,
    its calls end, and the methods raise the token's error.
    """

    def __init__(self, client: PortClient, tell: Callable[[FromWorker], None], width: int) -> None:
        """`client` sends without credentials of its own; `tell` sends to the parent."""
        self._client = client
        self._tell = tell
        self._width = width
        self._clock = client.clock
        self._token = client.token
        self._open: dict[str, list[Item]] = {}  # by blueprint
        self._sizes: dict[str, int] = {}  # of the bodies of these
        self._announced: dict[int, tuple[str, Sequence[Item]]] = {}
        self._deferred: dict[str, Deferred] = {}
        self._largest = LARGEST_UPSERT
        self._number = 0
        self._error: StopWriting | None = None
        self._changed = threading.Condition()  # the parent's messages come in another thread
        self._work: queue.SimpleQueue[SendBatch | None] = queue.SimpleQueue()
        self._idle = 0
        self._started = 0
        self._forget = self._token.on_cancel(self._wake)

    def add(self, blueprint: str, item: Item | FailedEntity) -> None:
        """Take one entity, as `encode` returns it; waits while too many batches are on their way.

        Raises PortError if the parent has told us to stop writing.
        """
        if not isinstance(item, Item):
            self._tell(EntitiesRefused(blueprint, (item,), self._now()))
            return
        size = len(item.data) + 1  # the comma
        batch = self._open.get(blueprint)
        if batch and (len(batch) >= self._largest or self._sizes[blueprint] + size > LARGEST_BODY):
            self._announce(blueprint)
        self._open.setdefault(blueprint, []).append(item)
        self._sizes[blueprint] = self._sizes.get(blueprint, EMPTY_BODY) + size

    def flush(self) -> None:
        """Send what there is, as the next entity may take long."""
        for blueprint in list(self._open):
            self._announce(blueprint)

    def finish(self) -> list[tuple[str, Item]]:
        """Send the rest, and wait until all of it is written or given up.

        Returns what Port refused because something is missing that it relates to: entities that
        the parent sends after everything else.
        """
        self.flush()
        self.wait_until_forgotten()
        return [
            (blueprint, each.item)
            for blueprint, deferred in self._deferred.items()
            for each in deferred.close()
        ]

    def wait_until_forgotten(self) -> None:
        """Wait until the parent forgets all batches that were announced."""
        self._wait(lambda: not self._announced)

    def close(self) -> None:
        """End the threads. Those that send a batch end with the token of the client."""
        self._forget()
        for _ in range(self._started):
            self._work.put(None)

    def hear(self, message: ToWorker) -> None:
        """Take what the parent says; from any thread."""
        if isinstance(message, SendBatch):
            self._pass_on(message)
            return
        with self._changed:
            if isinstance(message, ForgetBatch):
                self._announced.pop(message.number, None)
            elif isinstance(message, StopWriting):
                self._error = self._error or message
            self._changed.notify_all()

    # -- in the shard's thread ---------------------------------------------------------------------

    def _announce(self, blueprint: str) -> None:
        batch = self._open.pop(blueprint, [])
        self._sizes.pop(blueprint, None)
        if not batch:
            return
        self._wait(lambda: len(self._announced) < self._width)
        self._number += 1
        with self._changed:
            self._announced[self._number] = (blueprint, batch)
        prints = packed(
            0 if item.exact is None else fingerprint(blueprint, item.exact) for item in batch
        )
        searching = tuple(at for at, item in enumerate(batch) if item.exact is None)
        self._tell(BatchAnnounced(self._number, blueprint, prints, searching, self._now()))

    def _wait(self, so: Callable[[], bool]) -> None:
        with self._changed:  # ended by the parent's messages and by the token
            self._changed.wait_for(lambda: so() or self._error is not None or self._token.cancelled)
        self._token.check()
        if self._error is not None:
            raise PortError(self._error.error, lasting=self._error.lasting)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- in the threads that send ------------------------------------------------------------------

    def _pass_on(self, order: SendBatch) -> None:
        with self._changed:
            if self._idle <= 0 and self._started < self._width:
                self._started += 1
                name = f"port-sender-{self._started}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
            else:
                self._idle -= 1
        self._work.put(order)

    def _serve(self) -> None:
        while (order := self._work.get()) is not None:
            try:
                self._tell(self._carried_out(order))
            except BaseException as error:
                if not self._token.cancelled:
                    logger.exception("a batch could not be sent")
                    self._tell(_not_sent(order, PortError(repr(error)), self._now()))
            with self._changed:
                self._idle += 1

    def _carried_out(self, order: SendBatch) -> BatchSent | BatchNotSent:
        """Send once. Raises the token's error."""
        with self._changed:
            found = self._announced.get(order.number)
        if found is None:
            gone = PortError("the batch is over already", temporary=False)
            return _not_sent(order, gone, self._now())
        blueprint, batch = found
        wanted = batch if order.indexes is None else [batch[at] for at in order.indexes]
        with self._changed:
            deferred = self._deferred.setdefault(blueprint, Deferred())
        wanted = [item for item in wanted if not deferred.takes(item)]
        if not wanted:
            return BatchSent(order.order, b"", 0, (), None, self._now())
        try:
            answer = self._attempt(blueprint, wanted, order)
        except PortError as error:
            refused = error.status in BATCH_REFUSED
            if not refused or (error.status == 413 and len(wanted) > 1):
                return _not_sent(order, error, self._now())
            failures = tuple(
                FailedEntity(item.identifier, error.status, "refused", str(error))
                for item in wanted
            )
            return BatchSent(order.order, b"", 0, failures, None, self._now())
        return self._read(order, blueprint, wanted, answer, deferred)

    def _attempt(self, blueprint: str, batch: Sequence[Item], order: SendBatch) -> UpsertAnswer:
        return self._client.attempt(
            "POST",
            f"/blueprints/{segment(blueprint)}/entities/bulk",
            parse_upsert,
            AccessToken(order.authorization, 0.0),
            query=order.query,
            body=body_of(batch),
            permit=functools.partial(self._require_time, order),
        )

    def _require_time(self, order: SendBatch) -> None:
        """Raises PortError if an order has expired, and the token's error."""
        self._token.check()
        if self._now() >= order.until:
            raise PortError("not sent to Port: the order has expired", temporary=True)

    def _read(
        self,
        order: SendBatch,
        blueprint: str,
        batch: Sequence[Item],
        answer: UpsertAnswer,
        deferred: Deferred,
    ) -> BatchSent:
        """Returns what became of a batch; see `UpsertCounts.read`."""
        prints: list[int] = []
        failures: list[FailedEntity] = []
        created = 0
        for index, item in enumerate(batch):
            failure = failure_of(item, index, answer)
            if deferred.takes(item, failure):
                continue
            if failure is not None:
                failures.append(failure)
                continue
            found, new = answer.written[index]
            prints.append(fingerprint(blueprint, found or item.exact or item.identifier))
            created += new
        if answer.largest is not None:
            self._largest = min(LARGEST_UPSERT, answer.largest)
        return BatchSent(
            order.order, packed(prints), created, tuple(failures), answer.largest, self._now()
        )

    def _now(self) -> float:
        return self._clock.monotonic()


def _not_sent(order: SendBatch, error: PortError, now: float) -> BatchNotSent:
    return BatchNotSent(
        order.order, str(error), error.status, error.temporary, error.lasting, error.asked_wait, now
    )
