"""The latest events: which line each makes, and how many are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, handles
from ocean_actors.control.events import EventLine, EventRing, line_of
from ocean_actors.control.recorder import LOOK_SECONDS, PROGRESS_SECONDS, EventRecorder
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import (
    HandlerEnded,
    Progress,
    RequestSettled,
    ResyncRequested,
    RoleChanged,
    RunEnded,
    RunInfo,
    RunProgressed,
    RunStarted,
    Written,
)
from ocean_actors.testing import ManualClock, wait_idle

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
RUN = RunInfo("abc-1", 1, "polling", "resync requested", AT, AT, FrozenDict())
LATER = AT + timedelta(seconds=3)


def text_of(event: Message) -> str:
    line = line_of(event)
    assert line is not None
    return line.text


def test_a_run_is_told_from_its_start_to_its_end() -> None:
    assert text_of(RunStarted(RUN)) == "run abc-1 started: resync requested (polling)"
    progress = RunProgressed(RUN, Progress("Issues", 5, 10, "acme"))
    assert text_of(progress) == "Issues: 5 of 10, acme"
    done = RunEnded(RUN, "completed", LATER, (), Written(upserted=4, deleted=1))
    assert text_of(done) == "run abc-1 completed after 3.0 s, entities: 4 sent, 1 deleted"
    part = HandlerEnded(RUN, "Issues", "failed", LATER)
    assert text_of(part) == "Issues: failed"
    failed = RunEnded(RUN, "failed", LATER, ("Issues: gone", "Teams: gone"), Written())
    assert text_of(failed) == "run abc-1 failed after 3.0 s; Issues: gone (and 1 more)"


@pytest.mark.parametrize(
    ("status", "level"), [("completed", "good"), ("failed", "bad"), ("aborted", "warning")]
)
def test_the_outcome_is_the_level(status: str, level: str) -> None:
    line = line_of(RunEnded(RUN, status, LATER, (), Written()))  # type: ignore[arg-type]  # a literal
    assert line is not None
    assert (line.level, line.run) == (level, "abc-1")


def test_requests_and_roles_are_told() -> None:
    request = ResyncRequested(reason="why", trigger="schedule", requested_at=AT)
    assert "ignored" in text_of(RequestSettled(request, "ignored", None))
    assert "settled by run abc-1" in text_of(RequestSettled(request, "completed", "abc-1"))
    assert "stands by" in text_of(RoleChanged(active=False))
    assert line_of(Message()) is None


def test_text_from_outside_cannot_forge_a_line() -> None:
    run = RunInfo("abc-1", 1, "polling", "a\nb\x1b[31m" + "c" * 999, AT, AT, FrozenDict())
    text = text_of(RunStarted(run))
    assert text.isprintable()
    assert len(text) <= 300


def test_the_ring_keeps_the_latest_and_numbers_them_for_ever() -> None:
    ring = EventRing(kept=3)
    assert (ring.latest, ring.after(0)) == (0, [])
    for number in range(1, 8):
        ring.add(AT, EventLine("Test", "info", f"event {number}"))
    assert [each["number"] for each in ring.after(0)] == [5, 6, 7]
    assert [each["number"] for each in ring.after(6)] == [7]
    assert ring.after(7) == ring.after(70) == []
    assert ring.latest == 7


def test_two_processes_have_rings_that_can_be_told_apart() -> None:
    assert EventRing().instance != EventRing().instance


class Break(Message):
    """Fail."""


class Clumsy(Actor):
    """Fails when it is told to."""

    @handles(Break)
    def on_break(self, _message: Break) -> None:
        raise ValueError("dropped it")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def system(clock: ManualClock) -> Iterator[ActorSystem]:
    system = ActorSystem(clock=clock, debug=True)
    yield system
    system.stop()


@pytest.fixture
def ring(system: ActorSystem) -> EventRing:
    ring = EventRing()
    system.spawn(EventRecorder, ring, lambda: (system.snapshot(), system.dead_letters.counts))
    return ring


def kinds(ring: EventRing) -> list[str]:
    return [each["kind"] for each in ring.after(0)]


def test_published_events_are_recorded(system: ActorSystem, ring: EventRing) -> None:
    system.events.publish(RunStarted(RUN))
    system.events.publish(RunEnded(RUN, "completed", LATER, (), Written()))
    wait_idle(system)
    assert kinds(ring) == ["RunStarted", "RunEnded"]


def test_an_event_that_cannot_be_shown_costs_its_line(system: ActorSystem, ring: EventRing) -> None:
    system.events.publish(RunEnded(RUN, "completed", LATER.replace(tzinfo=None), (), Written()))
    system.events.publish(RunStarted(RUN))
    wait_idle(system)
    assert kinds(ring) == ["RunEnded", "RunStarted"]
    assert ring.after(0)[0]["text"].startswith("an event that cannot be shown: TypeError: can't ")


def test_progress_is_recorded_now_and_then(
    system: ActorSystem, ring: EventRing, clock: ManualClock
) -> None:
    for _ in range(50):
        system.events.publish(RunProgressed(RUN, Progress("Issues", 1)))
    system.events.publish(RunProgressed(RUN, Progress("Teams", 1)))
    wait_idle(system)
    assert [each["text"] for each in ring.after(0)] == ["Issues: 1", "Teams: 1"]
    clock.advance(PROGRESS_SECONDS, lambda: wait_idle(system))
    system.events.publish(RunProgressed(RUN, Progress("Issues", 2)))
    wait_idle(system)
    assert ring.latest == 3


def test_a_restart_and_a_dead_letter_are_recorded(
    system: ActorSystem, ring: EventRing, clock: ManualClock
) -> None:
    clumsy = system.spawn(Clumsy)
    clumsy.tell(Break())
    clumsy.tell(RoleChanged(active=True))  # which it does not handle
    clock.advance(60, lambda: wait_idle(system))
    assert sorted(kinds(ring)) == ["ActorRestarted", "DeadLetters"]
    texts = " ".join(each["text"] for each in ring.after(0))
    assert "actor Clumsy was restarted: ValueError: dropped it" in texts
    assert "1 of RoleChanged were not handled" in texts
    clock.advance(3 * LOOK_SECONDS, lambda: wait_idle(system))
    assert ring.latest == 2
