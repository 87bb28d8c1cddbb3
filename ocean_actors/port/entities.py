"""How the handlers of a run write entities to Port."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity, RunInfo, UpsertResult, Written
from ocean_actors.port.async_writes import END_OF_CHUNK, AsyncWrites, BlockingPort
from ocean_actors.port.barrier import RunBarrier
from ocean_actors.port.batches import LARGEST_UPSERT, Item, encode
from ocean_actors.port.blueprint_owners import BlueprintOwners, reconcilable
from ocean_actors.port.client import PortClient
from ocean_actors.port.deferred import Deferred
from ocean_actors.port.entity_calls import EntityCalls
from ocean_actors.port.errors import ReconcileRefused
from ocean_actors.port.in_flight import InFlight
from ocean_actors.port.live_writes import LiveWrites, RunWrites
from ocean_actors.port.sent_entities import SentEntities
from ocean_actors.port.upsert_call import UpsertCall
from ocean_actors.port.upserts import (
    BatchSender,
    UpsertCounts,
    check_many,
    config_flag,
    upsert_query,
)
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

if TYPE_CHECKING:
    from ocean_actors.port.remote import ToWorker
    from ocean_actors.port.remote_writes import RemoteWrites

__all__ = ["EntityWriter", "FailedEntity", "HandlerPort", "ReconcileRefused", "UpsertResult"]

logger = get_logger(__name__)

CONCURRENCY = 8
"""The default of `port.concurrency`."""

MAX_SHARE = 0.9
"""The default of `entityDeletionThreshold`, as upstream's."""


class EntityWriter:
    """The entities that all handlers of one run send: the `RunWriter` of `resync.run`.

    It takes a client of its own, which has the run's token, and closes it.
    """

    def __init__(
        self,
        client: PortClient,
        run: RunInfo,
        handlers: Sequence[str],
        *,
        narrowed: AbstractSet[str] = frozenset(),
        owners: BlueprintOwners | None = None,
        live: LiveWrites | None = None,
        concurrency: int = CONCURRENCY,
        senders: int | None = None,
    ) -> None:
        """Take the run's handlers; `narrowed` are all handlers that do not do everything.

        `live`: what live events write at the same time. `concurrency`: how many batches may be
        on their way to Port at the same time. `senders`: see `InFlight`.
        """
        self._client = client
        self._narrowed = narrowed
        self._owners = owners or BlueprintOwners()
        self._run = run
        self._sent = SentEntities()
        self._barrier = RunBarrier(handlers, client.token)
        self._throttle = Throttle(client.clock)
        self._writes = (live or LiveWrites()).open_run()
        self._flight = InFlight(client.clock, concurrency, senders=senders)
        client.waits.refused = self._flight.refused

    def for_handler(self, name: str) -> HandlerPort:
        """Returns `run.port` of one handler."""
        return self.open_port(name, self._client)

    def open_port(self, name: str, client: PortClient) -> HandlerPort:
        """Returns `run.port` of one handler over `client`: the run's, or that of one async call."""
        return HandlerPort(
            name, client, functools.partial(self.open_port, name), self._calls(client), self._run,
            self._sent, self._barrier, self._throttle, self._writes, self._flight, self._blueprints,
        )  # fmt: skip

    def _calls(self, client: PortClient) -> EntityCalls:
        """Returns what calls Port for a handler."""
        each = self._flight.group(client.token).map
        return EntityCalls(client, self._sent, self._writes, each)

    def handler_finished(self, name: str, *, ok: bool) -> None:
        """Say that a handler sends nothing more, and whether it succeeded."""
        if not ok:
            self._sent.mark_incomplete(f"handler {name} failed")
        elif not (self._run.partial or self._client.token.cancelled):
            self._owners.note(name, self._sent.blueprints().get(name, ()))
        self._barrier.deregister(name)

    def _blueprints(self) -> frozenset[str] | None:
        """Returns the blueprints in which the run may delete; None for all."""
        if not self._run.partial:
            return None
        allowed = reconcilable(self._sent.blueprints(), self._narrowed, self._owners)
        if allowed:
            names = one_line(", ".join(sorted(allowed)), 200)
            logger.info("run %s is partial: it may delete entities of %s only", self._run.id, names)
        else:
            logger.info("run %s is partial: it deletes nothing", self._run.id)
        return allowed

    def written(self) -> Written:
        """Returns the counts of what was written so far."""
        return self._sent.written

    def written_by(self, handler: str) -> tuple[tuple[str, Written], ...]:
        """Returns one handler's counts so far, by blueprint."""
        return self._sent.written_by(handler)

    def close(self) -> None:
        """Close the connections; later calls raise the token's error."""
        self._client.close()
        self._flight.close()
        self._writes.close()


