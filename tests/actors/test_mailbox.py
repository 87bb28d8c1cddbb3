"""What a mailbox does at its limit."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    AtLimit,
    MailboxFull,
    MailboxPolicy,
    Message,
)
from ocean_actors.actors.mailbox import Envelope, open_mailbox
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Request(Message):
    number: int


@dataclass(frozen=True)
class Urgent(Request):
    pass


@dataclass(frozen=True)
class Progress(Message):
    number: int


@dataclass(frozen=True)
class Changed(Message):
    path: str


@dataclass(frozen=True)
class Result(Message):
    number: int


@dataclass(frozen=True)
class Hold(Message):
    """Be busy until the test lets go."""

    held: threading.Event


class Busy(Actor):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(
        limit=3,
        at_limit={
            Progress: AtLimit.DROP_OLDEST,
            Changed: AtLimit.COALESCE,
            Result: AtLimit.ADMIT,
            Urgent: AtLimit.ADMIT,
        },
    )

    def __init__(self, release: threading.Event, seen: list[Message]) -> None:
        super().__init__()
        self.release = release
        self.seen = seen

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Hold):
            message.held.set()
            self.release.wait(30)
        else:
            self.seen.append(message)
        return message


class Flooded:
    """A busy actor, its mailbox empty, that handles what it is sent once let go."""

    def __init__(self, system: ActorSystem, actor_class: type[Actor] = Busy) -> None:
        self.system = system
        self.release = threading.Event()
        self.seen: list[Message] = []
        self.ref = system.spawn(actor_class, self.release, self.seen, name="busy")
        held = threading.Event()
        self.ref.tell(Hold(held))
        assert held.wait(30)

    def state(self) -> dict[str, Any]:
        return self.system.snapshot()[0]

    def let_go(self) -> list[Message]:
        self.release.set()
        wait_idle(self.system)
        return self.seen


@pytest.fixture
def flooded(system: ActorSystem) -> Flooded:
    return Flooded(system)


def test_a_full_mailbox_refuses_the_teller_and_the_asker(flooded: Flooded) -> None:
    for number in range(3):
        flooded.ref.tell(Request(number))
    with pytest.raises(MailboxFull, match=r"busy: mailbox full \(3\), Request refused"):
        flooded.ref.tell(Request(3))
    with pytest.raises(MailboxFull):
        flooded.ref.ask(Request(4))
    assert (flooded.state()["mailbox"], flooded.state()["refused"]) == (3, 2)
    assert flooded.let_go() == [Request(0), Request(1), Request(2)]
    flooded.ref.tell(Request(5))  # there is room again
    assert flooded.let_go()[-1] == Request(5)


def test_a_rule_holds_for_subclasses_and_the_nearest_wins(flooded: Flooded) -> None:
    @dataclass(frozen=True)
    class FinalResult(Result):
        pass

    for number in range(3):
        flooded.ref.tell(Request(number))
    flooded.ref.tell(FinalResult(3))
    flooded.ref.tell(Urgent(4))
    with pytest.raises(MailboxFull):
        flooded.ref.tell(Request(5))
    assert flooded.let_go()[3:] == [FinalResult(3), Urgent(4)]


def test_of_some_kinds_the_oldest_goes_and_the_order_of_the_rest_stays(flooded: Flooded) -> None:
    asked = flooded.ref.ask(Progress(1), block=False)
    for message in (Request(2), Progress(3), Progress(4)):
        flooded.ref.tell(message)
    assert (flooded.state()["mailbox"], flooded.state()["dropped"]) == (3, 1)
    with pytest.raises(MailboxFull, match="the oldest Progress dropped"):
        asked.get(timeout=30)
    assert flooded.let_go() == [Request(2), Progress(3), Progress(4)]


def test_where_none_of_its_kind_waits_the_new_one_goes_and_its_sender_is_spared(
    flooded: Flooded,
) -> None:
    for number in range(3):
        flooded.ref.tell(Request(number))
    flooded.ref.tell(Progress(3))
    with pytest.raises(MailboxFull):
        flooded.ref.ask(Progress(4))
    assert flooded.state()["dropped"] == 2
    assert flooded.let_go() == [Request(0), Request(1), Request(2)]


def test_a_message_equal_to_one_that_waits_is_superfluous_at_any_length(flooded: Flooded) -> None:
    for path in ("a", "b", "a", "a"):
        flooded.ref.tell(Changed(path))
    assert (flooded.state()["mailbox"], flooded.state()["coalesced"]) == (2, 2)
    flooded.ref.tell(Request(1))
    flooded.ref.tell(Changed("b"))  # at the limit, and yet welcome
    with pytest.raises(MailboxFull):
        flooded.ref.tell(Changed("c"))
    assert flooded.let_go() == [Changed("a"), Changed("b"), Request(1)]
    flooded.ref.tell(Changed("a"))  # none waits any more
    assert flooded.let_go()[-1] == Changed("a")


def test_who_asks_gets_an_answer_even_if_an_equal_message_waits(flooded: Flooded) -> None:
    flooded.ref.tell(Changed("a"))
    answer = flooded.ref.ask(Changed("a"), block=False)
    flooded.ref.tell(Changed("a"))
    assert flooded.let_go() == [Changed("a"), Changed("a")]
    assert answer.get(timeout=30) == Changed("a")


class Narrow(Busy):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(limit=3)


@pytest.mark.parametrize("actor_class", [Busy, Narrow])
def test_pykkas_stop_gets_into_a_full_mailbox(
    system: ActorSystem, actor_class: type[Actor]
) -> None:
    flooded = Flooded(system, actor_class)
    for number in range(3):
        flooded.ref.tell(Request(number))
    ended = flooded.ref.stop(block=False)
    flooded.release.set()
    assert ended.get(timeout=30)
    assert len(flooded.seen) == 3


def test_publishers_and_timers_do_not_feel_a_full_mailbox(
    system: ActorSystem, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Scheduling(Busy):
        def on_start(self) -> None:
            self.context.schedule(1, Request(100))
            self.context.schedule_every(1, Request(101), fixed_delay=True)
            self.context.subscribe(Request)

    flooded = Flooded(system, Scheduling)
    for number in range(5):
        system.events.publish(Request(number))
    clock.advance(1)
    assert flooded.state()["refused"] == 4
    assert caplog.text.count("busy: mailbox full (3), Request refused") == 1
    assert flooded.let_go() == [Request(0), Request(1), Request(2)]
    clock.advance(1, lambda: wait_idle(system))  # the refused repetition goes on
    assert flooded.let_go()[3:] == [Request(101)]


def test_every_actor_has_a_limit() -> None:
    assert Actor.mailbox.limit == 250_000
    with pytest.raises(ValueError, match="limit: expected at least 1, not 0"):
        MailboxPolicy(limit=0)


def test_the_limit_is_exact_however_many_threads_send(system: ActorSystem) -> None:
    class Roomy(Busy):
        mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(limit=500)

    flooded = Flooded(system, Roomy)
    refused: list[int] = []

    def send() -> None:
        count = 0
        for number in range(400):
            try:
                flooded.ref.tell(Request(number))
            except MailboxFull:
                count += 1
        refused.append(count)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(refused) == 1_100
    assert len(flooded.let_go()) == 500


def test_messages_are_hashed_and_compared_only_when_they_are_sent() -> None:
    class Moody(Message):
        broken = False

        def __hash__(self) -> int:
            if self.broken:
                raise RuntimeError("no hash today")
            return 1

        def __eq__(self, other: object) -> bool:
            if self.broken:
                raise RuntimeError("not comparable today")
            return self is other

    mailbox = open_mailbox("box", MailboxPolicy(at_limit={Moody: AtLimit.COALESCE}))
    sent = [Moody(), Moody(), Moody()]
    for message in (*sent, *sent):
        assert mailbox.put(Envelope(message))
    assert (len(mailbox), mailbox.coalesced) == (3, 3)
    Moody.broken = True
    for message in sent:
        taken = mailbox.get()
        assert taken is not None
        assert taken.message is message
    with pytest.raises(RuntimeError, match="no hash"):
        mailbox.put(Envelope(Moody()))
    Moody.broken = False
    assert mailbox.put(Envelope(sent[0]))
    assert len(mailbox) == 1


# -- against a slow and obvious model ------------------------------------------------------------

MESSAGES = st.one_of(
    st.builds(Request, st.integers(0, 2)),
    st.builds(Progress, st.integers(0, 2)),
    st.builds(Changed, st.sampled_from("ab")),
    st.builds(Result, st.integers(0, 2)),
)


class Answer:
    """Notes whether an asked message failed."""

    def __init__(self) -> None:
        self.failed = False

    def set(self, _value: Any) -> None:
        raise AssertionError("a mailbox answers nothing itself")

    def set_exception(self, _exc_info: Any = None) -> None:
        self.failed = True


def put_in_model(
    letters: list[tuple[Message, Answer | None]], message: Message, answer: Answer | None
) -> str:
    rule = Busy.mailbox.at_limit.get(type(message), AtLimit.REFUSE)
    if rule is AtLimit.COALESCE and answer is None and (message, None) in letters:
        return "in"
    if len(letters) >= 3 and rule is not AtLimit.ADMIT:
        if rule is not AtLimit.DROP_OLDEST:
            return "refused"
        same = [letter for letter in letters if type(letter[0]) is type(message)]
        if not same:
            return "dropped"
        index = next(i for i, letter in enumerate(letters) if letter is same[0])
        del letters[index]
    letters.append((message, answer))
    return "in"


@given(st.lists(st.one_of(st.none(), st.tuples(MESSAGES, st.booleans())), max_size=60))
def test_rules_do_as_a_list_that_is_searched_does(steps: list[tuple[Message, bool] | None]) -> None:
    mailbox = open_mailbox("box", Busy.mailbox)
    letters: list[tuple[Message, Answer | None]] = []
    for step in steps:
        if step is None:
            if letters:
                envelope = mailbox.get()
                assert envelope is not None
                assert (envelope.message, envelope.reply_to) == letters.pop(0)
            continue
        message, asked = step
        answer = Answer() if asked else None
        expected = put_in_model(letters, message, answer)
        try:
            mailbox.put(Envelope(message, answer))
        except MailboxFull:
            assert expected == "refused"
        else:
            assert expected in ("in", "dropped")
            if answer is not None:
                assert answer.failed == (expected == "dropped")
        assert len(mailbox) == len(letters)
    assert [(each.message, each.reply_to) for each in mailbox.drain()] == letters


def test_a_closed_mailbox_takes_nothing_and_overtakes_what_waits() -> None:
    mailbox = open_mailbox("box", MailboxPolicy())
    assert mailbox.put(Envelope(Request(1)))
    mailbox.close()
    assert mailbox.get() is None
    assert not mailbox.put(Envelope(Request(2)))
    assert [envelope.message for envelope in mailbox.drain()] == [Request(1)]
    assert mailbox.empty()
