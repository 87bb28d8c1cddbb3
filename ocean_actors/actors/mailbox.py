"""Mailboxes: where messages wait for their actor, and the rules that bound their number."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from pykka.messages import _ActorStop

from ocean_actors.actors.message import Message, Signal
from ocean_actors.errors import OceanError

ALWAYS_TAKEN = (_ActorStop, Signal)
"""Pykka's `ref.stop()`, and what the runtime itself sends: no limit refuses them."""


class MailboxFull(OceanError):
    """Raised if an actor's mailbox is at its limit and refuses a message; the actor is alive."""


class AtLimit(Enum):
    """What happens to a message when the mailbox that it is sent to is full."""

    REFUSE = "refuse"  # `tell` raises MailboxFull, and so does the future of an `ask`
    DROP_OLDEST = (
        "drop oldest"  # drops the oldest waiting message of its type, or itself if none waits
    )
    COALESCE = "coalesce"  # as REFUSE; also, it is not added while an equal message waits
    ADMIT = "admit"  # is taken beyond the limit: for types that are bounded by their nature


@dataclass(frozen=True)
class MailboxPolicy:
    """How many messages may wait, and what happens to further ones, by their type.

    A class attribute of an actor. A type stands for its subclasses, and the nearest class
    counts; types that are not named have `REFUSE`. `COALESCE` also applies below the limit: a
    message equal to one that waits is dropped. Such messages have to be hashable; they are
    hashed and compared in the sender's thread, which gets the error if that fails. Messages that
    are asked are never coalesced, as each needs its reply. Raises TypeError or ValueError for
    values that cannot be used.
    """

    limit: int = 250_000
    at_limit: Mapping[type[Message], AtLimit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.limit, int) or isinstance(self.limit, bool):
            raise TypeError(f"MailboxPolicy.limit: expected an integer, not {self.limit!r}")
        if self.limit < 1:
            raise ValueError(f"MailboxPolicy.limit: expected at least 1, not {self.limit}")
        if not isinstance(self.at_limit, Mapping):
            raise TypeError(f"MailboxPolicy.at_limit: expected a mapping, not {self.at_limit!r}")
        for kind, rule in self.at_limit.items():
            if not (isinstance(kind, type) and isinstance(rule, AtLimit)):
                raise TypeError(
                    f"MailboxPolicy.at_limit: expected message types and AtLimit values, "
                    f"not {kind!r}: {rule!r}"
                )

    def rule_for(self, kind: type) -> tuple[type, AtLimit]:
        """Returns the named type that covers `kind`, else `kind` itself, and its rule."""
        if issubclass(kind, ALWAYS_TAKEN):
            return kind, AtLimit.ADMIT
        named = next((base for base in kind.__mro__ if base in self.at_limit), None)
        return (kind, AtLimit.REFUSE) if named is None else (named, self.at_limit[named])


class Asker(Protocol):
    """What waits for the reply to a message: a pykka future, or a timer."""

    def set(self, value: Any) -> None:
        """The message was handled."""

    def set_exception(self, exc_info: Any = None) -> None:
        """The message failed or will not be handled; None stands for `sys.exc_info()`."""


class Envelope:
    """A message and, if it was asked, what waits for the reply.

    `key` is the hash of a message that coalesces, as its sender computed it.
    """

    __slots__ = ("key", "message", "reply_to")

    def __init__(self, message: Any, reply_to: Asker | None = None) -> None:
        self.message = message
        self.reply_to = reply_to
        self.key: int | None = None


