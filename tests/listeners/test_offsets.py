"""The ledger of Kafka offsets: a request's is held back until it has settled."""

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.listeners.kafka.offsets import MOST_OWED, Ledger

ONE = ("topic", 0)
TWO = ("topic", 1)


def ledger_with(*partitions, **options):
    ledger = Ledger(**options)
    for partition in partitions or (ONE,):
        ledger.take(partition)
    return ledger


def test_nothing_is_committed_before_anything_was_read():
    assert ledger_with().flush(0.0) == {}


def test_noise_is_committed_in_batches():
    ledger = ledger_with(messages=100, seconds=5.0)
    ledger.read(ONE, 1)
    assert ledger.due(0.0) == {ONE: 1}
    ledger.read(ONE, 50)
    assert ledger.due(4.9) == {}
    assert ledger.due(5.0) == {ONE: 50}
    ledger.read(ONE, 150)
    assert ledger.due(5.1) == {ONE: 150}


def test_an_offset_is_not_committed_twice():
    ledger = ledger_with()
    ledger.read(ONE, 7)
    assert ledger.flush(0.0) == {ONE: 7}
    assert ledger.flush(1.0) == {}


def test_the_oldest_request_holds_the_offset_back_until_it_settles():
    ledger = ledger_with()
    ledger.owe(ONE, 10, 1)
    ledger.owe(ONE, 20, 2)
    ledger.read(ONE, 30)
    assert ledger.flush(0.0) == {ONE: 10}
    ledger.settle(1)
    assert ledger.due(0.1) == {ONE: 20}
    ledger.settle(2)
    assert ledger.due(0.2) == {ONE: 30}


def test_a_request_settles_the_earlier_ones_in_every_partition():
    ledger = ledger_with(ONE, TWO)
    ledger.owe(ONE, 10, 1)
    ledger.owe(TWO, 5, 2)
    ledger.read(ONE, 11)
    ledger.read(TWO, 6)
    ledger.settle(2)
    assert ledger.due(0.0) == {ONE: 11, TWO: 6}


def test_an_ignored_request_settles_alone():
    ledger = ledger_with()
    ledger.owe(ONE, 10, 1)
    ledger.owe(ONE, 20, 2)
    ledger.read(ONE, 21)
    ledger.settle_alone(2)
    assert ledger.flush(0.0) == {ONE: 10}
    ledger.settle(1)
    assert ledger.flush(0.0) == {ONE: 21}


def test_nothing_is_committed_for_a_lost_partition():
    ledger = ledger_with(ONE, TWO)
    ledger.read(ONE, 10)
    ledger.read(TWO, 10)
    ledger.drop(ONE)
    ledger.read(ONE, 11)
    ledger.owe(ONE, 11, 1)
    assert ledger.flush(0.0) == {TWO: 10}
    assert ledger.owed == 0


def test_what_a_partition_owed_before_it_was_lost_settles_nothing_after_it_came_back():
    ledger = ledger_with()
    ledger.owe(ONE, 10, 1)
    ledger.drop(ONE)
    ledger.take(ONE)
    ledger.owe(ONE, 10, 2)
    ledger.read(ONE, 11)
    ledger.settle(1)
    assert ledger.flush(0.0) == {ONE: 10}
    ledger.settle(2)
    assert ledger.flush(0.0) == {ONE: 11}


def test_where_reading_begins_is_committed_at_once():
    ledger = ledger_with(seconds=1_000.0)
    ledger.flush(0.0)
    ledger.begin(ONE, 42)
    assert ledger.due(0.1) == {ONE: 42}


def test_a_failed_commit_is_due_again():
    ledger = ledger_with(seconds=1_000.0)
    ledger.read(ONE, 5)
    ledger.flush(0.0)
    ledger.failed((ONE, TWO))
    assert ledger.due(0.1) == {ONE: 5}


def test_a_flood_of_requests_costs_bounded_memory_and_loses_none():
    ledger = ledger_with()
    for number in range(10 * MOST_OWED):
        ledger.owe(ONE, number, number + 1)
    ledger.read(ONE, 10 * MOST_OWED)
    assert ledger.owed == MOST_OWED
    ledger.settle(2 * MOST_OWED)
    assert ledger.flush(0.0) == {ONE: MOST_OWED - 1}  # earlier than need be, never later
    ledger.settle(10 * MOST_OWED)
    assert ledger.flush(0.0) == {ONE: 10 * MOST_OWED}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("noise"), st.integers(1, 5)),
        st.tuples(st.just("request"), st.just(0)),
        st.tuples(st.just("settle"), st.integers(0, 200)),
        st.tuples(st.just("alone"), st.integers(0, 200)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=200,
)


@given(steps)
def test_no_offset_behind_an_unsettled_request_is_ever_committed(steps):
    """A plain model: the broker's committed offset, and the requests that have not settled."""
    ledger, committed, position, ticket = ledger_with(), 0, 0, 0
    unsettled = {}
    for step, number in steps:
        if step == "noise":
            position += number
        elif step == "request":
            ticket += 1
            unsettled[ticket] = position
            ledger.owe(ONE, position, ticket)
            position += 1
        elif step == "settle":
            ledger.settle(number)
            unsettled = {key: each for key, each in unsettled.items() if key > number}
        elif step == "alone":
            ledger.settle_alone(number)
            unsettled.pop(number, None)
        else:
            ledger.drop(ONE)
            ledger.take(ONE)
            unsettled, position = {}, committed  # read again from there
        ledger.read(ONE, position)
        committed = ledger.flush(0.0).get(ONE, committed)
        assert committed <= min([position, *unsettled.values()])
