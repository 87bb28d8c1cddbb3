"""Who gives way to whom, without Port."""

from __future__ import annotations

import threading

import pytest

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


def test_a_live_write_that_waits_too_long_fails_and_is_forgotten() -> None:
    live, clock = LiveWrites(), ManualClock()
    run = live.open_run()
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            with live.writing(prints_of(A), CancelToken(), clock, seconds=30.0):
                raise AssertionError
        except StillInFlight as error:
            failures.append(error)

    with run.sending([prints_of(A)]):
        thread = threading.Thread(target=wait)
        thread.start()
        while not clock.pending():
            thread.join(0.01)
        clock.advance(30.0)
        thread.join(10)
    assert "a run has been sending the same entity for 30 s" in str(failures[0])
    assert not run.touched_live(A)


def test_a_cancelled_live_write_waits_no_more() -> None:
    live, token = LiveWrites(), CancelToken()
    run = live.open_run()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            with live.writing(prints_of(A), token, clock):
                raise AssertionError
        except Cancelled as error:
            ended.append(error)

    clock = SystemClock()
    try:
        with run.sending([prints_of(A)]):
            thread = threading.Thread(target=wait)
            thread.start()
            while not clock.pending():
                thread.join(0.01)
            token.cancel("stopping")
            thread.join(10)
    finally:
        clock.close()
    assert len(ended) == 1


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
