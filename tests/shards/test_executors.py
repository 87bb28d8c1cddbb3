"""What every executor has to do: see `ocean_actors.shards.executor`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import has_ended, wait_for, wait_until
from workshop import Kind, Workshop

from ocean_actors.shards import chunks
from ocean_actors.shards.executor import Advanced, Entities, Limits
from ocean_actors.shards.outcome import Cancelled, Completed, Failed, Lost


def test_entities_come_in_order_and_are_counted(workshop: Workshop) -> None:
    count = 2 * chunks.MOST_ITEMS + 1
    attempted = workshop.start("things", count)
    assert attempted.outcome() == Completed(count)
    assert attempted.identifiers() == [f"thing-{number}" for number in range(count)]
    sizes = [event.items for event in attempted.events if isinstance(event, Entities)]
    assert max(sizes) <= chunks.MOST_ITEMS


def test_an_async_generator_does_as_well(workshop: Workshop) -> None:
    attempted = workshop.start("things_async", 3)
    assert attempted.outcome() == Completed(3)
    assert attempted.identifiers() == ["thing-0", "thing-1", "thing-2"]


def test_a_worker_waits_while_there_is_no_room(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "count"
    attempted = workshop.prepare("counted", 20_000, str(file))
    attempted.room.clear()
    attempted.start()
    attempted.next_event()
    before, yielded = -1, 0
    while yielded != before:
        before = yielded
        time.sleep(0.1)  # it would yield thousands meanwhile
        yielded = int(file.read_bytes())
    assert yielded * 1000 <= 6 * chunks.MOST_BYTES  # each entity has a thousand bytes
    attempted.room.set()
    assert attempted.outcome() == Completed(20_000)


def test_a_shard_knows_its_run_and_the_settings(workshop: Workshop) -> None:
    attempted = workshop.start("knows", attempt=2)
    assert attempted.outcome() == Completed(1)
    assert attempted.entities() == [
        {
            "identifier": "knows",
            "config": {"resources": [{"kind": "thing"}]},
            "kinds": ["thing"],
            "parameters": {},
            "settings": {"url": "https://example.com"},
            "run": workshop.run.id,
            "attempt": 2,
        }
    ]


def test_a_shard_says_how_far_it_is(workshop: Workshop) -> None:
    attempted = workshop.start("progresses")
    assert attempted.outcome() == Completed(1)
    assert Advanced(3, 7, "page 3") in attempted.events


def test_what_the_handler_raises_fails_the_attempt_and_not_the_worker(workshop: Workshop) -> None:
    assert workshop.start("raises", "a\nb").outcome() == Failed("ValueError: a b")
    assert workshop.start("exits").outcome() == Failed("SystemExit: 3")
    later = workshop.start("retries_later", 5.0).outcome()
    assert isinstance(later, Failed)
    assert later.retry_after == 5.0
    assert workshop.start("things", 1).outcome() == Completed(1)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ({"identifier": "x"}, "a dict"),
        (("thing",), "a tuple"),
        ("ab", "a str"),
        ((1, {"identifier": "x"}), "(int, dict)"),
        (("thing", "x"), "(str, str)"),
    ],
)
def test_a_yielded_value_that_is_no_pair_is_named(
    workshop: Workshop, value: object, got: str
) -> None:
    outcome = workshop.start("yields", value).outcome()
    assert outcome == Failed(
        f"Sharded.resync_shard yielded {got}: expected (blueprint, entity), a string and a mapping",
        lasting=True,
    )


@pytest.mark.parametrize(("value", "kind_of_it"), [(None, "NoneType"), ({}, "dict"), ("x", "str")])
def test_a_shard_that_yields_nothing_is_named(
    workshop: Workshop, value: object, kind_of_it: str
) -> None:
    outcome = workshop.start("returns", value).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(f"Sharded.resync_shard returned a {kind_of_it}: expected")


def test_a_handler_that_cannot_be_built_in_a_worker_fails_the_attempt(workshop: Workshop) -> None:
    outcome = workshop.start(handler="NotLoadable").outcome()
    assert outcome == Failed(
        "NotLoadable cannot be built in a worker: ImportError: no module named 'missing'"
    )


def test_an_attempt_that_was_cancelled_before_does_not_begin(
    workshop: Workshop, tmp_path: Path
) -> None:
    attempted = workshop.prepare("waits", str(tmp_path / "began"), str(tmp_path / "ended"))
    attempted.job.cancel("aborted")
    assert attempted.start().outcome() == Cancelled()
    assert not (tmp_path / "began").exists()


def test_a_cancelled_shard_ends_at_once_and_cleans_up(workshop: Workshop, tmp_path: Path) -> None:
    attempted = workshop.start("waits", str(tmp_path / "began"), str(tmp_path / "ended"))
    wait_for(tmp_path / "began")
    attempted.job.cancel("aborted")
    assert attempted.outcome() == Cancelled()
    assert (tmp_path / "ended").exists()
    attempted.job.cancel("aborted again")
    assert workshop.start("things", 1).outcome() == Completed(1)


def test_a_shard_that_yields_for_ever_is_cancelled(workshop: Workshop, tmp_path: Path) -> None:
    attempted = workshop.start("endless", str(tmp_path / "began"))
    attempted.next_event()
    attempted.job.cancel("aborted")
    assert attempted.outcome() == Cancelled()


def test_a_shard_that_hangs_is_killed(workshop: Workshop, kind: Kind, tmp_path: Path) -> None:
    attempted = workshop.start("hangs", str(tmp_path / "began"), str(tmp_path / "until"))
    wait_for(tmp_path / "began")
    attempted.job.cancel("aborted")
    attempted.job.kill()
    if not kind.isolated:  # a thread goes on until it ends by itself
        (tmp_path / "until").touch()
    assert attempted.outcome() == Cancelled()
    assert workshop.start("things", 1).outcome() == Completed(1)


def test_a_lost_worker_is_told_and_replaced(workshop: Workshop, kind: Kind) -> None:
    if kind.isolated:
        outcome = workshop.start("dies").outcome()
        assert isinstance(outcome, Lost)
        assert outcome.reason
    assert workshop.start("things", 1).outcome() == Completed(1)


def test_as_many_shards_as_there_are_workers_are_done_at_the_same_time(
    workshop: Workshop, tmp_path: Path
) -> None:
    until = str(tmp_path / "until")
    both = [workshop.start("hangs", str(tmp_path / name), until) for name in ("one", "two")]
    wait_for(tmp_path / "one")
    wait_for(tmp_path / "two")
    Path(until).touch()
    assert [each.outcome() for each in both] == [Completed(1), Completed(1)]


def test_an_object_does_one_shard_after_another(workshop: Workshop) -> None:
    names = []
    for _ in range(2):
        attempted = workshop.start("object_and_process")
        assert attempted.outcome() == Completed(1)
        names += attempted.identifiers()
    assert names[0] == names[1]


def test_limits_of_the_run_hold_for_shards(workshop: Workshop) -> None:
    attempted = workshop.start("limited", limits=Limits(per_second=4.0, concurrency=6))
    assert attempted.outcome() == Completed(1)
    (entity,) = attempted.entities()
    shared = not workshop.kind.isolated  # then the run's own limiter is used
    assert entity["limits"] == ([None, None] if shared else [2.0, 3])


def test_a_closed_executor_leaves_nothing_behind(
    open_workshop: Callable[..., Workshop], tmp_path: Path
) -> None:
    workshop = open_workshop()
    attempted = workshop.start("waits", str(tmp_path / "began"), str(tmp_path / "ended"))
    wait_for(tmp_path / "began")
    pid = int((tmp_path / "began").read_text())
    left = workshop.executor.close()
    assert isinstance(attempted.outcome(), Cancelled | Lost)
    if workshop.kind.isolated:  # a thread is named if it works when the executor is closed
        assert left == []
        wait_until(lambda: has_ended(pid), "the end of the worker")
    assert workshop.executor.close() == []


def test_an_executor_that_was_never_used_is_closed(open_workshop: Callable[..., Workshop]) -> None:
    assert open_workshop().executor.close() == []
