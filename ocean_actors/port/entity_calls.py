"""The calls by which `run.port` changes entities in Port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ocean_actors.actors import Backoff
from ocean_actors.port.batches import Item, UpsertAnswer
from ocean_actors.port.client import PortClient
from ocean_actors.port.deletion import Each
from ocean_actors.port.live_writes import RunWrites
from ocean_actors.port.reconcile import Planned, Reconciliation
from ocean_actors.port.sent_entities import SentEntities
from ocean_actors.port.upserts import write_batch
from ocean_actors.retry import Retry

PATIENT = Retry(attempts=10, seconds=900.0, backoff=Backoff(initial=0.5, maximum=60.0))
"""For calls of a run: long enough for the period of a rate limit and for a short outage."""


class EntityCalls:
    """Makes the calls for one handler of a run. A dry run has a subclass that only reads.

    `delegates`: workers in other processes may make such calls, too.
    """

    delegates = True

    def __init__(
        self, client: PortClient, sent: SentEntities, writes: RunWrites, each: Each = map
    ) -> None:
        """Take what the run has sent; `each` has several batches deleted at a time."""
        self._client = client
        self._each = each
        self._sent = sent
        self._writes = writes

    def upsert(
        self, blueprint: str, batch: Sequence[Item], query: Mapping[str, str]
    ) -> UpsertAnswer:
        """Send one batch. Raises PortError."""
        return write_batch(self._client, PATIENT, blueprint, batch, query)

    def reconcile(
        self, query: Mapping[str, str], blueprints: frozenset[str] | None, max_share: float
    ) -> int:
        """Delete what was not sent; returns how many entities. Raises as `Reconciliation.run`."""
        return self._reconciliation(query, blueprints).run(max_share)

    def _reconciliation(
        self,
        query: Mapping[str, str],
        blueprints: frozenset[str] | None,
        planned: Planned | None = None,
    ) -> Reconciliation:
        return Reconciliation(
            self._client,
            self._sent,
            query,
            PATIENT,
            self._writes,
            blueprints,
            planned=planned,
            each=self._each,
        )
