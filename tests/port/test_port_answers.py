"""Whatever Port or something between us answers is a value or one temporary PortError."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ocean_actors.port import batches, deletion, models, reconcile
from ocean_actors.port.batches import Item, body_of, failure_of, parse_upsert
from ocean_actors.port.batches import batches as cut
from ocean_actors.port.errors import UnexpectedAnswer
from ocean_actors.port_time import parse_time
from ocean_actors.retry import ONCE, Retry, asked_wait
from ocean_actors.testing import ManualClock

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["integration", "identifier", "config", "updatedAt", "resyncState", "status", "request", "id",
     "organization", "featureFlags", "credentials", "username", "password", "brokers",
     "accessToken", "expiresIn", "tokenType", "entities", "errors", "index", "created",
     "statusCode", "maxBulkSize", "next", "deletedEntities"]
)  # fmt: skip
FEW = settings(max_examples=40)
JSON = st.recursive(
    SCALARS | st.sampled_from(["2026-10-01T08:00:00.000Z", "9999-12-31T23:59:59-12:00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=6)

PARSERS = [
    models.parse_integration,
    models.parse_resync_request,
    models.parse_organization,
    models.parse_kafka_credentials,
    models.parse_access_token,
    parse_upsert,
    reconcile._parse_page,
    deletion._parse_deleted,
]


def outcome(parse: Any, answer: Any) -> Any:
    try:
        return parse(answer)
    except UnexpectedAnswer as error:
        return str(error)


@given(answer=OBJECTS)
def test_a_parser_makes_a_value_of_any_object_or_says_what_it_expected(answer: Any) -> None:
    for parse in PARSERS:
        made = outcome(parse, answer)
        assert not isinstance(made, str) or made.startswith("expected ")


@FEW
@given(value=JSON)
def test_a_time_is_aware_and_in_utc_or_none(value: Any) -> None:
    moment = parse_time(value)
    assert moment is None or moment.utcoffset() == timedelta(0)


def test_times_without_a_zone_are_utc() -> None:
    moment = parse_time("2026-10-01T08:00:00.123")
    assert moment is not None
    assert moment.tzinfo is timezone.utc
    assert moment.microsecond == 123000


@FEW
@given(header=st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
def test_headers_about_waiting_are_read_or_left(header: Any) -> None:
    now = ManualClock().now()
    for name in ("Retry-After", "x-ratelimit-reset"):
        wait = asked_wait({name: header}, now)
        assert wait is None or wait >= 0


@FEW
@given(failures=st.integers(1, 99), jitter=st.floats(0, 1, exclude_max=True))
def test_the_backoff_keeps_to_its_bounds(failures: Any, jitter: Any) -> None:
    retry = Retry(attempts=100, seconds=1e9, longest=50)
    delay = retry.delay(failures, 0, None, jitter)
    assert delay is not None
    assert 0 < delay <= retry.backoff.maximum
    asked = retry.delay(0, 0, 40, jitter, failures)
    assert asked is not None
    assert 40 <= asked <= 40 + retry.backoff.maximum
    assert retry.delay(0, 0, 51, jitter, failures) is None
    assert retry.delay(100, 0, None, jitter) is None


@FEW
@given(refusals=st.integers(1, 99), asked=st.floats(0, 50), jitter=st.floats(0, 1))
def test_a_server_that_says_when_to_come_back_costs_patience_and_no_attempts(
    refusals: Any, asked: Any, jitter: Any
) -> None:
    retry = Retry(attempts=3, seconds=60, patience=900)
    assert retry.delay(2, 100, asked, jitter, refusals) >= asked
    assert retry.delay(2, 900, asked, jitter, refusals) is None
    assert retry.delay(3, 0, asked, jitter, refusals) is None, "attempts that failed still count"
    assert ONCE.delay(0, 0, asked, jitter, refusals) is None


ITEMS = st.lists(
    st.integers(1, 700_000).map(lambda size: Item("i", b"x" * size)), max_size=12
) | st.lists(st.just(Item("i", b"{}")), max_size=60)


@FEW
@given(items=ITEMS, largest=st.integers(1, 20))
def test_batches_hold_every_item_in_order_and_keep_to_the_limits(items: Any, largest: Any) -> None:
    found = list(cut(iter(items), lambda: largest))
    assert [item for batch in found for item in batch] == items
    for batch in found:
        assert 0 < len(batch) <= largest
        assert len(batch) == 1 or len(body_of(batch)) <= batches.LARGEST_BODY


@FEW
@given(count=st.integers(1, 20), answer=OBJECTS)
def test_each_item_of_a_batch_is_either_written_or_failed(count: int, answer: Any) -> None:
    try:
        parsed = parse_upsert(answer)
    except UnexpectedAnswer:
        return
    for index in range(count):
        failure = failure_of(Item(str(index), b"{}"), index, parsed)
        assert (failure is None) == (index in parsed.written and index not in parsed.errors)


def test_one_in_neither_list_counts_as_failed() -> None:
    parsed = parse_upsert({"entities": [{"index": 0, "identifier": "a", "created": True}]})
    assert failure_of(Item("a", b"{}"), 0, parsed) is None
    failure = failure_of(Item("b", b"{}"), 1, parsed)
    assert failure is not None
    assert failure.identifier == "b"


def test_the_body_of_a_batch_is_json() -> None:
    encoded = [batches.encode({"identifier": name}) for name in ("ä", '"')]
    items = [item for item in encoded if isinstance(item, Item)]
    assert json.loads(body_of(items)) == {"entities": [{"identifier": "ä"}, {"identifier": '"'}]}
