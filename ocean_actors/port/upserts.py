"""Sends batches of entities to Port, and counts what Port did with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity, UpsertResult
from ocean_actors.port.batches import (
    KEPT_FAILURES,
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
from ocean_actors.port.transport import flag, segment
from ocean_actors.retry import Retry
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

BATCH_REFUSED = frozenset({400, 409, 413, 422})
"""Port cannot use the entities that were sent; the caller goes on with others."""

UpsertOutcome = tuple[Item, "str | None"]
"""An entity, and the identifier under which Port wrote it; None if it did not."""


def config_flag(config: Mapping[str, Any], key: str, given: bool | None) -> str:
    """Returns a query parameter: `given`, else as the integration's config says, else true."""
    return flag(config.get(key) is not False if given is None else given)


def upsert_query(
    config: Mapping[str, Any],
    origin: Mapping[str, str],
    merge: bool | None,
    create_missing_related_entities: bool | None,
) -> dict[str, str]:
    """Returns the query of an upsert; `origin` says what writes. See `config_flag`."""
    return {
        "upsert": "true",
        "merge": config_flag(config, "enableMergeEntity", merge),
        "create_missing_related_entities": config_flag(
            config, "createMissingRelatedEntities", create_missing_related_entities
        ),
        **origin,
    }


def check_many(method: str, blueprint: object, given: object, what: str = "entities") -> None:
    """Raises TypeError if `blueprint` is not a string, or if `given` is one instead of many."""
    if not isinstance(blueprint, str):
        raise TypeError(f"blueprint: expected a string, got {type(blueprint).__name__}")
    if isinstance(given, Mapping | str | bytes):
        raise TypeError(f"{method} takes many {what}, got one {type(given).__name__}")


class UpsertCounts:
    """Counts the entities of one `upsert`; the log gets a line for each of the first failures.

    `note` is called with the identifiers that were written, and the counts of those that failed
    and of those that were left out. Entities that `deferred` takes are not counted yet. Safe to
    use from any thread.
    """

    def __init__(
        self,
        blueprint: str,
        throttle: Throttle,
        note: Callable[[Sequence[str], int, int], None],
        deferred: Deferred | None = None,
    ) -> None:
        self._blueprint = blueprint
        self._throttle = throttle
        self._note = note
        self._deferred = deferred
        self._lock = threading.Lock()  # several batches are answered at the same time
        self._upserted = self._created = self._failed = self._superseded = 0
        self._failures: list[FailedEntity] = []

    def read(self, batch: Sequence[Item], answer: UpsertAnswer) -> list[UpsertOutcome]:
        """Count the items of a batch by Port's answer."""
        names: list[str] = []
        failures: list[FailedEntity] = []
        outcomes: list[UpsertOutcome] = []
        new = 0
        for index, item in enumerate(batch):
            failure = failure_of(item, index, answer)
            if self._deferred is not None and self._deferred.takes(item, failure):
                outcomes.append((item, None))
                continue
            if failure is not None:
                failures.append(failure)
                outcomes.append((item, None))
                continue
            found, created = answer.written[index]
            name = found or item.exact or item.identifier  # Port knows what a search query found
            names.append(name)
            outcomes.append((item, name))
            new += created
        with self._lock:
            self._upserted += len(names)
            self._created += new
        self._note(names, len(failures), 0)
        self._keep(failures)
        return outcomes

    def fail(self, failures: Sequence[FailedEntity]) -> None:
        """Count entities that were not written."""
        self._note((), len(failures), 0)
        self._keep(failures)

    def supersede(self, names: Sequence[str]) -> None:
        """Count entities that were left out: a live event has written them, or deleted them."""
        with self._lock:
            self._superseded += len(names)
        self._note(names, 0, len(names))

    def result(self) -> UpsertResult:
        """Returns the counts."""
        return UpsertResult(
            self._upserted, self._created, self._failed, tuple(self._failures), self._superseded
        )

    def _keep(self, failures: Sequence[FailedEntity]) -> None:
        with self._lock:
            self._failed += len(failures)
            self._failures.extend(failures[: KEPT_FAILURES - len(self._failures)])
        for failure in failures:
            admission = self._throttle.admit()
            if admission.admitted:
                logger.warning(
                    "entity %s of %s was not written: %s: %s%s",
                    failure.identifier, one_line(self._blueprint),
                    failure.error, failure.message, admission.more,
                )  # fmt: skip


Write = Callable[[str, Sequence[Item], Mapping[str, str]], UpsertAnswer]
"""Sends a batch to a blueprint, with a query, and returns Port's answer. Raises PortError."""


def write_batch(
    client: PortClient,
    retry: Retry,
    blueprint: str,
    batch: Sequence[Item],
    query: Mapping[str, str],
) -> UpsertAnswer:
    """Send a batch with `client`; see `Write`."""
    return client.call(
        "POST",
        f"/blueprints/{segment(blueprint)}/entities/bulk",
        parse_upsert,
        query=query,
        body=body_of(batch),
        retry=retry,
        exporter=True,
    )


class BatchSender:
    """Sends batches with `write`; `largest` is how many entities Port takes in one call."""

    def __init__(self, write: Write) -> None:
        self.largest = LARGEST_UPSERT
        self._write = write

    def send(
        self, blueprint: str, batch: Sequence[Item], query: Mapping[str, str], counts: UpsertCounts
    ) -> list[UpsertOutcome]:
        """Send one batch, in halves if it is too large for Port.

        Raises PortError unless Port only refuses some entities, or all.
        """
        try:
            answer = self._write(blueprint, batch, query)
        except PortError as error:
            if error.status == 404:
                message = f"{error}: is there a blueprint {one_line(blueprint)!r} in Port?"
                raise PortError(message, status=404) from None
            if error.status not in BATCH_REFUSED:
                raise
            if error.status == 413 and len(batch) > 1:
                half = len(batch) // 2
                first = self.send(blueprint, batch[:half], query, counts)
                return first + self.send(blueprint, batch[half:], query, counts)
            status, text = error.status, str(error)
            counts.fail([FailedEntity(item.identifier, status, "refused", text) for item in batch])
            return [(item, None) for item in batch]
        if answer.largest is not None:
            self.largest = min(LARGEST_UPSERT, answer.largest)
        return counts.read(batch, answer)
