"""Messages that reach nobody."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pykka
import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, handles
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Known(Message):
    pass


@dataclass(frozen=True)
class Unknown(Message):
    pass


@dataclass(frozen=True)
class Hold(Message):
    pass


class Receiver(Actor):
    @handles(Known)
    def on_known(self, _message: Known) -> str:
        return "known"

    @handles(Hold)
    def on_hold(self, _message: Hold) -> None:
        self.context.stop()


def test_a_type_that_nobody_handles_is_counted_and_logged_once(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = system.spawn(Receiver), system.spawn(Receiver)
    assert first.ask(Unknown()) is None
    for ref in (first, second, first):
        ref.tell(Unknown())
    wait_idle(system)
    assert system.dead_letters.counts == {"Unknown": 4}
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING] == [
        "Unknown was not handled: Receiver does not handle it; further ones are only counted"
    ]
    assert first.ask(Known()) == "known"


def test_telling_a_stopped_actor_is_a_dead_letter_and_asking_it_an_error(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    ref = system.spawn(Receiver)
    assert system.stop_actor(ref)
    for message in (Known(), Known(), Unknown()):
        ref.tell(message)
    with pytest.raises(pykka.ActorDeadError, match="Receiver is stopped"):
        ref.ask(Known())
    assert system.dead_letters.counts == {"Known": 2, "Unknown": 1}
    assert "Known was not handled: Receiver has stopped" in caplog.text


def test_letters_that_a_stop_leaves_unread_are_accounted_for(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock)
    ref = system.spawn(Receiver)
    ref.tell(Hold())
    told = 50
    for _ in range(told):
        ref.tell(Known())  # before or after the end, none is forgotten
    wait_idle(system)
    assert system.dead_letters.counts == {"Known": told}
    assert system.stop() == []


def test_who_asked_is_answered_however_the_stop_falls(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock)
    ref = system.spawn(Receiver)
    ref.tell(Hold())
    answers = [ref.ask(Known(), block=False) for _ in range(50)]
    for answer in answers:
        with pytest.raises(pykka.ActorDeadError):
            answer.get(timeout=30)
    assert system.stop() == []


def test_letters_that_a_stop_of_the_whole_system_leaves_are_counted_and_no_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    system = ActorSystem(clock=ManualClock())
    ref = system.spawn(Receiver)
    system.stop()
    ref.tell(Known())
    assert system.dead_letters.counts == {"Known": 1}
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_an_event_for_a_subscriber_that_has_stopped_is_no_dead_letter(system: ActorSystem) -> None:
    ref = system.spawn(Receiver)
    system.events.subscribe(ref, Known)
    assert system.stop_actor(ref)
    system.events.subscribe(ref, Known)  # as if it had stopped in this very moment
    system.events.publish(Known())
    assert system.dead_letters.counts == {}
    assert len(system.events) == 0
