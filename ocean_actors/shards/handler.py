"""The handlers whose work is cut into shards."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping

from ocean_actors.resync.handlers import ResyncHandler
from ocean_actors.resync.run import ResyncRun
from ocean_actors.shards.errors import ShardError
from ocean_actors.shards.shard import Shard


class ShardedHandler(ResyncHandler):
    """Base class of handlers whose work is cut into shards, which workers do at the same time.

    `resync.executor` says what the workers are: `threads`, `processes`, or `ray` for a cluster.
    The same class runs under each of them.

        class Repositories(ShardedHandler):
            kinds = ("repository",)

            def shards(self, run):
                return ["org-a", "org-b"]

            def resync_shard(self, shard):
                for page in pages_of(shard.session, shard.value):
                    for item in page:
                        yield "repository", {"identifier": item["id"], "title": item["name"]}

    The entities are sent by the run's own process. When all shards have been done, `finish`
    deletes what no shard has yielded. If a shard fails, the others are still done; then the run
    fails with the names of the shards, and nothing is deleted.

    `shards` and `finish` are called on one object, in the run's process. `resync_shard` is called
    on another one: each worker has one, which does one shard after another. So what a shard has to
    know belongs in what `shards` lists.
    """

    @abstractmethod
    def shards(self, run: ResyncRun) -> Iterable[object] | Awaitable[Iterable[object]]:
        """Returns what the work is cut into; may be a generator, or `async def`.

        Each may be any value that can be pickled, such as a name, a number or a tuple. Its text is
        the name of the shard. Listing larger shards first makes the run shorter.
        """

    @abstractmethod
    def resync_shard(
        self, shard: Shard
    ) -> (
        Iterable[tuple[str, Mapping[str, object]]] | AsyncIterable[tuple[str, Mapping[str, object]]]
    ):
        """Yield `(blueprint, entity)` for each entity of the shard; may be an async generator.

        It is called in a worker. `shard.value` is what `shards` listed. Call `shard.check()` often
        where nothing is yielded for long, or use `shard.sleep` and `shard.session`, so that an
        abort is noticed. If the worker is lost, because it was killed or out of memory, another
        one does the shard from its beginning, as often as `resync.shardRetries` says; entities
        that were sent already are sent again. What it raises fails the shard, which is not tried
        again.
        """

    def finish(self, run: ResyncRun) -> Awaitable[None] | None:
        """Called when all shards have been done, in the run's process; may be `async def`.

        Deletes the entities that the run has not sent, by `run.port.reconcile()`. Override it to
        do so with another `max_share`, or not at all.
        """
        run.port.reconcile()
        return None

    def resync(self, run: ResyncRun) -> None:
        """Have workers do the shards. Raises ShardsFailed if one fails."""
        if run.sharding is None:
            raise ShardError(f"{run.handler}: shards are done within an OceanSystem only")
        run.sharding.resync(self, run)
