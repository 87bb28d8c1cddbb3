"""The usual ways in which a third-party system proves that it sent a call; for `authenticate`.

Each takes the call and the secret, and returns whether they fit, in constant time. A secret may
be text or bytes. Each raises ValueError for an empty one, with which anybody could sign.
"""

from __future__ import annotations

import hmac
import re

from ocean_actors.live.call import LiveCall

SLACK_TOLERANCE = 300.0
"""The greatest age of a Slack signature, in seconds."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


def hmac_sha256(call: LiveCall, secret: str | bytes, header: str, prefix: str = "") -> bool:
    """Returns whether `header` holds `prefix` and the HMAC-SHA256 of the body, in hex."""
    return _fits(call.headers.get(header), prefix, secret, call.body)


def github(call: LiveCall, secret: str | bytes) -> bool:
    """Returns whether GitHub signed the call (`X-Hub-Signature-256`)."""
    return hmac_sha256(call, secret, "X-Hub-Signature-256", "sha256=")


def bitbucket(call: LiveCall, secret: str | bytes) -> bool:
    """Returns whether Bitbucket signed the call (`X-Hub-Signature`)."""
    return hmac_sha256(call, secret, "X-Hub-Signature", "sha256=")


def gitea(call: LiveCall, secret: str | bytes) -> bool:
    """Returns whether Gitea or Forgejo signed the call (`X-Gitea-Signature`)."""
    return hmac_sha256(call, secret, "X-Gitea-Signature")


def gitlab(call: LiveCall, token: str | bytes) -> bool:
    """Returns whether the call has GitLab's secret token (`X-Gitlab-Token`)."""
    return header_token(call, token, "X-Gitlab-Token")


def header_token(call: LiveCall, token: str | bytes, header: str) -> bool:
    """Returns whether `header` holds the token itself."""
    claimed = call.headers.get(header)
    expected = _key(token)
    return claimed is not None and hmac.compare_digest(_bytes(claimed), expected)


def slack(call: LiveCall, secret: str | bytes, *, tolerance: float = SLACK_TOLERANCE) -> bool:
    """Returns whether Slack signed the call at most `tolerance` seconds ago.

    The header `X-Slack-Signature` signs the body with the epoch seconds of
    `X-Slack-Request-Timestamp`. Within that time a call may be repeated.
    """
    timestamp = call.headers.get("X-Slack-Request-Timestamp", "")
    signed = b"v0:" + _bytes(timestamp) + b":" + call.body
    fits = _fits(call.headers.get("X-Slack-Signature"), "v0=", secret, signed)
    if not fits or _TIMESTAMP.fullmatch(timestamp) is None:
        return False
    return abs(call.received_at.timestamp() - int(timestamp)) <= tolerance


def _fits(claimed: str | None, prefix: str, secret: str | bytes, signed: bytes) -> bool:
    expected = prefix + hmac.digest(_key(secret), signed, "sha256").hex()
    return claimed is not None and hmac.compare_digest(_bytes(claimed), expected.encode())


def _key(secret: str | bytes) -> bytes:
    if not secret:
        raise ValueError("the secret is empty")
    return secret if isinstance(secret, bytes) else secret.encode()


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace")  # WSGI decodes headers as Latin-1
