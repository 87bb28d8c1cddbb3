"""What is shown of shards."""

from __future__ import annotations

from datetime import datetime, timezone

from rich.console import Console

from ocean_actors.log_output.live_lines import live_lines
from ocean_actors.messages import Progress, ShardProgress
from ocean_actors.resync.totals import shard_counts, shard_entities
from ocean_actors.shards.drive import shard_names

RUNNING = (ShardProgress("org-a", 320), ShardProgress("org-b", 7, attempt=2))


def test_shards_are_counted_by_state_and_entities_of_those_that_run() -> None:
    progress = {
        "Teams": Progress("Teams", 3, 40, shards=RUNNING),
        "Plain": Progress("Plain", 3, 40),
        "Ended": Progress("Ended", 5, 5, shards=()),
    }
    assert shard_counts(progress) == {
        ("Teams", "done"): 3, ("Teams", "running"): 2, ("Teams", "waiting"): 35,
        ("Ended", "done"): 5, ("Ended", "running"): 0, ("Ended", "waiting"): 0,
    }  # fmt: skip
    assert shard_entities(progress) == {"Teams": 327, "Ended": 0}


def test_the_terminal_shows_the_entities_of_each_running_shard() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    shards = [{"name": "org-a", "items": 320}, {"name": "org-b", "items": 7}]
    run = {
        "id": "r-1", "trigger": "manual", "startedAt": now.isoformat(), "handlers": ["Teams"],
        "progress": {"Teams": {"done": 3, "total": 40, "shards": shards}},
    }  # fmt: skip
    status = {"resync": {"state": "running", "run": run, "kinds": {"Teams": ["team"]}}}
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        for line in live_lines([status], now, 100):
            console.print(line)
    assert "3/40 org-a:320 org-b:7" in capture.get()


def test_a_numbered_name_is_not_that_of_another_shard() -> None:
    assert shard_names(["a", "a", "a-2", "a", "a-2"]) == ["a", "a-3", "a-2", "a-4", "a-2-2"]


def test_shards_are_named_by_their_text_each_once() -> None:
    assert shard_names(["a", ("b", 1), "a", "", "x\ny"]) == [
        "a",
        "('b', 1)",
        "a-2",
        "(empty)",
        "x y",
    ]
