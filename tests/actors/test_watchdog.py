"""Actors that do not come out of a message."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, handles
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Hang(Message):
    entered: threading.Event


class Gate:
    """Where the actors of these tests hang, until it opens."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def pass_through(self) -> None:
        self.opened.wait(30)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


class Sticky(Actor):
    message_bound: ClassVar[float | None] = 5.0

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    @handles(Hang)
    def hang(self, message: Hang) -> None:
        message.entered.set()
        self.gate.pass_through()


class Patient(Sticky):
    message_bound: ClassVar[float | None] = None


class Slower(Sticky):
    message_bound: ClassVar[float | None] = 60.0


def hang(system: ActorSystem, actor_class: type[Actor], gate: Gate) -> Any:
    entered = threading.Event()
    ref = system.spawn(actor_class, gate)
    ref.tell(Hang(entered))
    assert entered.wait(30)
    return ref


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_a_hung_actor_is_noticed_at_its_bound_and_logged_once_with_where_it_stands(
    system: ActorSystem, clock: ManualClock, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    system.spawn(Slower, gate)
    clock.advance(3.3)  # the looks are out of step with the message
    hang(system, Sticky, gate)
    system.spawn(Slower, gate)
    clock.advance(4.9)
    state = system.snapshot()[1]
    assert (state["hung"], state["message"]) == (False, "Hang")
    assert state["message_seconds"] == pytest.approx(4.9)
    assert warnings(caplog) == []
    clock.advance(0.1)
    assert system.snapshot()[1]["hung"]
    (warning,) = warnings(caplog)
    assert warning.startswith(
        "Sticky has been in Hang for 5.0 s (bound 5 s) and handles nothing else"
    )
    assert "pass_through < " in warning
    assert warning.rpartition(" < ")[2].endswith(" on_receive")
    assert "test_watchdog.py" in warning
    assert "\n" not in warning
    clock.advance(600)
    assert len(warnings(caplog)) == 1
    gate.opened.set()
    wait_idle(system)
    assert not system.snapshot()[1]["hung"]
    clock.advance(5)
    assert "Sticky has finished the message in which it hung" in caplog.text


def test_each_incident_is_logged(
    system: ActorSystem, clock: ManualClock, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    ref = hang(system, Sticky, gate)
    clock.advance(6)
    gate.opened.set()
    wait_idle(system)
    gate.opened.clear()
    entered = threading.Event()
    ref.tell(Hang(entered))
    assert entered.wait(30)
    clock.advance(6)
    assert len(warnings(caplog)) == 2


def test_an_actor_without_a_bound_never_counts_as_hung(
    system: ActorSystem, clock: ManualClock, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    hang(system, Patient, gate)
    clock.advance(1_000_000)
    assert not system.snapshot()[0]["hung"]
    assert warnings(caplog) == []
    assert clock.pending() == 0


def test_one_timer_watches_however_many_actors(
    system: ActorSystem, clock: ManualClock, gate: Gate
) -> None:
    for _ in range(20):
        system.spawn(Sticky, gate)
        system.spawn(Slower, gate)
    wait_idle(system)
    assert clock.pending() == 1
    clock.advance(1_000)
    assert clock.pending() == 1
    system.stop()
    assert clock.pending() == 0


def test_a_hook_can_hang_as_well(
    system: ActorSystem, clock: ManualClock, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    entered = threading.Event()

    class Unready(Sticky):
        def on_start(self) -> None:
            entered.set()
            self.gate.pass_through()

    system.spawn(Unready, gate)
    assert entered.wait(30)
    clock.advance(5)
    assert "Unready has been in on_start for 5.0 s" in caplog.text
    assert system.snapshot()[0]["state"] == "starting"


def test_others_work_on_beside_a_hung_one(
    system: ActorSystem, clock: ManualClock, gate: Gate
) -> None:
    hang(system, Sticky, gate)
    ref = system.spawn(Slower, gate)
    clock.advance(30)
    wait_idle(system, parked="Sticky")
    assert ref.is_alive()
    assert [each["hung"] for each in system.snapshot()] == [True, False]
