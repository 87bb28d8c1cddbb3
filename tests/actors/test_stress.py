"""Crashes at random under many messages: only the failing ones are lost."""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass
from typing import ClassVar

import pytest

from ocean_actors.actors import Actor, ActorSystem, Backoff, Message, Supervision, handles
from ocean_actors.testing import wait_idle

ACTORS = 10
SENDERS = 4
MESSAGES = 100_000  # in all
FAILURES = 500
ERRORS = (ValueError, OSError, SystemExit, KeyboardInterrupt)


@dataclass(frozen=True)
class Item(Message):
    sender: int
    number: int
    error: type[BaseException] | None = None


class Fickle(Actor):
    supervision: ClassVar[Supervision] = Supervision(
        backoff=Backoff(initial=0.0001, maximum=0.0001), limit=FAILURES
    )

    def __init__(self, received: list[Item]) -> None:
        super().__init__()
        self.received = received

    @handles(Item)
    def on_item(self, item: Item) -> None:
        if item.error is not None:
            raise item.error
        self.received.append(item)


def test_no_message_but_the_failing_ones_is_lost_or_reordered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "ocean_actors")  # hundreds of tracebacks
    jitter = random.Random(20_260_101)  # noqa: S311
    each = MESSAGES // ACTORS // SENDERS
    failing = {
        (sender, receiver, number): jitter.choice(ERRORS)
        for sender, receiver, number in (
            (jitter.randrange(SENDERS), jitter.randrange(ACTORS), jitter.randrange(each))
            for _ in range(FAILURES)
        )
    }
    system = ActorSystem(seed=1)
    received: list[list[Item]] = [[] for _ in range(ACTORS)]
    refs = [system.spawn(Fickle, items) for items in received]

    def send(sender: int) -> None:
        for number in range(each):
            for receiver, ref in enumerate(refs):
                ref.tell(Item(sender, number, failing.get((sender, receiver, number))))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        wait_idle(system, 60)
        restarts = [state["restarts"] for state in system.snapshot()]
        handled = [state["handled"] for state in system.snapshot()]
    finally:
        assert system.stop() == []
    assert sum(restarts) == len(failing) > 400
    assert sum(handled) == MESSAGES
    assert system.dead_letters.counts == {}
    for receiver, items in enumerate(received):
        for sender in range(SENDERS):
            numbers = [item.number for item in items if item.sender == sender]
            expected = [n for n in range(each) if (sender, receiver, n) not in failing]
            assert numbers == expected