class HandlerPort:
    """`run.port`: writes entities to Port for one handler.

    `upsert` and `reconcile` block, and may be called from any thread; `aupsert` and `areconcile`
    are for coroutines. When the run is aborted, they raise ResyncAborted at once, wherever they
    wait.
    """

    def __init__(
        self,
        handler: str,
        client: PortClient,
        open_port: Callable[[PortClient], BlockingPort],
        calls: EntityCalls,
        run: RunInfo,
        sent: SentEntities,
        barrier: RunBarrier,
        throttle: Throttle,
        writes: RunWrites,
        flight: InFlight,
        blueprints: Callable[[], frozenset[str] | None] = lambda: None,
    ) -> None:
        self._blueprints = blueprints
        self._handler = handler
        self._client = client
        self._async_writes = AsyncWrites(client, open_port)
        self._calls = calls
        self._run = run
        self._sent = sent
        self._barrier = barrier
        self._throttle = throttle
        self._writes = writes
        self._flight = flight
        self._sender = BatchSender(calls.upsert)
        self._process = os.getpid()

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Create the entities of `blueprint` in Port, or update those that exist.

        `entities` are dicts as Port's API expects them (`identifier`, `title`, `properties`,
        `relations`, …). They are read in this thread, and sent in batches of at most 20. All
        handlers of the run together keep up to `port.concurrency` batches on their way. Nothing
        else is read ahead, so a generator of a million costs no memory. Entities with the same
        identifier are written in the given order. An entity that Port refuses because it relates
        to one of this call that Port does not have yet is sent once more after the rest. `merge`
        and `create_missing_related_entities` default to the config's `enableMergeEntity` and
        `createMissingRelatedEntities`, else to true.

        Returns the counts; entities that Port refuses are among them and raise nothing, and so
        are those left out as a live event has written or deleted them during this run. Raises
        PortError if Port does not know the blueprint, refuses us, or cannot be reached for 15
        minutes; TypeError if `blueprint` is not a string or `entities` is a single one;
        RuntimeError in a forked child, where nothing would be recorded for `reconcile`.
        """
        self._require_own_process()
        check_many("upsert", blueprint, entities)
        query = upsert_query(
            self._run.config, self._origin(), merge, create_missing_related_entities
        )
        self._sent.begin(self._handler, blueprint)
        deferred = Deferred()
        note = functools.partial(self._sent.add, self._handler, blueprint)
        counts = UpsertCounts(blueprint, self._throttle, note, deferred)
        call = UpsertCall(
            blueprint, query, self._sender, counts, deferred, self._sent, self._writes,
            self._flight.group(self._client.token),
        )  # fmt: skip
        few = isinstance(entities, Sized) and len(entities) <= LARGEST_UPSERT
        try:
            call.send(self._encoded(entities, counts), few=few)
            self._client.token.check()
        except BaseException:
            self._mark_incomplete(blueprint)
            raise
        return counts.result()

    def remote_writes(self, tell: Callable[[ToWorker], None]) -> RemoteWrites | None:
        """Returns what lets a worker in another process write batches, as this handler's.

        `tell` sends to the worker, from any thread, and raises nothing. None if nothing is
        written, as in a dry run.
        """
        from ocean_actors.port.remote_writes import RemoteWrites

        if not self._calls.delegates:
            return None
        self._require_own_process()
        query = upsert_query(self._run.config, self._origin(), None, None)
        return RemoteWrites(
            self._handler, self._client, query, self._sent, self._throttle, self._writes,
            self._flight.group(self._client.token), tell,
        )  # fmt: skip

    async def aupsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Like `upsert`, but for coroutines: `await run.port.aupsert(blueprint, entities)`.

        It never blocks the event loop. An async iterable is read in the event loop, any other in
        another thread. If the task is cancelled, the call to Port ends, no further entity is
        sent, and `reconcile` refuses to delete, as after an `upsert` that raised.
        """
        try:
            return await self._async_writes.upsert(
                blueprint,
                entities,
                merge=merge,
                create_missing_related_entities=create_missing_related_entities,
            )
        except BaseException:
            self._mark_incomplete(blueprint)  # here too: the thread may not have done it yet
            raise

    def reconcile(self, max_share: float | None = None) -> int:
        """Delete the entities that this integration owns and this run did not send.

        Call it when this handler has sent everything. It waits until each other handler of the
        run has returned or called it too. Then one of them deletes for all, with the lowest
        `max_share`, and all return the same number of deleted entities. Entities to which an
        entity of this run relates are kept.

        A run for some kinds deletes only within blueprints that no other kind uses: those that
        this run wrote with handlers whose kinds were all asked for, and that no other handler
        wrote in earlier runs. Until each other handler has completed a run for all kinds in this
        process, it deletes nothing. A run with parameters deletes nothing, as they may narrow it.

        Raises ReconcileRefused, having deleted nothing, if an entity or a handler of the run
        failed, or if more than `max_share` (0 to 1; default: the config's
        `entityDeletionThreshold`, else 0.9) of the owned entities would be deleted. Raises
        PortError and RuntimeError as `upsert` does, and ValueError or TypeError for another
        `max_share`.
        """
        self._require_own_process()
        share = self._max_share() if max_share is None else max_share
        _check_share(share)
        query = {
            "delete_dependents": config_flag(self._run.config, "deleteDependentEntities", None),
            **self._origin(),
        }

        def delete(max_share: float) -> int:
            # `_blueprints` is asked once every handler has sent everything
            return self._calls.reconcile(query, self._blueprints(), max_share)

        return self._barrier.join(self._handler, share, delete, self._client.token)

    async def areconcile(self, max_share: float | None = None) -> int:
        """Like `reconcile`, but for coroutines: `await run.port.areconcile()`.

        It never blocks the event loop. If the task is cancelled, the deletion ends, and the
        handler counts as one that has not called it.
        """
        return await self._async_writes.reconcile(max_share)

    def _mark_incomplete(self, blueprint: str) -> None:
        self._sent.mark_incomplete(
            f"not all of {self._handler}'s entities of {blueprint!r} were sent"
        )

    def mark_incomplete(self, reason: str) -> None:
        """Say that entities that exist may not be sent in this run, and why, in one line.

        `reconcile` is then refused: it would delete them.
        """
        self._sent.mark_incomplete(one_line(reason))

    def _encoded(self, entities: Iterable[object], counts: UpsertCounts) -> Iterator[Item | None]:
        for entity in entities:
            self._client.token.check()
            if entity is END_OF_CHUNK:
                yield None
                continue
            # the workers of shards have encoded theirs
            item = entity if isinstance(entity, Item | FailedEntity) else encode(entity)
            if isinstance(item, Item):
                yield item
            else:
                counts.fail([item])

    def _origin(self) -> dict[str, str]:
        return {"ocean_info_event_type": "resync", "ocean_info_resync_id": self._run.id}

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"run.port of run {self._run.id} works in process {self._process} only, where its "
                f"handler was started; this is a forked child ({os.getpid()}): return the entities "
                f"to the handler and send them there"
            )

    def _max_share(self) -> float:
        share = self._run.config.get("entityDeletionThreshold")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            return MAX_SHARE
        return float(share)


def _check_share(share: float) -> None:
    """Raises TypeError or ValueError unless `max_share` is a number from 0 to 1."""
    expected = "max_share: expected a number from 0 to 1"
    try:
        in_range = 0 <= share <= 1
    except TypeError:
        raise TypeError(f"{expected}, got {type(share).__name__}") from None
    if not in_range:
        raise ValueError(f"{expected}, got {share!r}")
