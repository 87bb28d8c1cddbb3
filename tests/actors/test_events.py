"""Publish and subscribe."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, handles
from ocean_actors.testing import ManualClock, Probe, wait_idle


@dataclass(frozen=True)
class News(Message):
    number: int


@dataclass(frozen=True)
class LocalNews(News):
    pass


@dataclass(frozen=True)
class Tide(Message):
    retained: ClassVar[bool] = True

    metres: int


@dataclass(frozen=True)
class Weather(Message):
    number: int


def test_subscribers_receive_their_type_and_its_subclasses_in_order(system: ActorSystem) -> None:
    probe = Probe(system).subscribe(News)
    for event in (News(1), Weather(2), LocalNews(3), News(4)):
        system.events.publish(event)
    wait_idle(system)
    assert probe.received() == [News(1), LocalNews(3), News(4)]


def test_an_event_comes_once_however_often_it_was_subscribed_to(system: ActorSystem) -> None:
    probe = Probe(system).subscribe(News, News, LocalNews, Message)
    system.events.publish(LocalNews(1))
    wait_idle(system)
    assert probe.received() == [LocalNews(1)]


def test_an_actor_subscribes_publishes_and_unsubscribes_through_its_context(
    system: ActorSystem,
) -> None:
    class Reader(Actor):
        def on_start(self) -> None:
            self.context.subscribe(News)
            self.context.subscribe(Weather)

        @handles(News)
        def on_news(self, event: News) -> None:
            self.context.unsubscribe(News)
            self.context.publish(Weather(event.number * 10))

        @handles(Weather)
        def on_weather(self, event: Weather) -> None:
            if event.number < 100:
                self.context.publish(Weather(event.number * 10))

    probe = Probe(system).subscribe(Weather)
    system.spawn(Reader)
    wait_idle(system)
    for number in (1, 2):
        system.events.publish(News(number))
        wait_idle(system)
    assert probe.received() == [Weather(10), Weather(100)]


def test_what_a_class_subscribes_to_it_is_told_from_the_moment_it_is_spawned(
    system: ActorSystem,
) -> None:
    started, seen = threading.Event(), []

    class Slow(Actor):
        subscribes_to: ClassVar[tuple[type[Message], ...]] = (News, Weather)

        def on_start(self) -> None:
            started.wait(30)

        def on_receive(self, message: Any) -> None:
            seen.append(message)

    system.spawn(Slow)
    system.events.publish(News(1))
    system.events.publish(Weather(2))
    started.set()
    wait_idle(system)
    assert seen == [News(1), Weather(2)]


def test_subscriptions_and_events_outlive_a_restart(
    system: ActorSystem, clock: ManualClock
) -> None:
    seen: list[int] = []

    class Reader(Actor):
        def on_start(self) -> None:
            if not seen:
                self.context.subscribe(News)

        @handles(News)
        def on_news(self, event: News) -> None:
            seen.append(event.number)
            if event.number == 1:
                raise OSError

    system.spawn(Reader)
    wait_idle(system)
    system.events.publish(News(1))
    wait_idle(system)
    system.events.publish(News(2))
    clock.advance(1, lambda: wait_idle(system))
    assert seen == [1, 2]


def test_a_dead_subscriber_is_forgotten(system: ActorSystem) -> None:
    probe = Probe(system).subscribe(News, Weather)
    assert len(system.events) == 2
    system.stop_actor(probe.ref)
    assert len(system.events) == 0
    probe.subscribe(News)  # late
    system.events.publish(News(1))
    assert len(system.events) == 0
    assert system.dead_letters.counts == {}


def test_a_subscriber_that_hangs_blocks_no_publisher(system: ActorSystem) -> None:
    release, hangs = threading.Event(), threading.Event()

    class Slow(Actor):
        def on_receive(self, _message: Any) -> None:
            hangs.set()
            release.wait(30)

    slow = system.spawn(Slow)
    system.events.subscribe(slow, News)
    probe = Probe(system).subscribe(News)
    for number in range(100):
        system.events.publish(News(number))
    assert hangs.wait(30)
    assert probe.expect(News, where=lambda news: news.number == 99)
    assert next(each["mailbox"] for each in system.snapshot() if each["name"] == "Slow") == 99
    release.set()
    wait_idle(system)


def test_a_mutable_event_is_the_publishers_mistake(system: ActorSystem) -> None:
    @dataclass(frozen=True)
    class Bag(Message):
        items: list[int]

    with pytest.raises(TypeError, match="Bag is mutable"):
        system.events.publish(Bag([]))


def test_the_latest_retained_event_is_told_to_later_subscribers(system: ActorSystem) -> None:
    for event in (Tide(1), Weather(1), Tide(2)):
        system.events.publish(event)
    late = Probe(system).subscribe(Tide, Tide)
    of_all = Probe(system).subscribe(Message)
    of_others = Probe(system).subscribe(Weather)
    system.events.publish(Tide(3))
    wait_idle(system)
    assert late.received() == of_all.received() == [Tide(2), Tide(3)]
    assert of_others.received() == []


def test_a_restarted_subscriber_is_told_what_is_retained_again(
    system: ActorSystem, clock: ManualClock
) -> None:
    lives: list[list[int]] = []

    class Beach(Actor):
        subscribes_to: ClassVar[tuple[type[Message], ...]] = (Tide,)

        def on_start(self) -> None:
            lives.append([])

        @handles(Tide)
        def on_tide(self, event: Tide) -> None:
            lives[-1].append(event.metres)

        @handles(Weather)
        def on_weather(self, event: Weather) -> None:
            raise OSError(event)

    system.events.publish(Tide(1))
    beach = system.spawn(Beach)
    wait_idle(system)
    beach.tell(Weather(9))
    clock.advance(1, lambda: wait_idle(system))
    assert lives == [[1], [1]]


def test_a_newer_event_never_comes_before_the_retained_one(system: ActorSystem) -> None:
    system.events.publish(Tide(0))
    done = threading.Event()

    def rise() -> None:
        metres = 0
        while not done.is_set():
            metres += 1
            system.events.publish(Tide(metres))

    publisher = threading.Thread(target=rise)
    publisher.start()
    probes = [Probe(system).subscribe(Tide) for _ in range(20)]
    firsts = [probe.expect(Tide).metres for probe in probes]
    done.set()
    publisher.join()
    for first, probe in zip(firsts, probes, strict=True):
        later = [each.metres for each in probe.received() if isinstance(each, Tide)]
        assert later == list(range(first + 1, first + 1 + len(later)))
