"""The errors of sharded handlers."""

from __future__ import annotations

from ocean_actors.errors import OceanError


class ShardError(OceanError):
    """A shard cannot be worked on; one readable line with the handler and the shard."""

    lasting = True


class CannotBuild(ShardError):
    """The handler cannot be imported or built where a worker is."""

    lasting = False


class ShardsFailed(OceanError):
    """Shards of a run have failed; one line with their names. `lasting`: a retry cannot help."""

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting
