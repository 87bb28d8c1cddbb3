"""Who gives way to whom, without Port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import wait_until

from ocean_actors.actors import Cancelled, CancelToken, SystemClock
from ocean_actors.port.live_writes import (
    LiveWrites,
    StillInFlight,
    prints_of,
    prints_with_relations,
)
from ocean_actors.testing import ManualClock

A, B = ("issue", "A"), ("issue", "B")
CLOCK = ManualClock()


def write(live: LiveWrites, *names: tuple[str, str]) -> None:
    prints = {each for name in names for each in prints_of(name)}
    with live.writing(prints, CancelToken(), CLOCK):
        pass


def test_nothing_is_kept_while_no_run_is_open() -> None:
    live = LiveWrites()
    write(live, A)
    assert not live.run_open
    run = live.open_run()
    assert not run.touched_live(A)
    write(live, A)
    assert run.touched_live(A)
    assert not run.touched_live(B)
    run.close()
    assert not live.run_open
    assert not run.touched


def test_a_deletion_gives_way_to_a_relation_of_a_live_write() -> None:
    live = LiveWrites()
    run = live.open_run()
    with live.writing({prints_with_relations(B)[1]}, CancelToken(), CLOCK):
        pass
    with run.sending([prints_with_relations(A), prints_with_relations(B)]) as free:
        assert free == [True, False]
    with run.sending([prints_of(B)]) as free:
        assert free == [True]  # writing the target of a relation harms nobody


def failure_of_a_write(live: LiveWrites, token: CancelToken, clock: ManualClock) -> BaseException:
    with (
        pytest.raises((StillInFlight, Cancelled)) as caught,
        live.writing(prints_of(A), token, clock, seconds=30.0),
    ):
        raise AssertionError
    return caught.value


@pytest.mark.parametrize(
    ("cancelled", "failure"),
    [
        (False, "StillInFlight: a run has been sending the same entity for 30 s"),
        (True, "Cancelled: stopping"),
    ],
)
def test_a_live_write_that_waits_too_long_or_is_cancelled_fails_and_is_forgotten(
    cancelled: bool, failure: str
) -> None:
    live, token, clock = LiveWrites(), CancelToken(), ManualClock()
    run = live.open_run()
    with ThreadPoolExecutor(1) as pool, run.sending([prints_of(A)]):
        error = pool.submit(failure_of_a_write, live, token, clock)
        wait_until(lambda: clock.pending() or error.done(), "a write that waits, or an error")
        if cancelled:
            token.cancel("stopping")
        else:
            clock.advance(30.0)
        found = error.result(30)
    assert f"{type(found).__name__}: {found}".startswith(failure)
    assert clock.pending() == 0
    assert not run.touched_live(A)


def test_a_batch_that_a_closed_run_left_in_flight_is_still_waited_for() -> None:
    live = LiveWrites()
    run = live.open_run()
    with run.sending([prints_of(A)]):
        run.close()
        assert live.run_open
        with (
            pytest.raises(StillInFlight),
            live.writing(prints_of(A), CancelToken(), SystemClock(), seconds=0.0),
        ):
            raise AssertionError
    assert not live.run_open


def test_a_part_of_a_mark_may_be_withdrawn() -> None:
    live = LiveWrites()
    run = live.open_run()
    with live.writing({*prints_of(A), *prints_of(B)}, CancelToken(), CLOCK) as mark:
        assert run.touched_live(A)
        mark.prints = mark.prints.difference(prints_of(A))
    assert not run.touched_live(A)
    assert run.touched_live(B)
