"""Where an actor's letters wait, how many may, and what gives way when there are too many."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from pykka.messages import _ActorStop

from ocean_actors.actors.message import Message


class MailboxFull(Exception):
    """An actor's mailbox is at its limit and did not take the message; the actor is alive."""


class AtLimit(Enum):
    """What happens to a message of some kind when the mailbox it is sent to is full."""

    REFUSE = "refuse"  # the sender's `tell` raises MailboxFull, so does an `ask`'s future
    DROP_OLDEST = "drop oldest"  # the oldest that waits of its kind goes; if none does, it itself
    COALESCE = "coalesce"  # refused too, but while an equal one waits it is never added at all
    ADMIT = "admit"  # it enters nevertheless: for kinds that are bounded by their nature


@dataclass(frozen=True)
class MailboxPolicy:
    """How many letters may wait, and by message type what happens to one too many.

    A class attribute of an actor. A type stands for its subclasses, the nearest counts; types
    not named are refused. `COALESCE` also applies below the limit: a message equal to one that
    waits is superfluous (they have to be hashable). Messages that are asked are never
    coalesced: each wants its answer.
    """

    limit: int = 250_000
    at_limit: Mapping[type[Message], AtLimit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a mailbox needs room for a letter: limit is {self.limit}")

    def rule_for(self, kind: type) -> tuple[type, AtLimit]:
        """The type that `kind` is counted as, and what happens to it."""
        if issubclass(kind, _ActorStop):
            return kind, AtLimit.ADMIT  # pykka's `ref.stop()`
        named = next((base for base in kind.__mro__ if base in self.at_limit), None)
        return (kind, AtLimit.REFUSE) if named is None else (named, self.at_limit[named])


class Asker(Protocol):
    """Who waits for the answer to a message: a pykka future, or a timer."""

    def set(self, value: Any) -> None:
        """It was handled."""

    def set_exception(self, exc_info: Any = None) -> None:
        """It failed or will not be handled; None stands for `sys.exc_info()`."""


class Envelope:
    """A message and, if somebody asked, who."""

    __slots__ = ("message", "reply_to")

    def __init__(self, message: Any, reply_to: Asker | None = None) -> None:
        self.message = message
        self.reply_to = reply_to


class Mailbox:
    """A FIFO with a limit, for any senders and one receiver, that can be closed.

    Once closed nothing enters, and `get` answers None at once: closing overtakes the letters
    that wait (pykka's stop queues behind them). Put and close exclude each other, so no letter
    slips in after the last one was taken out and is lost.
    """

    def __init__(
        self, owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
    ) -> None:
        self.refused = 0
        self.dropped = 0
        self.coalesced = 0
        self.idle = False  # the receiver waits and nothing else does
        self._owner = owner
        self._policy = policy
        self._limit = policy.limit
        self._on_idle = on_idle
        self._closed = False
        self._lock = threading.Lock()
        self._wake = threading.Lock()  # held while the receiver has nothing to wake up for
        self._wake.acquire()
        letters: deque[Envelope] = deque()
        self._letters: deque[Envelope] | OrderedDict[int, Envelope] = letters
        self._append: Callable[[Envelope], None] = letters.append
        self._take: Callable[[], Envelope] = letters.popleft

    def put(self, envelope: Envelope) -> bool:
        """Append a letter. False if the box is closed; raises MailboxFull if it is full."""
        with self._lock:
            if self._closed:
                return False
            if len(self._letters) >= self._limit:
                self._refuse(envelope)
            self._append(envelope)
            if self.idle:
                self.idle = False
                self._wake.release()
        return True

    def get(self) -> Envelope | None:
        """Wait for the next letter; None once closed. Bounded by `close`, which the owner calls."""
        while True:
            with self._lock:
                if self._closed:
                    return None
                if self._letters:
                    return self._take()
                self.idle = True
            self._on_idle()
            self._wake.acquire()

    def close(self) -> None:
        """Let nothing in from now on and wake whoever waits in `get`."""
        with self._lock:
            self._closed = True
            if self.idle:
                self.idle = False
                self._wake.release()

    def drain(self) -> list[Envelope]:
        """Take out everything that was left."""
        with self._lock:
            return [self._take() for _ in range(len(self._letters))]

    def empty(self) -> bool:
        """Whether nothing waits (part of pykka's inbox protocol)."""
        return not self._letters

    def __len__(self) -> int:
        return len(self._letters)

    def _refuse(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, _ActorStop):
            return
        self.refused += 1
        kind = type(envelope.message).__name__
        raise MailboxFull(f"{self._owner} refuses {kind}: {self._limit} letters wait already")


class RuledMailbox(Mailbox):
    """A mailbox with rules for some kinds. Every operation takes constant time.

    Letters are numbered in their order; the numbers of those that may be dropped are kept by
    kind as well. The first of all is also the first of its kind, so both are taken from the left.
    """

    def __init__(
        self, owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(owner, policy, on_idle)
        self._numbered: OrderedDict[int, Envelope] = OrderedDict()
        self._letters = self._numbered
        self._append = self._append_numbered
        self._take = self._take_first
        self._count = 0
        self._rules: dict[type, tuple[type, AtLimit]] = {}
        self._droppable: dict[type, deque[int]] = {
            kind: deque() for kind, rule in policy.at_limit.items() if rule is AtLimit.DROP_OLDEST
        }
        self._waiting: set[Message] = set()  # those that an equal one need not join

    def put(self, envelope: Envelope) -> bool:
        """Append a letter, or do as the rule for its kind says."""
        kind, rule = self._rule(envelope)
        dropped: Envelope | None = None
        with self._lock:
            if self._closed:
                return False
            if (
                rule is AtLimit.COALESCE
                and envelope.reply_to is None
                and envelope.message in self._waiting
            ):
                self.coalesced += 1
                return True
            if len(self._numbered) >= self._limit and rule is not AtLimit.ADMIT:
                if rule is not AtLimit.DROP_OLDEST:
                    self._refuse(envelope)
                self.dropped += 1
                numbers = self._droppable[kind]
                dropped = self._numbered.pop(numbers.popleft()) if numbers else envelope
            if dropped is not envelope:
                self._append(envelope)
                if self.idle:
                    self.idle = False
                    self._wake.release()
        if dropped is not None and dropped.reply_to is not None:
            error = MailboxFull(f"{self._owner} dropped {kind.__name__} for a newer one")
            dropped.reply_to.set_exception((MailboxFull, error, None))
        return True

    def _rule(self, envelope: Envelope) -> tuple[type, AtLimit]:
        message_type = type(envelope.message)
        try:
            return self._rules[message_type]
        except KeyError:
            rule = self._rules[message_type] = self._policy.rule_for(message_type)
            return rule

    def _append_numbered(self, envelope: Envelope) -> None:
        kind, rule = self._rule(envelope)
        self._count += 1
        self._numbered[self._count] = envelope
        if rule is AtLimit.DROP_OLDEST:
            self._droppable[kind].append(self._count)
        elif rule is AtLimit.COALESCE and envelope.reply_to is None:
            self._waiting.add(envelope.message)

    def _take_first(self) -> Envelope:
        _, envelope = self._numbered.popitem(last=False)
        kind, rule = self._rule(envelope)
        if rule is AtLimit.DROP_OLDEST:
            self._droppable[kind].popleft()
        elif rule is AtLimit.COALESCE and envelope.reply_to is None:
            self._waiting.discard(envelope.message)
        return envelope


def open_mailbox(
    owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
) -> Mailbox:
    """The mailbox for an actor with that policy; `on_idle` is called when its receiver waits."""
    return (RuledMailbox if policy.at_limit else Mailbox)(owner, policy, on_idle)
