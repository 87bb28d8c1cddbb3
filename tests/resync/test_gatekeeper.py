"""Custom actors decide about requests, and can neither hold them up nor do damage."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pykka
import pytest
from simulation import NOON

from ocean_actors import Actor, Allow, Delay, Ignore
from ocean_actors.actors import ActorSystem, Message
from ocean_actors.messages import Reception, ResyncRequested
from ocean_actors.resync.admission import Admit, Offer
from ocean_actors.resync.commands import SetRole
from ocean_actors.resync.gatekeeper import DECIDE_SECONDS, MOST_UNDECIDED, Gatekeeper
from ocean_actors.testing import ManualClock, Probe, wait_idle


def request(trigger: str = "manual", **more: Any) -> ResyncRequested:
    return ResyncRequested(reason="please", trigger=trigger, requested_at=NOON, **more)


class Decider(Actor):
    """Decides as it is told: by a value, or by a function of the request."""

    def __init__(self, decision: Any) -> None:
        super().__init__()
        self.decision = decision

    def decide(self, request: ResyncRequested) -> Any:
        return self.decision(request) if callable(self.decision) else self.decision


class Gate:
    """A gatekeeper between a test and a probe that stands for the coordinator."""

    def __init__(self, *decisions: Any) -> None:
        self.clock = ManualClock()
        self.system = ActorSystem(clock=self.clock, debug=True)
        self.coordinator = Probe(self.system, name="coordinator")
        self.deciders = tuple(self.system.spawn(Decider, each) for each in decisions)
        self.ref = self.system.spawn(Gatekeeper, self.coordinator.ref, self.deciders)

    def ask(self, *requests: Message) -> None:
        for each in requests:
            self.ref.tell(each)
        self.settle()

    def settle(self, parked: str | None = None) -> None:
        wait_idle(self.system, parked=parked)

    def advance(self, seconds: float, parked: str | None = None) -> None:
        self.clock.advance(seconds, lambda: self.settle(parked))

    def admitted(self) -> list[Any]:
        self.settle(parked="Decider*")
        return list(self.coordinator.received())


MakeGate = Callable[..., Gate]


@pytest.fixture
def gate() -> Iterator[MakeGate]:
    made: list[Gate] = []

    def make(*decisions: Any) -> Gate:
        made.append(Gate(*decisions))
        return made[-1]

    yield make
    for each in made:
        each.system.stop()
        each.clock.close()


def test_an_allowed_request_is_handed_on(gate: MakeGate) -> None:
    opened, asked = gate(Allow(), Allow()), request()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked)]


def test_one_who_ignores_it_is_enough(gate: MakeGate) -> None:
    opened, asked = gate(Delay(60.0), Ignore("holiday"), Allow()), request()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked, ignore=Ignore("holiday"))]


def test_the_longest_delay_counts_and_then_nobody_is_asked_again(gate: MakeGate) -> None:
    opened, asked = gate(Delay(30.0), Delay(60.0)), request()
    opened.ask(asked)
    opened.advance(59.0)
    assert opened.admitted() == []
    opened.advance(1.0)
    assert opened.admitted() == [Admit(asked)]


def test_a_later_request_stands_for_a_delayed_one_and_asks_for_as_much(gate: MakeGate) -> None:
    opened = gate(lambda asked: Delay(60.0) if asked.reason == "please" else Allow())
    first, other = request(kinds=("a",)), request("other")
    opened.ask(first, other)
    later = ResyncRequested(reason="now", trigger="manual", requested_at=NOON, kinds=("b",))
    opened.ask(later)
    (admitted,) = opened.admitted()
    assert (admitted.request.id, admitted.request.kinds) == (later.id, ("a", "b"))
    opened.advance(60.0)
    assert opened.admitted() == [admitted, Admit(other)]


@pytest.mark.parametrize("wrong", [None, True, "allow", 7, Delay])
def test_a_wrong_answer_allows(
    gate: MakeGate, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    opened, asked = gate(lambda _asked: wrong), request()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked)]
    assert "expected Allow, Delay or Ignore" in caplog.text


class Whenever(Delay):
    """Checks nothing."""

    def __post_init__(self) -> None:
        pass


class Odd:
    """Says that it is something else, and has nothing of that."""

    def __init__(self, claimed: type) -> None:
        self.claimed = claimed

    @property  # type: ignore[misc]  # of a kind that `object` does not foresee
    def __class__(self) -> Any:
        return self.claimed


class Nameless(Odd):
    """Says nothing, as even that raises."""

    @property  # type: ignore[misc]  # of a kind that `object` does not foresee
    def __class__(self) -> Any:
        raise OSError("no class")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Whenever("soon"), "ValueError: seconds: expected a number"),  # type: ignore[arg-type]
        (lambda: Mock(spec=Delay(1.0)), "ValueError: seconds: expected a number"),
        (lambda: object.__new__(Delay), "AttributeError"),
        (lambda: object.__new__(Ignore), "AttributeError"),
        (lambda: Odd(Delay), "AttributeError"),
        (lambda: Odd(Ignore), "AttributeError"),
        (lambda: Nameless(Allow), "OSError: no class"),
    ],
)
def test_a_decision_of_an_odd_class_allows(
    gate: MakeGate, make: Callable[[], Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened, asked = gate(lambda _asked: make()), request()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked)]
    (line,) = caplog.messages
    assert line.startswith("Decider did not decide about a request, which is taken: " + said)


class Unprintable(str):
    """A text that cannot be printed."""

    __slots__ = ()

    def __str__(self) -> str:
        raise OSError("no text")


def test_a_reason_that_cannot_be_printed_ignores_the_request_all_the_same(gate: MakeGate) -> None:
    unchecked = Ignore("")
    object.__setattr__(unchecked, "reason", Unprintable())
    opened, asked = gate(unchecked), request()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked, ignore=Ignore("(its __str__ raised OSError)"))]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_decider_that_raises_allows_and_goes_on(
    gate: MakeGate, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_asked: ResyncRequested) -> None:
        raise error("broken")

    opened = gate(fail)
    asked = [request() for _ in range(20)]
    opened.ask(*asked)
    assert opened.admitted() == [Admit(each) for each in asked]
    assert opened.deciders[0].is_alive()
    assert opened.system.cause is None
    assert "broken" in caplog.text


def test_a_decider_that_hangs_allows_after_its_time(
    gate: MakeGate, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    opened, asked = gate(lambda _asked: go_on.wait(30.0)), request()
    opened.ref.tell(asked)
    opened.settle(parked="Decider*")
    assert opened.admitted() == []
    opened.advance(DECIDE_SECONDS, parked="Decider*")
    assert opened.admitted() == [Admit(asked)]
    assert "did not decide within" in caplog.text
    go_on.set()
    opened.settle()
    assert opened.admitted() == [Admit(asked)]  # its late answer changes nothing


def test_a_flood_during_a_hang_is_bounded(gate: MakeGate) -> None:
    go_on = threading.Event()
    opened = gate(lambda _asked: go_on.wait(30.0))
    for _ in range(MOST_UNDECIDED + 10):
        opened.ref.tell(request())
    opened.settle(parked="Decider*")
    assert len(opened.admitted()) == 10
    go_on.set()


def test_a_decider_that_has_ended_is_not_asked(gate: MakeGate) -> None:
    opened, asked = gate(Ignore("never")), request()
    opened.deciders[0].stop()
    opened.ask(asked)
    assert opened.admitted() == [Admit(asked)]


def test_who_waits_for_a_delayed_request_is_answered_at_once(
    gate: MakeGate,
) -> None:
    opened = gate(Delay(60.0))
    reply: pykka.Future[Reception] = pykka.ThreadingFuture()
    opened.ask(Offer(request(), reply))
    assert reply.get(timeout=1.0) == "accepted"
    opened.advance(60.0)
    (admitted,) = opened.admitted()
    assert admitted.reply is None


def test_another_instance_is_given_what_its_source_requested(gate: MakeGate) -> None:
    opened = gate(Delay(60.0))
    kept = request("own")
    opened.ask(request("kafka"), kept, SetRole(active=False, sources=("kafka",)))
    opened.advance(60.0)
    assert opened.admitted() == [Admit(kept)]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 10**400, "soon", None])
def test_a_delay_is_a_finite_number(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"^seconds: "):
        Delay(seconds)


class Lying(float):
    """Claims to be in any range."""

    def __ge__(self, _other: float) -> bool:
        return True

    __le__ = __ge__


def test_a_delay_is_a_plain_number() -> None:
    with pytest.raises(ValueError, match=r"^seconds: "):
        Delay(Lying("nan"))
    assert type(Delay(Lying(3.0)).seconds) is float
