"""Sends the entities of one shard to Port from its worker (`resync.shardWrites`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pydantic import SecretStr

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.port.batches import Item
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.remote import ToWorker
from ocean_actors.port.remote_sender import RemoteSender
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.settings import Settings
from ocean_actors.shards.executor import Entities, Event


class ShardWriter:
    """Takes the events of a shard: sends entities itself, and passes the others on.

    It has no credentials: the run's process gives it an access token with each order.
    """

    def __init__(
        self, settings: Settings, token: CancelToken, clock: Clock, emit: Callable[[Event], None]
    ) -> None:
        self._emit_event = emit
        port = settings.port.model_copy(update={"client_id": "", "client_secret": SecretStr("")})
        self._client = PortClient(
            port,
            settings.integration,
            token=token,
            clock=clock,
            strict=settings.ssl.port.x509.strict,
        )
        self._sender = RemoteSender(self._client, emit, settings.port.concurrency)

    def emit(self, event: Event) -> None:
        """Take an event; blocks while too many batches are on their way. Raises PortError."""
        if not isinstance(event, Entities):
            self._emit_event(event)
            return
        for blueprint, items in event.groups:
            for item in items:
                self._sender.add(blueprint, item)

    def hear(self, message: ToWorker) -> None:
        """Take what the run's process says; from any thread."""
        self._sender.hear(message)

    def finish(self) -> None:
        """Send the rest, and wait until all is written. Raises PortError and the token's error.

        What Port refused, as something is missing that it relates to, goes to the run's process,
        which sends it once all shards are done.
        """
        left: dict[str, list[Item]] = {}
        for blueprint, item in self._sender.finish():
            left.setdefault(blueprint, []).append(item)
        for blueprint, items in left.items():
            size = sum(len(item.data) for item in items)
            self._emit_event(Entities(((blueprint, tuple(items)),), len(items), size))

    def close(self) -> None:
        """Wait for batches that are on their way, unless the shard is cancelled, and end."""
        with contextlib.suppress(PortError, ResyncAborted):
            self._sender.wait_until_forgotten()
        self._sender.close()
        self._client.close()
