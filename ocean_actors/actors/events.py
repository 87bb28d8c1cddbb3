"""Publish and subscribe by message type, within one system."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref


class EventStream:
    """Tells every subscriber of a message's type, or of a class it inherits from.

    Publishing never waits and never fails for a subscriber's sake: it puts the message into
    mailboxes, and what a full one refuses is counted there. One publisher's events reach one
    subscriber in their order. A subscriber that died is forgotten at the next event.
    """

    def __init__(self, check: Callable[[Any], None] | None = None) -> None:
        """`check` raises for an event that must not be published."""
        self._check = check
        self._subscribers: tuple[tuple[Ref, type[Message]], ...] = ()
        self._lock = threading.Lock()  # of writers; a reader takes the tuple as it is

    def subscribe(self, ref: Ref, event_type: type[Message]) -> None:
        """From now on tell `ref` each `event_type`; once, however often it is said."""
        with self._lock:
            if (ref, event_type) not in self._subscribers:
                self._subscribers = (*self._subscribers, (ref, event_type))

    def unsubscribe(self, ref: Ref, event_type: type[Message] | None = None) -> None:
        """Tell `ref` no more of what it subscribed to as `event_type`, or nothing at all."""
        with self._lock:
            self._subscribers = tuple(
                (other, kind)
                for other, kind in self._subscribers
                if other is not ref or (event_type is not None and kind is not event_type)
            )

    def publish(self, event: Message) -> None:
        """Tell the subscribers, each once."""
        if self._check is not None:
            self._check(event)
        told: set[Ref] = set()
        for ref, event_type in self._subscribers:
            if isinstance(event, event_type) and ref not in told:
                told.add(ref)
                if not ref.offer(event):
                    self.unsubscribe(ref)

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscribers)
