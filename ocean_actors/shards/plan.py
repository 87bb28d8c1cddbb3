"""Decides which shard is started next, which is tried again, and when all are over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ocean_actors.shards.outcome import Cancelled, Completed, Failed, Lost, ShardOutcome


@dataclass(frozen=True)
class Attempt:
    """One try at one shard: its place in the list of shards, and its number, from 1."""

    shard: int
    number: int = 1


@dataclass(frozen=True)
class ShardFailure:
    """A shard that has failed for good, and how its last attempt ended."""

    shard: int
    outcome: Failed | Lost


@dataclass(frozen=True)
class Plan:
    """The shards of one handler in one run.

    `total` is how many shards there are, `workers` how many are worked on at a time, and
    `retries` how often a shard is repeated after its worker was lost. Shards are started in their
    order; those to be tried again follow after all others, so that a shard that kills its workers
    delays no other one. A shard whose code raised is not tried again. After a failure the other
    shards go on.
    """

    total: int
    workers: int
    retries: int = 1
    started: int = 0  # shards before this one have been started at least once
    again: tuple[Attempt, ...] = ()
    running: frozenset[Attempt] = frozenset()
    completed: int = 0
    failures: tuple[ShardFailure, ...] = ()
    stopped: bool = False

    def start(self) -> tuple[Plan, tuple[Attempt, ...]]:
        """Returns the plan with the attempts that are to be started now, and these attempts."""
        if self.stopped:
            return self, ()
        room = self.workers - len(self.running)
        fresh = tuple(
            Attempt(shard) for shard in range(self.started, min(self.total, self.started + room))
        )
        again = self.again[: room - len(fresh)]
        return (
            replace(
                self,
                started=self.started + len(fresh),
                again=self.again[len(again) :],
                running=self.running | {*fresh, *again},
            ),
            (*fresh, *again),
        )

    def ended(self, attempt: Attempt, outcome: ShardOutcome) -> Plan:
        """Returns the plan after an attempt has ended. Raises ValueError unless it was running."""
        if attempt not in self.running:
            raise ValueError(f"{attempt} was not running")
        plan = replace(self, running=self.running - {attempt})
        match outcome:
            case Completed():
                return replace(plan, completed=plan.completed + 1)
            case Lost() if attempt.number <= plan.retries and not plan.stopped:
                return replace(
                    plan, again=(*plan.again, replace(attempt, number=attempt.number + 1))
                )
            case Failed() | Lost():
                failure = ShardFailure(attempt.shard, outcome)
                return replace(plan, failures=(*plan.failures, failure))
            case Cancelled():
                return plan

    def stop(self) -> Plan:
        """Returns the plan in which nothing is started any more."""
        return replace(self, stopped=True)

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing is to be started."""
        return not self.running and (self.stopped or not (self.started < self.total or self.again))


def failure_text(names: Sequence[str], failures: Sequence[ShardFailure], total: int) -> str:
    """Returns one line about the shards that failed; `names` are those of all shards."""
    shown = "; ".join(f"{names[each.shard]}: {each.outcome.reason}" for each in failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f"{len(failures)} of {total} shards failed: {shown}{more}"
