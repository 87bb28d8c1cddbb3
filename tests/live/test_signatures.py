"""The helpers for `authenticate`."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ocean_actors import LiveCall
from ocean_actors.live import signatures
from ocean_actors.live.call import Headers, UnreadableCall

NOW = 1_760_000_000
BODY = b'{"action":"opened"}'

Check = Callable[[LiveCall, str], bool]


def call(body: bytes = BODY, /, **headers: str) -> LiveCall:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    at = datetime.fromtimestamp(NOW, timezone.utc)
    return LiveCall("x", "POST", Headers(named), body, "127.0.0.1", at)


def digest(signed: bytes = BODY, secret: bytes = b"s3cr3t") -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


SLACK = {
    "X_Slack_Request_Timestamp": str(NOW),
    "X_Slack_Signature": f"v0={digest(f'v0:{NOW}:'.encode() + BODY)}",
}
GOOD: list[tuple[Check, dict[str, str]]] = [
    (signatures.github, {"X_Hub_Signature_256": f"sha256={digest()}"}),
    (signatures.bitbucket, {"X_Hub_Signature": f"sha256={digest()}"}),
    (signatures.gitea, {"X_Gitea_Signature": digest()}),
    (signatures.gitlab, {"X_Gitlab_Token": "s3cr3t"}),
    (signatures.slack, SLACK),
]


@pytest.mark.parametrize(("check", "headers"), GOOD)
def test_a_signed_call_is_known_by_headers_in_any_case(
    check: Check, headers: dict[str, str]
) -> None:
    assert check(call(**headers), "s3cr3t")
    assert check(call(**{name.lower(): value for name, value in headers.items()}), "s3cr3t")


@pytest.mark.parametrize(("check", "headers"), GOOD)
def test_a_call_with_another_secret_or_without_headers_is_not(
    check: Check, headers: dict[str, str]
) -> None:
    assert not check(call(**headers), "other")
    assert not check(call(), "s3cr3t")
    for name in headers:
        assert not check(call(**{**headers, name: ""}), "s3cr3t")
        assert not check(call(**{**headers, name: headers[name] + "0"}), "s3cr3t")


@pytest.mark.parametrize(("check", "headers"), [g for g in GOOD if g[0] is not signatures.gitlab])
def test_a_signature_does_not_fit_another_body(check: Check, headers: dict[str, str]) -> None:
    assert not check(call(BODY + b" ", **headers), "s3cr3t")


@pytest.mark.parametrize(("check", "headers"), GOOD)
def test_an_empty_secret_is_an_error_and_lets_nobody_in(
    check: Check, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="the secret is empty"):
        check(call(**headers), "")


@pytest.mark.parametrize("late", [-301, 301])
def test_an_old_signature_of_slack_is_refused(late: int) -> None:
    timestamp = str(NOW + late)
    signature = f"v0={digest(f'v0:{timestamp}:'.encode() + BODY)}"
    headers = {"X_Slack_Request_Timestamp": timestamp, "X_Slack_Signature": signature}
    assert not signatures.slack(call(**headers), "s3cr3t")
    assert signatures.slack(call(**headers), "s3cr3t", tolerance=400)


@given(st.text(), st.text(), st.binary())
def test_no_garbage_in_a_header_is_an_error(one: str, other: str, body: bytes) -> None:
    for check, headers in GOOD:
        garbage = dict(zip(headers, (one, other), strict=False))
        assert not check(call(body, **garbage), "s3cr3t") or "s3cr3t" in garbage.values()


@given(st.binary())
def test_a_body_is_json_or_unreadable(body: bytes) -> None:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        with pytest.raises(UnreadableCall, match=r"^the body is not JSON: "):
            call(body).json()
    else:
        call(body).json()


def test_a_body_that_is_nested_too_deeply_is_unreadable() -> None:
    with pytest.raises(UnreadableCall):
        call(b"[" * 100_000).json()


def test_headers_show_no_values_and_can_be_hashed() -> None:
    headers = Headers({"X-Token": "s3cr3t"})
    assert "s3cr3t" not in repr(headers)
    assert hash(headers) == hash(Headers({"x-token": "s3cr3t"}))
    assert "s3cr3t" not in repr(call(b"s3cr3t", Authorization="s3cr3t"))
