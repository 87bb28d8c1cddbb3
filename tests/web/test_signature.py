from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.web.signature import BadSignature, Proof, ReplayMemory, sign, verify

SECRET = b"s3cr3t"
TIMESTAMP = 1_760_000_000
BODY = b'{"action":"RESYNC","context":{"integrationId":"demo"}}'
SIGNATURE = "v1,kTvZitX1jSvJV87Hm5j8h5dUXLhs+rkHnOairzyampM="


def check(
    *,
    secrets: tuple[bytes, ...] = (SECRET,),
    timestamp: str | None = str(TIMESTAMP),
    signature: str | None = SIGNATURE,
    body: bytes = BODY,
    now: float = TIMESTAMP + 1,
    tolerance: float = 300.0,
) -> Proof | None:
    return verify(secrets, timestamp, signature, body, now=now, tolerance=tolerance)


def test_the_vector_of_the_wire_description_verifies() -> None:
    proof = check()
    assert proof is not None
    assert proof.timestamp == TIMESTAMP
    assert sign(SECRET, TIMESTAMP, BODY) == SIGNATURE


def test_a_call_without_either_header_is_unsigned() -> None:
    assert check(timestamp=None, signature=None) is None


def test_one_header_without_the_other_is_refused() -> None:
    with pytest.raises(BadSignature, match="one is missing"):
        check(timestamp=None)
    with pytest.raises(BadSignature, match="one is missing"):
        check(signature=None)


def test_a_tampered_body_timestamp_or_secret_is_refused() -> None:
    for change in (
        {"body": BODY + b" "},
        {"body": b""},
        {"timestamp": str(TIMESTAMP + 1)},
        {"timestamp": f"0{TIMESTAMP}"},
        {"secrets": (b"other",)},
        {"secrets": ()},
        {"signature": sign(SECRET, TIMESTAMP, b"")},
    ):
        with pytest.raises(BadSignature, match="does not fit"):
            check(**change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": ""}, "does not begin"),
        ({"signature": SIGNATURE.removeprefix("v1,")}, "does not begin"),
        ({"signature": "v2," + SIGNATURE[3:]}, "does not begin"),
        ({"signature": "v1,***"}, "does not fit"),
        ({"signature": "v1,é"}, "does not fit"),
        ({"signature": "v1,"}, "does not fit"),
        ({"signature": SIGNATURE[:-8]}, "does not fit"),
        ({"timestamp": ""}, "epoch seconds"),
        ({"timestamp": "-1"}, "epoch seconds"),
        ({"timestamp": "1e9"}, "epoch seconds"),
        ({"timestamp": " 1760000000"}, "epoch seconds"),
        ({"timestamp": "١٧٦٠٠٠٠٠٠٠"}, "epoch seconds"),
        ({"timestamp": "9" * 400}, "epoch seconds"),
    ],
)
def test_malformed_headers_are_refused_with_a_reason(change: dict[str, str], reason: str) -> None:
    with pytest.raises(BadSignature, match=reason):
        check(**change)  # type: ignore[arg-type]


def test_clocks_may_differ_by_the_tolerance_in_either_direction_and_no_more() -> None:
    assert check(now=TIMESTAMP + 300) is not None
    assert check(now=TIMESTAMP - 300) is not None
    with pytest.raises(BadSignature, match="301 s old"):
        check(now=TIMESTAMP + 301)
    with pytest.raises(BadSignature, match="301 s ahead"):
        check(now=TIMESTAMP - 301)


def test_any_of_several_secrets_will_do() -> None:
    for secrets in ((b"old", SECRET), (SECRET, b"new"), (b"a", SECRET, b"b")):
        assert check(secrets=secrets) is not None


@given(st.text(), st.text(), st.binary(max_size=64))
def test_no_text_in_the_headers_breaks_the_check(
    timestamp: str, signature: str, body: bytes
) -> None:
    with pytest.raises(BadSignature):
        check(timestamp=timestamp, signature=signature, body=body)


@given(st.binary(min_size=1), st.integers(0, 10**11), st.binary())
def test_what_is_signed_verifies(secret: bytes, timestamp: int, body: bytes) -> None:
    signature = sign(secret, timestamp, body)
    arguments = (str(timestamp), signature, body)
    proof = verify((secret,), *arguments, now=timestamp, tolerance=0)
    assert proof is not None


# -- replay ----------------------------------------------------------------------------------


def proof(number: int, timestamp: int = TIMESTAMP) -> Proof:
    return Proof(timestamp, number.to_bytes(8, "big") + bytes(24))


def test_a_signature_is_fresh_once() -> None:
    memory = ReplayMemory(300)
    assert memory.use(proof(1), TIMESTAMP) == "fresh"
    assert memory.use(proof(2), TIMESTAMP) == "fresh"
    assert memory.use(proof(1), TIMESTAMP) == "used"
    assert memory.use(proof(1, TIMESTAMP + 1), TIMESTAMP) == "fresh"


def test_one_that_was_given_back_is_fresh_again() -> None:
    memory = ReplayMemory(300)
    memory.use(proof(1), TIMESTAMP)
    memory.give_back(proof(1))
    memory.give_back(proof(1))
    memory.give_back(proof(2))
    assert len(memory) == 0
    assert memory.use(proof(1), TIMESTAMP) == "fresh"


def test_what_is_too_old_to_verify_is_forgotten() -> None:
    memory = ReplayMemory(300)
    memory.use(proof(1), TIMESTAMP)
    memory.use(proof(2, TIMESTAMP + 10), TIMESTAMP)
    assert memory.use(proof(3, TIMESTAMP + 301), TIMESTAMP + 301) == "fresh"
    assert len(memory) == 2


def test_a_full_memory_forgets_nothing_and_says_so_until_time_makes_room() -> None:
    memory = ReplayMemory(300, capacity=2)
    memory.use(proof(1), TIMESTAMP)
    memory.use(proof(2), TIMESTAMP)
    assert memory.use(proof(3), TIMESTAMP) == "full"
    assert memory.use(proof(1), TIMESTAMP) == "used"
    later = TIMESTAMP + 301
    assert memory.use(proof(3, later), later) == "fresh"


def test_a_clock_that_is_set_back_brings_no_used_signature_to_life() -> None:
    memory = ReplayMemory(300)
    memory.use(proof(1), TIMESTAMP)
    memory.use(proof(2, TIMESTAMP + 3600), TIMESTAMP + 3600)  # an hour ahead for a moment
    assert memory.use(proof(1), TIMESTAMP + 10) == "used"
    assert memory.use(proof(3, TIMESTAMP + 5), TIMESTAMP + 10) == "fresh"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=80))
def test_it_agrees_with_a_plain_set(calls: list[tuple[int, int]]) -> None:
    memory = ReplayMemory(300)
    used: set[tuple[int, int]] = set()
    for number, second in calls:
        known = (number, second) in used
        used.add((number, second))
        expected = "used" if known else "fresh"
        assert memory.use(proof(number, TIMESTAMP + second), TIMESTAMP) == expected
    assert len(memory) == len(used)
