"""Custom actors decide about requests, and can neither hold them up nor do damage."""

import threading
from datetime import datetime, timezone

import pykka
import pytest

from ocean_actors import Actor, Allow, Delay, Ignore
from ocean_actors.actors import ActorSystem
from ocean_actors.messages import Admit, Offered, ResyncRequested, SetRole
from ocean_actors.resync.gatekeeper import DECIDE_SECONDS, MOST_UNDECIDED, Gatekeeper
from ocean_actors.testing import ManualClock, Probe, wait_idle

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def request(trigger="manual", **more):
    return ResyncRequested(reason="please", trigger=trigger, requested_at=NOON, **more)


class Decider(Actor):
    """Decides as it is told: by a value, or by a function of the request."""

    def __init__(self, decision):
        super().__init__()
        self.decision = decision

    def decide(self, request):
        return self.decision(request) if callable(self.decision) else self.decision


class Gate:
    """A gatekeeper between a test and a probe that stands for the coordinator."""

    def __init__(self, *decisions):
        self.clock = ManualClock()
        self.system = ActorSystem(clock=self.clock, debug=True)
        self.coordinator = Probe(self.system, name="coordinator")
        self.deciders = tuple(self.system.spawn(Decider, each) for each in decisions)
        self.ref = self.system.spawn(Gatekeeper, self.coordinator.ref, self.deciders)

    def ask(self, *requests):
        for each in requests:
            self.ref.tell(each)
        self.settle()

    def settle(self, parked=None):
        wait_idle(self.system, parked=parked)

    def advance(self, seconds, parked=None):
        self.clock.advance(seconds, lambda: self.settle(parked))

    def admitted(self):
        self.settle(parked="Decider*")
        return self.coordinator.received()


@pytest.fixture
def gate():
    made = []

    def make(*decisions):
        made.append(Gate(*decisions))
        return made[-1]

    yield make
    for each in made:
        each.system.stop()
        each.clock.close()


def test_an_allowed_request_is_handed_on(gate):
    gate, asked = gate(Allow(), Allow()), request()
    gate.ask(asked)
    assert gate.admitted() == [Admit(asked)]


def test_one_who_ignores_it_is_enough(gate):
    gate, asked = gate(Delay(60.0), Ignore("holiday"), Allow()), request()
    gate.ask(asked)
    assert gate.admitted() == [Admit(asked, ignore=Ignore("holiday"))]


def test_the_longest_delay_counts_and_then_nobody_is_asked_again(gate):
    gate, asked = gate(Delay(30.0), Delay(60.0)), request()
    gate.ask(asked)
    gate.advance(59.0)
    assert gate.admitted() == []
    gate.advance(1.0)
    assert gate.admitted() == [Admit(asked)]


def test_a_later_request_stands_for_a_delayed_one_and_asks_for_as_much(gate):
    gate = gate(lambda asked: Delay(60.0) if asked.reason == "please" else Allow())
    first, other = request(kinds=("a",)), request("other")
    gate.ask(first, other)
    later = ResyncRequested(reason="now", trigger="manual", requested_at=NOON, kinds=("b",))
    gate.ask(later)
    (admitted,) = gate.admitted()
    assert (admitted.request.id, admitted.request.kinds) == (later.id, ("a", "b"))
    gate.advance(60.0)
    assert gate.admitted() == [admitted, Admit(other)]


@pytest.mark.parametrize("wrong", [None, True, "allow", 7, Delay])
def test_a_wrong_answer_allows(gate, wrong, caplog):
    gate, asked = gate(lambda _asked: wrong), request()
    gate.ask(asked)
    assert gate.admitted() == [Admit(asked)]
    assert "expected Allow, Delay or Ignore" in caplog.text


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_decider_that_raises_allows_and_goes_on(gate, error, caplog):
    def fail(_asked):
        raise error("broken")

    gate = gate(fail)
    asked = [request() for _ in range(20)]
    gate.ask(*asked)
    assert gate.admitted() == [Admit(each) for each in asked]
    assert gate.deciders[0].is_alive()
    assert gate.system.cause is None
    assert "broken" in caplog.text


def test_a_decider_that_hangs_allows_after_its_time(gate, caplog):
    go_on = threading.Event()
    gate, asked = gate(lambda _asked: go_on.wait(30.0)), request()
    gate.ref.tell(asked)
    gate.settle(parked="Decider*")
    assert gate.admitted() == []
    gate.advance(DECIDE_SECONDS, parked="Decider*")
    assert gate.admitted() == [Admit(asked)]
    assert "did not decide within" in caplog.text
    go_on.set()
    gate.settle()
    assert gate.admitted() == [Admit(asked)]  # its late answer changes nothing


def test_a_flood_during_a_hang_is_bounded(gate):
    go_on = threading.Event()
    gate = gate(lambda _asked: go_on.wait(30.0))
    for _ in range(MOST_UNDECIDED + 10):
        gate.ref.tell(request())
    gate.settle(parked="Decider*")
    assert len(gate.admitted()) == 10
    go_on.set()


def test_a_decider_that_has_ended_is_not_asked(gate):
    gate, asked = gate(Ignore("never")), request()
    gate.deciders[0].stop()
    gate.ask(asked)
    assert gate.admitted() == [Admit(asked)]


def test_who_waits_for_the_reception_of_a_delayed_request_is_answered_at_once(gate):
    gate, reply = gate(Delay(60.0)), pykka.ThreadingFuture()
    gate.ask(Offered(request(), reply))
    assert reply.get(timeout=1.0) == "accepted"
    gate.advance(60.0)
    (admitted,) = gate.admitted()
    assert admitted.reply is None


def test_another_instance_is_given_what_its_source_requested(gate):
    gate = gate(Delay(60.0))
    kept = request("own")
    gate.ask(request("kafka"), kept, SetRole(active=False, source="kafka"))
    gate.advance(60.0)
    assert gate.admitted() == [Admit(kept)]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon", None])
def test_a_delay_is_a_finite_number(seconds):
    with pytest.raises(ValueError, match=r"^seconds: "):
        Delay(seconds)
