"""Actors that actors start."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, Ref, handles, lifecycle
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Do(Message):
    what: Callable[[Any], Any]


class Node(Actor):
    def __init__(self, ended: list[str], children: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.ended = ended
        self.names = children

    def on_start(self) -> None:
        for name in self.names:
            self.context.spawn(Node, self.ended, name=name)

    def on_stop(self) -> None:
        self.ended.append(self.context.name)

    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    release = threading.Event()
    yield release
    release.set()


def names(system: ActorSystem) -> list[str]:
    return [each["name"] for each in system.snapshot()]


def spawn_child(parent: Ref, name: str) -> Ref:
    ref: Ref = parent.ask(Do(lambda node: node.context.spawn(Node, node.ended, name=name)))
    return ref


def hang(ref: Ref, release: threading.Event) -> None:
    entered = threading.Event()

    def wait(_node: object) -> None:
        entered.set()
        release.wait(30)

    ref.tell(Do(wait))
    assert entered.wait(30)


def test_children_are_stopped_with_their_parent_and_their_own_before_them(
    system: ActorSystem,
) -> None:
    ended: list[str] = []
    parent = system.spawn(Node, ended, name="parent")
    grandchild = spawn_child(spawn_child(parent, "child"), "grandchild")
    stranger = system.spawn(Node, ended, name="stranger")
    assert [each["parent"] for each in system.snapshot()] == [None, "parent", "child", None]
    assert system.stop_actor(parent)
    assert not grandchild.is_alive()
    assert names(system) == ["stranger"]
    assert sorted(ended) == ["child", "grandchild", "parent"]
    assert stranger.is_alive()


def test_a_restart_stops_the_children_and_on_start_makes_new_ones(
    system: ActorSystem, clock: ManualClock
) -> None:
    ended: list[str] = []
    parent = system.spawn(Node, ended, ("a", "b"), name="parent")
    wait_idle(system)
    parent.tell(Do(lambda _node: 1 / 0))
    wait_idle(system)
    assert names(system) == ["parent"]
    assert sorted(ended) == ["a", "b"]
    clock.advance(1, lambda: wait_idle(system))
    assert names(system) == ["parent", "a", "b"]


def test_a_parent_stops_one_child_and_its_name_is_free_again(system: ActorSystem) -> None:
    parent = system.spawn(Node, [], name="parent")
    child = spawn_child(parent, "child")
    parent.ask(Do(lambda node: node.context.stop(child)))
    wait_idle(system)
    assert names(system) == ["parent"]
    parent.ask(Do(lambda node: node.context.stop(child)))  # it has ended: nothing
    parent.ask(Do(lambda node: node.context.abandon(child)))
    assert str(spawn_child(parent, "child")) == "child"


def test_a_child_that_ended_itself_is_not_kept(system: ActorSystem) -> None:
    parent = system.spawn(Node, [], name="parent")
    for _ in range(10):
        spawn_child(parent, "child").ask(Do(lambda node: node.context.stop()))
    wait_idle(system)
    assert parent.ask(Do(lambda node: len(node.context._cell.children))) == 0


def test_another_ones_child_is_not_ours_to_stop(system: ActorSystem, clock: ManualClock) -> None:
    parent, stranger = system.spawn(Node, []), system.spawn(Node, [], name="stranger")

    def call(act: str, node: Any) -> None:
        getattr(node.context, act)(stranger)

    for act in ("stop", "abandon"):
        with pytest.raises(ValueError, match="stranger is not a child of Node"):
            parent.ask(Do(functools.partial(call, act)))
        wait_idle(system)
        clock.advance(1, lambda: wait_idle(system))
    assert stranger.is_alive()


def test_a_hung_child_holds_its_parent_for_a_bounded_time_only(
    clock: ManualClock,
    release: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lifecycle, "CHILDREN_TIMEOUT", 0.02)
    system = ActorSystem(clock=clock)
    parent = system.spawn(Node, [], ("a", "b"), name="parent")
    wait_idle(system)
    children = parent.ask(Do(lambda node: list(node.context._cell.children)))
    for child in children:
        hang(child, release)
    assert system.stop_actor(parent)
    assert "a did not end within 0.02 s; parent goes on without it" in caplog.text
    assert [each["state"] for each in system.snapshot()] == ["abandoned", "abandoned"]
    assert system.stop(timeout=0.0) == ["b", "a"]
    release.set()
    assert all(system.stop_actor(child) for child in children)


def test_an_abandoned_child_is_waited_for_by_nobody_and_a_fresh_one_takes_over(
    system: ActorSystem, release: threading.Event
) -> None:
    parent = system.spawn(Node, [], name="parent")
    child = spawn_child(parent, "child")
    hang(child, release)
    parent.ask(Do(lambda node: node.context.abandon(child)))
    assert not child.is_alive()
    fresh = spawn_child(parent, "child")
    assert fresh.ask(Do(lambda node: node.context.name)) == "child-2"
    states = {each["name"]: each["state"] for each in system.snapshot()}
    assert states == {"parent": "running", "child": "abandoned", "child-2": "running"}
    wait_idle(system)  # without the abandoned one
    assert system.stop_actor(parent)
    assert names(system) == ["child"]
    release.set()
    assert system.stop_actor(child)  # it ends when it can


def test_a_child_that_is_started_while_the_system_stops_does_not_begin(
    system: ActorSystem,
) -> None:
    """What it would use was ended already, so its first step would look like a failure."""
    begun: list[str] = []
    entered = threading.Event()

    class Late(Node):
        def on_start(self) -> None:
            begun.append("on_start")

    def start_children(node: Node) -> None:
        entered.set()
        node.context.stopping.wait(30)
        for _ in range(200):
            node.context.spawn(Late, [])

    system.spawn(Node, [], name="parent").tell(Do(start_children))
    assert entered.wait(30)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # a thread that starts goes on before the one that starts it
    try:
        assert system.stop() == []
    finally:
        sys.setswitchinterval(interval)
    assert begun == []