class Mailbox:
    """A FIFO with a limit, for any number of senders and one receiver, that can be closed.

    Once it is closed, nothing is taken and `get` returns None at once: closing overtakes the
    messages that wait (pykka's stop queues behind them). `put` and `close` exclude each other,
    so no message is added, and lost, after `drain`.
    """

    def __init__(
        self, owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
    ) -> None:
        self.refused = 0
        self.dropped = 0
        self.coalesced = 0
        self.idle = False  # the receiver waits, and no message does
        self._owner = owner
        self._policy = policy
        self._limit = policy.limit
        self._on_idle = on_idle
        self._closed = False
        self._lock = threading.Lock()
        self._wake = threading.Lock()  # held while there is nothing for the receiver to do
        self._wake.acquire()
        envelopes: deque[Envelope] = deque()
        self._envelopes: deque[Envelope] | OrderedDict[int, Envelope] = envelopes
        self._append: Callable[[Envelope], None] = envelopes.append
        self._take: Callable[[], Envelope] = envelopes.popleft

    def put(self, envelope: Envelope) -> bool:
        """Append an envelope.

        Returns False if the mailbox is closed. Raises MailboxFull if it is full.
        """
        with self._lock:
            if self._closed:
                return False
            if len(self._envelopes) >= self._limit:
                self._refuse(envelope)
            self._append(envelope)
            if self.idle:
                self.idle = False
                self._wake.release()
        return True

    def get(self) -> Envelope | None:
        """Wait for the next envelope; returns None once the mailbox is closed."""
        while True:
            with self._lock:
                if self._closed:
                    return None
                if self._envelopes:
                    return self._take()
                self.idle = True
            self._on_idle()
            self._wake.acquire()

    def close(self) -> None:
        """Take nothing from now on, and wake the receiver."""
        with self._lock:
            self._closed = True
            if self.idle:
                self.idle = False
                self._wake.release()

    def drain(self) -> list[Envelope]:
        """Take out everything that still waits."""
        with self._lock:
            return [self._take() for _ in range(len(self._envelopes))]

    def empty(self) -> bool:
        """Returns whether no message waits (part of pykka's inbox protocol)."""
        return not self._envelopes

    def __len__(self) -> int:
        return len(self._envelopes)

    def _refuse(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, ALWAYS_TAKEN):
            return
        self.refused += 1
        kind = type(envelope.message).__name__
        raise MailboxFull(f"{self._owner}: mailbox full ({self._limit}), {kind} refused")


class RuledMailbox(Mailbox):
    """A mailbox with rules for some message types. Every operation takes constant time.

    Envelopes are numbered in their order; the numbers of those that may be dropped are also kept
    by type. The first of all is also the first of its type, so both are taken from the left.
    """

    def __init__(
        self, owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(owner, policy, on_idle)
        self._numbered: OrderedDict[int, Envelope] = OrderedDict()
        self._envelopes = self._numbered
        self._append = self._append_numbered
        self._take = self._take_first
        self._count = 0
        self._rules: dict[type, tuple[type, AtLimit]] = {}
        self._droppable: dict[type, deque[int]] = {
            kind: deque() for kind, rule in policy.at_limit.items() if rule is AtLimit.DROP_OLDEST
        }
        self._waiting: dict[int, deque[Message]] = {}  # those that coalesce, by their hashes

    def put(self, envelope: Envelope) -> bool:
        """Append an envelope, or do what the rule for its type says."""
        kind, rule = self._rule(envelope)
        if rule is AtLimit.COALESCE and envelope.reply_to is None:
            envelope.key = hash(envelope.message)
        dropped: Envelope | None = None
        with self._lock:
            if self._closed:
                return False
            if envelope.key is not None and envelope.message in self._waiting.get(envelope.key, ()):
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
            error = MailboxFull(
                f"{self._owner}: mailbox full ({self._limit}), the oldest {kind.__name__} dropped"
            )
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
        elif envelope.key is not None:
            self._waiting.setdefault(envelope.key, deque()).append(envelope.message)

    def _take_first(self) -> Envelope:
        _, envelope = self._numbered.popitem(last=False)
        kind, rule = self._rule(envelope)
        if rule is AtLimit.DROP_OLDEST:
            self._droppable[kind].popleft()
        elif envelope.key is not None:  # of those with its hash, it came first
            same = self._waiting[envelope.key]
            same.popleft()
            if not same:
                del self._waiting[envelope.key]
        return envelope


def open_mailbox(
    owner: str, policy: MailboxPolicy, on_idle: Callable[[], object] = lambda: None
) -> Mailbox:
    """Returns the mailbox for a policy; `on_idle` is called when its receiver begins to wait."""
    return (RuledMailbox if policy.at_limit else Mailbox)(owner, policy, on_idle)
