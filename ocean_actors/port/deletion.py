"""Deletes entities of Port in batches (docs/port-wire.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from ocean_actors.log import get_logger
from ocean_actors.port.batches import parse_largest
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.live_writes import Name
from ocean_actors.port.transport import ignore, segment
from ocean_actors.retry import Retry
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

LARGEST_DELETE = 100  # entities in one call

Claim = Callable[[Sequence[Name]], AbstractContextManager[list[Name]]]
"""Entered for each batch: yields those of it that may be deleted now."""

Given = TypeVar("Given")
Got = TypeVar("Got")


class Each(Protocol):
    """Calls a function with each item, as `map` does, or with several at a time."""

    def __call__(self, work: Callable[[Given], Got], items: Iterable[Given], /) -> Iterable[Got]:
        """Returns the results in the order of the items."""


class Deletion:
    """Deletes with one client; `note` is called with the count of each batch that is deleted.

    `each` may delete several batches of a blueprint at a time. `throttle` bounds the lines of the
    log about entities that are kept; several deletions may share it.
    """

    def __init__(
        self,
        client: PortClient,
        query: Mapping[str, str],
        retry: Retry,
        claim: Claim,
        note: Callable[[int], None] = lambda _count: None,
        each: Each = map,
        throttle: Throttle | None = None,
    ) -> None:
        self._client = client
        self._query = query
        self._retry = retry
        self._claim = claim
        self._note = note
        self._each = each
        self._throttle = throttle or Throttle(client.clock)
        self._largest = LARGEST_DELETE

    def delete(self, names: Iterable[Name]) -> int:
        """Delete entities, given by blueprint; those of refused batches one by one.

        Returns how many were deleted. Entities that Port refuses to delete are kept, and logged.
        Raises PortError if Port cannot be asked.
        """
        gone = 0
        left: list[Name] = []
        for _, group in groupby(names, key=itemgetter(0)):
            # One blueprint after the other: what depends on a deleted entity goes with it, and
            # is then not counted.
            for batch, count in self._each(self._try_batch, self._batches(group)):
                if count is None:
                    left.extend(batch)
                else:
                    gone += count
        return gone + self._delete_singly(left)

    def _batches(self, names: Iterable[Name]) -> Iterator[list[Name]]:
        rest = iter(names)
        while batch := list(islice(rest, self._largest)):
            yield batch

    def _try_batch(self, batch: list[Name]) -> tuple[list[Name], int | None]:
        return batch, self._delete_batch(batch)

    def _delete_batch(self, batch: list[Name]) -> int | None:
        """Returns how many were deleted; None if Port refuses the batch because of one of them."""
        try:
            with self._claim(batch) as claimed:
                if not claimed:
                    return 0
                count, largest = self._client.call(
                    "POST",
                    f"/blueprints/{segment(claimed[0][0])}/bulk/entities/delete",
                    _parse_deleted,
                    query=self._query,
                    body={"entities": [identifier for _, identifier in claimed]},
                    retry=self._retry,
                    exporter=True,
                )
        except PortError as error:
            if not _refused(error):
                raise
            return None
        self._largest = min(LARGEST_DELETE, largest or LARGEST_DELETE)
        self._note(count)
        return count

    def _delete_singly(self, left: list[Name]) -> int:
        """Delete one by one, and repeat for entities on which others depended while that helps."""
        gone = 0
        while left:
            refused: list[Name] = []
            reason = ""
            for name, outcome in self._each(self._try_one, left):
                if isinstance(outcome, PortError):
                    refused.append(name)
                    reason = str(outcome)
                else:
                    gone += outcome
            if len(refused) == len(left):
                self._say_kept(len(left), reason)
                break
            left = refused
        return gone

    def _try_one(self, name: Name) -> tuple[Name, int | PortError]:
        try:
            return name, self._delete_one(name)
        except PortError as error:
            if not _refused(error):
                raise
            return name, error

    def _say_kept(self, count: int, reason: str) -> None:
        admission = self._throttle.admit()
        if admission.admitted:
            logger.warning(
                "%d entities were kept, as Port refuses to delete them: %s%s",
                count, reason, admission.more,
            )  # fmt: skip

    def _delete_one(self, name: Name) -> int:
        """Returns whether the entity was there and may be deleted, as 1 or 0."""
        blueprint, identifier = name
        path = f"/blueprints/{segment(blueprint)}/entities/{segment(identifier)}"
        with self._claim([name]) as claimed:
            if not claimed:
                return 0
            try:
                self._client.call(
                    "DELETE", path, ignore, query=self._query, retry=self._retry, exporter=True
                )
            except PortError as error:
                if error.status == 404:  # gone already
                    return 0
                raise
        self._note(1)
        return 1


def _refused(error: PortError) -> bool:
    """Returns whether Port refuses the entities, rather than us or every call at the moment."""
    return not error.temporary and error.status not in (None, 401, 403)


def _parse_deleted(answer: Mapping[str, Any]) -> tuple[int, int | None]:
    deleted = answer.get("deletedEntities")
    if not isinstance(deleted, list):
        raise UnexpectedAnswer("expected a list 'deletedEntities'")
    return len(deleted), parse_largest(answer)
