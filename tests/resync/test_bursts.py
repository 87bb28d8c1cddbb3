"""How long a run that replaces one in flight waits for more requests of the same burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import HANDLERS, Acted, Answered, Simulation, asked

from ocean_actors.resync import machine
from ocean_actors.resync.machine import (
    FIRST_QUIET_SECONDS,
    MOST_QUIET_WAITS,
    QUIET_SECONDS,
    Wait,
    WaitKind,
)
from ocean_actors.settings import OnNewRequest, ResyncSettings

LONGEST = 15.0  # seconds that all waits between two runs may take
STUTTER = 0.05  # seconds


class Burst(Simulation):
    """A run in flight under `abort`. Port answers at once, and handlers obey unless `deaf`."""

    def __init__(self, *, deaf: bool = False) -> None:
        settings = ResyncSettings(on_new_request=OnNewRequest.ABORT, debounce=0.0)
        super().__init__(settings)
        self.deaf = deaf
        self.windows: list[float] = []
        self.requests = 0
        self.request()

    def request(self) -> None:
        """Let a request come."""
        self.requests += 1
        self.do(asked("a", self.requests))
        self.react()

    def react(self) -> None:
        """Let Port and, while they are asked to return, the handlers do what they would do."""
        while self.questions:
            self.do(Answered())
        if self.state.phase is machine.Phase.ABORTING and not self.deaf:
            self.let_return()

    def let_return(self) -> None:
        """Let all handlers return."""
        for handler in sorted(HANDLERS):
            self.do(Acted(self.state.present.number, handler, "return"))
        while self.questions:
            self.do(Answered())

    def wait(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        until = self.now + seconds
        while self.next_timer is not None and self.now + self.next_timer <= until:
            self._pass(self.next_timer)
            self.react()
        self._pass(until - self.now)

    def started(self) -> list[object]:
        """Returns the reasons of the runs that started after the first one."""
        return [event[2] for event in self.events if event[0] == "started"][1:]

    def _carry_out(self, output: machine.Output) -> None:
        if isinstance(output, machine.StartRun):
            self.windows.clear()
        if isinstance(output, Wait) and output.kind is WaitKind.QUIET:
            self.windows.append(output.seconds)
        super()._carry_out(output)


def test_a_lone_request_waits_for_the_first_window_only() -> None:
    burst = Burst()
    burst.request()
    burst.wait(FIRST_QUIET_SECONDS * 0.9)
    assert burst.started() == []
    burst.wait(FIRST_QUIET_SECONDS * 0.1 + 1e-9)
    assert burst.started() == ["a 2"]
    assert 0.01 <= FIRST_QUIET_SECONDS <= 0.02


def test_each_lone_request_is_served_as_fast() -> None:
    burst = Burst()
    for number in range(2, 5):
        burst.request()
        assert burst.windows == [FIRST_QUIET_SECONDS]
        burst.wait(1.0)
        assert burst.started()[-1] == f"a {number}"


@pytest.mark.parametrize("deaf", [False, True])
def test_a_burst_whose_sender_stutters_makes_one_further_run(deaf: bool) -> None:
    burst = Burst(deaf=deaf)
    for number in range(10_000):
        burst.request()
        burst.wait(STUTTER if number % 200 == 100 else 0.0)
    if deaf:
        burst.let_return()
    burst.wait(1.0)
    assert burst.started() == ["a 10001"]


def test_a_burst_that_goes_on_after_the_first_window_while_handlers_return_is_waited_for() -> None:
    burst = Burst(deaf=True)
    burst.request()
    burst.wait(1.0)
    burst.request()  # the burst goes on
    burst.let_return()
    assert burst.started() == []
    burst.wait(STUTTER)
    burst.request()
    burst.wait(1.0)
    assert burst.started() == ["a 4"]


def test_a_request_that_comes_while_port_is_asked_shows_a_burst() -> None:
    burst = Burst()
    burst.request()
    burst._pass(FIRST_QUIET_SECONDS)
    assert burst.questions, "Port has not answered yet"
    burst.do(asked("a", 3))
    burst.react()
    assert burst.windows == [FIRST_QUIET_SECONDS, QUIET_SECONDS]
    burst.wait(STUTTER)
    burst.request()
    burst.wait(1.0)
    assert burst.started() == ["a 3"]


GAPS = st.lists(st.floats(0.0, 2 * QUIET_SECONDS), max_size=200)


@given(GAPS, st.booleans())
def test_the_windows_are_bounded_never_shrink_and_end_within_five_seconds(
    gaps: list[float], deaf: bool
) -> None:
    burst = Burst(deaf=deaf)
    burst.request()
    for gap in gaps:
        burst.wait(gap)
        if burst.state.phase is machine.Phase.RUNNING:
            break  # the next run has begun
        burst.request()
        assert burst.windows[0] == FIRST_QUIET_SECONDS
        assert burst.windows == sorted(burst.windows)
        assert burst.windows[-1] <= QUIET_SECONDS
        assert len(burst.windows) <= MOST_QUIET_WAITS
        assert sum(burst.windows) <= LONGEST


@given(st.lists(st.floats(0.0, STUTTER), max_size=80))
def test_whatever_the_gaps_of_a_burst_it_makes_one_further_run(gaps: list[float]) -> None:
    burst = Burst()
    burst.request()
    burst.request()  # what tells a burst from a lone request
    for gap in gaps:
        burst.wait(gap)
        burst.request()
    burst.wait(1.0)
    assert burst.started() == [f"a {burst.requests}"]


def test_requests_that_keep_coming_postpone_a_run_for_fifteen_seconds_at_most() -> None:
    burst = Burst()
    began = burst.now
    burst.request()
    while not burst.started():
        burst.request()
        burst.wait(0.005)
    assert QUIET_SECONDS * (MOST_QUIET_WAITS - 2) < burst.now - began <= LONGEST
