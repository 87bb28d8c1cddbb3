"""Actors that are told when others end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    AtLimit,
    MailboxPolicy,
    Message,
    OnFailure,
    Ref,
    Supervision,
    Terminated,
    handles,
)
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Do(Message):
    what: Callable[[Any], Any]


class Doer(Actor):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.STOP)

    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)


class Parent(Doer):
    supervision: ClassVar[Supervision] = Supervision()
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1, {Do: AtLimit.ADMIT})

    def __init__(self, ended: list[Terminated]) -> None:
        super().__init__()
        self.ended = ended

    @handles(Terminated)
    def on_terminated(self, message: Terminated) -> None:
        self.ended.append(message)

    def spawn(self, name: str = "child") -> Ref:
        ref = self.context.spawn(Doer, name=name)
        self.context.watch(ref)
        return ref


@pytest.fixture
def ended() -> list[Terminated]:
    return []


@pytest.fixture
def parent(system: ActorSystem, ended: list[Terminated]) -> Ref:
    return system.spawn(Parent, ended, name="parent")


def child_of(parent: Ref) -> Ref:
    ref: Ref = parent.ask(Do(lambda actor: actor.spawn()))
    return ref


def test_a_child_that_failed_is_told_of_with_its_failure(
    system: ActorSystem, parent: Ref, ended: list[Terminated]
) -> None:
    child = child_of(parent)
    child.tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    assert ended == [Terminated(child, "ZeroDivisionError: division by zero")]


def test_a_child_that_stopped_is_told_of_once_and_its_name_is_free(
    system: ActorSystem, parent: Ref, ended: list[Terminated]
) -> None:
    child = child_of(parent)
    parent.ask(Do(lambda actor: actor.context.watch(child)))  # twice has no effect
    child.tell(Do(lambda actor: actor.context.stop()))
    wait_idle(system)
    assert ended == [Terminated(child, None)]
    assert str(child_of(parent)) == "child"


def test_a_restart_is_no_end(
    system: ActorSystem, clock: ManualClock, parent: Ref, ended: list[Terminated]
) -> None:
    other = system.spawn(Parent, [], name="other")
    parent.ask(Do(lambda actor: actor.context.watch(other)))
    other.tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    clock.advance(1, lambda: wait_idle(system))
    assert ended == []
    system.stop_actor(other)
    wait_idle(system)
    assert ended == [Terminated(other, None)]


def test_who_watches_too_late_is_told_at_once(
    system: ActorSystem, parent: Ref, ended: list[Terminated]
) -> None:
    doomed = system.spawn(Doer)
    doomed.tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    parent.ask(Do(lambda actor: actor.context.watch(doomed)))
    wait_idle(system)
    assert ended == [Terminated(doomed, "ZeroDivisionError: division by zero")]


@pytest.mark.parametrize("way", ["unwatch", "abandon"])
def test_a_watch_can_be_ended(
    system: ActorSystem, parent: Ref, ended: list[Terminated], way: str
) -> None:
    child = child_of(parent)
    parent.ask(Do(lambda actor: getattr(actor.context, way)(child)))
    system.stop_actor(child)
    wait_idle(system)
    assert ended == []


def test_a_full_mailbox_takes_the_news(
    system: ActorSystem, parent: Ref, ended: list[Terminated]
) -> None:
    children = [child_of(parent) for _ in range(5)]

    def stop_all(_actor: Any) -> None:
        for child in children:
            assert system.stop_actor(child)  # while the parent handles nothing else

    parent.ask(Do(stop_all))
    wait_idle(system)
    assert [each.ref for each in ended] == children


def test_the_end_of_a_watcher_is_no_dead_letter(system: ActorSystem, parent: Ref) -> None:
    other = system.spawn(Doer)
    parent.ask(Do(lambda actor: actor.context.watch(other)))
    system.stop_actor(parent)
    system.stop_actor(other)
    wait_idle(system)
    assert system.dead_letters.counts == {}
