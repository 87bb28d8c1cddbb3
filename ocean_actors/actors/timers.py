"""The messages that an actor has told to itself later, or again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocean_actors.actors.clock import Clock, Timer
from ocean_actors.actors.mailbox import Envelope
from ocean_actors.actors.message import Message

Deliver = Callable[[Envelope], bool]
"""Puts a letter into the actor's mailbox: whether it is in."""

Pending = set[Any]
"""The timers of one life. Written by the actor's thread and by the clock's, one item at a time."""


class Once(Timer):
    """One message told later. `cancel` drops it; one that waits already is still handled."""

    __slots__ = ("_deliver", "_message", "_pending")

    def __init__(
        self, clock: Clock, due: float, message: Message, deliver: Deliver, pending: Pending
    ) -> None:
        super().__init__(clock, due, self._fire)
        self._message = message
        self._deliver = deliver
        self._pending = pending

    def cancel(self) -> None:
        """Drop it; cancelling late or twice does nothing."""
        super().cancel()
        self._pending.discard(self)

    def _fire(self) -> None:
        self._pending.discard(self)
        self._deliver(Envelope(self._message))


class Repeat:
    """A message told again and again, until `cancel`.

    It asks rather than tells, to hear when a beat was handled: at most one waits in the
    mailbox, however busy the actor is. At a fixed rate beats fall due at `first` plus whole
    multiples of `seconds`, and one that falls due while another waits is left out; with a
    fixed delay the next falls due `seconds` after the last was handled.
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
        self._beat = 0
        self._waiting = False
        self._cancelled = False
        self._timer: Timer | None = None

    def start(self) -> None:
        """Wait for the first beat."""
        self._call_at(self._first)

    def cancel(self) -> None:
        """Tell it no more; a beat that waits already is still handled. Twice does nothing."""
        self._cancelled = True
        self._pending.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def set(self, _value: Any) -> None:
        """The beat was handled (the answer goes nowhere)."""
        self._waiting = False
        if self._fixed_delay:
            self._call_at(self._clock.monotonic() + self._seconds)

    def set_exception(self, _exc_info: Any = None) -> None:
        """The beat failed or was dropped."""
        self.set(None)

    def _call_at(self, due: float) -> None:
        if self._cancelled:
            return
        self._timer = self._clock.call_at(due, self._fire)
        if self._cancelled:  # meanwhile, by another thread
            self._timer.cancel()

    def _fire(self) -> None:
        if not self._fixed_delay:
            # Counted from the first, so that no rounding adds up; a clock that was held up
            # for several beats goes on with the next one that is due.
            late = self._clock.monotonic() - self._first
            self._beat = max(self._beat + 1, int(late // self._seconds))
            self._call_at(self._first + self._beat * self._seconds)
            if self._waiting:
                return
        self._waiting = True
        if not self._deliver(Envelope(self._message, self)):
            self.set(None)


class ActorTimers:
    """The pending timers of one life of an actor."""

    def __init__(self, clock: Clock, deliver: Deliver) -> None:
        self._clock = clock
        self._deliver = deliver
        self._pending: Pending = set()

    def once(self, due: float, message: Message) -> Once:
        """Tell `message` when the clock shows `due`."""
        timer = Once(self._clock, due, message, self._deliver, self._pending)
        self._pending.add(timer)
        self._clock.add(timer)
        return timer

    def every(self, first: float, seconds: float, message: Message, *, fixed_delay: bool) -> Repeat:
        """Tell `message` when the clock shows `first` and from then on every `seconds`."""
        if not seconds > 0:  # NaN is not either
            raise ValueError(f"a message can be repeated every few seconds, not every {seconds}")
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
        """Cancel them all: the life is over."""
        for timer in list(self._pending):
            timer.cancel()
