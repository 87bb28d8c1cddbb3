"""Messages that an actor has scheduled for itself, once or repeatedly."""

from __future__ import annotations

from collections.abc import Callable

from ocean_actors.actors.clock import Clock, Timer
from ocean_actors.actors.mailbox import Envelope
from ocean_actors.actors.message import Message

Deliver = Callable[[Envelope], bool]
"""Puts an envelope into the actor's mailbox; returns whether it was taken."""

Pending = set["Once | Repeat"]
"""The timers of an actor. The actor's thread and the clock's add and discard single items."""


class Once(Timer):
    """A message told once. After `cancel`, a message already in the mailbox is still handled."""

    __slots__ = ("_deliver", "_message", "_pending")

    def __init__(
        self, clock: Clock, due: float, message: Message, deliver: Deliver, pending: Pending
    ) -> None:
        super().__init__(clock, due, self._fire)
        self._message = message
        self._deliver = deliver
        self._pending = pending

    def cancel(self) -> None:
        """Drop the message; cancelling late or twice has no effect."""
        super().cancel()
        self._pending.discard(self)

    def _fire(self) -> None:
        self._pending.discard(self)
        self._deliver(Envelope(self._message))


class Repeat:
    """A message told repeatedly, until `cancel`.

    The message is asked, not told, so that this object learns when it was handled: at most one
    waits in the mailbox, however busy the actor is. At a fixed rate, messages fall due at
    `first` plus whole multiples of `seconds`, and one that falls due while another waits is
    skipped. With a fixed delay, the next falls due `seconds` after the last was handled.
    """

    def __init__(
        self,
        clock: Clock,
        deliver: Deliver,
        pending: Pending,
        message: Message,
        first: float,
        seconds: float,
        *,
        fixed_delay: bool,
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._pending = pending
        self._message = message
        self._first = first
        self._seconds = seconds
        self._fixed_delay = fixed_delay
        self._periods = 0
        self._waiting = False
        self._cancelled = False
        self._timer: Timer | None = None

    def start(self) -> None:
        """Schedule the first message."""
        self._call_at(self._first)

    def cancel(self) -> None:
        """Tell it no more. A message already in the mailbox is still handled."""
        self._cancelled = True
        self._pending.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def set(self, _value: object) -> None:
        """The message was handled; its reply is ignored."""
        self._waiting = False
        if self._fixed_delay:
            self._call_at(self._clock.monotonic() + self._seconds)

    def set_exception(self, _exc_info: object = None) -> None:
        """The message failed or was dropped."""
        self.set(None)

    def _call_at(self, due: float) -> None:
        if self._cancelled:
            return
        self._timer = self._clock.call_at(due, self._fire)
        if self._cancelled:  # meanwhile, by another thread
            self._timer.cancel()

    def _fire(self) -> None:
        if not self._fixed_delay:
            # Counted from the first, so that rounding errors do not add up. If the clock was
            # held up for several periods, the next message that falls due is the next one told.
            late = self._clock.monotonic() - self._first
            self._periods = max(self._periods + 1, int(late // self._seconds))
            self._call_at(self._first + self._periods * self._seconds)
            if self._waiting:
                return
        self._waiting = True
        if not self._deliver(Envelope(self._message, self)):
            self.set(None)


class ActorTimers:
    """The pending timers of an actor, none of which outlives the life that set it."""

    def __init__(self, clock: Clock, deliver: Deliver) -> None:
        self._clock = clock
        self._deliver = deliver
        self._pending: Pending = set()

    def once(self, due: float, message: Message) -> Once:
        """Tell `message` at the clock's time `due`."""
        timer = Once(self._clock, due, message, self._deliver, self._pending)
        self._pending.add(timer)
        self._clock.add(timer)
        return timer

    def every(self, first: float, seconds: float, message: Message, *, fixed_delay: bool) -> Repeat:
        """Tell `message` at the clock's time `first` and then every `seconds`."""
        if not seconds > 0:  # NaN is not positive either
            raise ValueError(f"seconds: expected a positive number, not {seconds}")
        repeat = Repeat(
            self._clock,
            self._deliver,
            self._pending,
            message,
            first,
            seconds,
            fixed_delay=fixed_delay,
        )
        self._pending.add(repeat)
        repeat.start()
        return repeat

    def drop(self) -> None:
        """Cancel them all: a life has ended."""
        for timer in list(self._pending):
            timer.cancel()
