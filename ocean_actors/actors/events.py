"""Publish and subscribe by message type, within one system."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ocean_actors.actors.message import Message


class Subscriber(Protocol):
    """Who is told events: the reference of an actor, or an iterator over events."""

    def deliver(self, message: Message) -> bool:
        """Take an event; never waits or raises. Returns whether it was taken."""

    def is_alive(self) -> bool:
        """Returns whether it will take more."""


class EventStream:
    """Delivers each event to the subscribers of its type or of one of its base classes.

    Publishing never waits, and no subscriber can make it fail: events are put into mailboxes,
    and a full mailbox counts those that it refuses. Events of one publisher reach a subscriber
    in their order. A subscriber that has stopped is removed at the next event.

    The latest event of each `retained` type is kept, and later subscribers are told it.
    """

    def __init__(self, check: Callable[[object], None] | None = None) -> None:
        """`check` raises TypeError for an event that must not be published."""
        self._check = check
        self._subscribers: tuple[tuple[Subscriber, type[Message]], ...] = ()
        self._retained: dict[type[Message], Message] = {}
        self._lock = threading.Lock()  # for writers; readers use the present tuple

    def subscribe(self, ref: Subscriber, event_type: type[Message]) -> None:
        """Tell `ref` each `event_type` from now on, and at once those that are retained.

        Subscribing twice has no effect.
        """
        with self._lock:
            if (ref, event_type) not in self._subscribers:
                self._remind(ref, event_type)
                self._subscribers = (*self._subscribers, (ref, event_type))

    def remind(self, ref: Subscriber) -> None:
        """Tell `ref` the retained events that it subscribed to once more: it lost its state."""
        with self._lock:
            self._remind(ref, *(kind for other, kind in self._subscribers if other is ref))

    def _remind(self, ref: Subscriber, *event_types: type[Message]) -> None:
        """Needs the lock, so that a newer event is delivered after the retained one."""
        for event in self._retained.values():
            if isinstance(event, event_types):
                ref.deliver(event)

    def unsubscribe(self, ref: Subscriber, event_type: type[Message] | None = None) -> None:
        """End the subscription of `ref` to `event_type`, or all of its subscriptions."""
        with self._lock:
            self._subscribers = tuple(
                (other, kind)
                for other, kind in self._subscribers
                if other is not ref or (event_type is not None and kind is not event_type)
            )

    def publish(self, event: Message, *, excluding: Subscriber | None = None) -> None:
        """Tell each subscriber but `excluding` the event, once."""
        if self._check is not None:
            self._check(event)
        if event.retained:
            with self._lock:
                self._retained[type(event)] = event
                subscribers = self._subscribers
        else:
            subscribers = self._subscribers
        told: set[Subscriber | None] = {excluding}
        for ref, event_type in subscribers:
            if isinstance(event, event_type) and ref not in told:
                told.add(ref)
                if not ref.deliver(event) and not ref.is_alive():
                    self.unsubscribe(ref)

    def __len__(self) -> int:
        """Returns the number of subscriptions."""
        return len(self._subscribers)
