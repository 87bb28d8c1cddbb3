"""Publish and subscribe by message type, within one system."""

from __future__ import annotations

import threading

from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref


class EventStream:
    """Tells every subscriber of a message's type, or of a class it inherits from.

    Publishing never waits: it puts the message into mailboxes. One publisher's events reach
    one subscriber in their order. A subscriber that died is forgotten at the next event.
    """

    def __init__(self) -> None:
        self._subscribers: tuple[tuple[Ref, type[Message]], ...] = ()
        self._lock = threading.Lock()  # of writers; a reader takes the tuple as it is

    def subscribe(self, ref: Ref, event_type: type[Message]) -> None:
        """From now on tell `ref` each `event_type`; once, however often it is said."""
        with self._lock:
            if (ref, event_type) not in self._subscribers:
                self._subscribers = (*self._subscribers, (ref, event_type))

    def unsubscribe(self, ref: Ref) -> None:
        """Tell `ref` nothing more."""
        with self._lock:
            self._subscribers = tuple(pair for pair in self._subscribers if pair[0] is not ref)

    def publish(self, event: Message) -> None:
        """Tell the subscribers, each once."""
        told: set[int] = set()
        for ref, event_type in self._subscribers:
            if isinstance(event, event_type) and id(ref) not in told:
                told.add(id(ref))
                if ref.is_alive():
                    ref.tell(event)
                else:
                    self.unsubscribe(ref)
