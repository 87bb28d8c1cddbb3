"""Verifies Port's webhook signatures, and remembers which were used.

The scheme is that of docs/port-wire.md, section 8: header `x-port-timestamp` holds epoch seconds,
`x-port-signature` holds `v1,` + base64(HMAC-SHA256(secret, timestamp + "." + raw body)).
"""

from __future__ import annotations

import binascii
import hmac
import re
import threading
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ocean_actors.errors import OceanError

VERSION = "v1,"
REMEMBERED = 2**20  # signatures, of 8 bytes each

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class BadSignature(OceanError):
    """Raised for a call that claims to be signed and is not; one line, free of secrets."""


@dataclass(frozen=True)
class Proof:
    """A valid signature: `digest` is its HMAC, `timestamp` its epoch seconds."""

    timestamp: int
    digest: bytes


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """Returns the value of `x-port-signature` for a body, as Port makes it."""
    return _encoded(_digest(secret, str(timestamp).encode(), body)).decode()


def verify(
    secrets: Sequence[bytes],
    timestamp: str | None,
    signature: str | None,
    body: bytes,
    *,
    now: float,
    tolerance: float,
) -> Proof | None:
    """Returns the proof that one of `secrets` signed `body`; None if both headers are None.

    Raises BadSignature if either is malformed or missing, no secret fits, or `timestamp` is
    more than `tolerance` seconds from `now` (epoch seconds), in either direction.
    """
    if timestamp is None and signature is None:
        return None
    if timestamp is None or signature is None:
        raise BadSignature("x-port-signature and x-port-timestamp belong together: one is missing")
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise BadSignature("x-port-timestamp is not a number of epoch seconds")
    claimed = signature.encode("utf-8", "surrogatepass")
    if not signature.startswith(VERSION):
        raise BadSignature(f"x-port-signature does not begin with {VERSION!r}")
    age = now - int(timestamp)
    if abs(age) > tolerance:
        where = "old" if age > 0 else "ahead of this machine's clock"
        raise BadSignature(
            f"the signature is {abs(age):.0f} s {where}: at most {tolerance:.0f} s are allowed"
        )
    found: bytes | None = None
    for secret in secrets:  # all of them, so that the time taken does not show which one fits
        digest = _digest(secret, timestamp.encode(), body)
        if hmac.compare_digest(_encoded(digest), claimed):
            found = digest
    if found is None:
        raise BadSignature("the signature does not fit the body with any of the secrets")
    return Proof(int(timestamp), found)


def _encoded(digest: bytes) -> bytes:
    return VERSION.encode() + binascii.b2a_base64(digest, newline=False)


def _digest(secret: bytes, timestamp: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, timestamp + b"." + body, "sha256")


class ReplayMemory:
    """Remembers which signatures were used, for as long as `verify` accepts them.

    Only valid signatures are remembered, so a stranger cannot fill it. At `capacity` none is
    forgotten to make room; `use` returns "full" instead. Setting the clock back does not make
    forgotten signatures usable: whatever is as old as the newest that was ever forgotten counts
    as used.

    Safe to use from any thread. 64 bits of each digest are kept, in sorted arrays by timestamp:
    8 bytes a signature, and a chance of one in 10**13 that a fresh one is taken for used.
    """

    def __init__(self, tolerance: float, capacity: int = REMEMBERED) -> None:
        self._tolerance = tolerance
        self._capacity = capacity
        self._used: dict[int, array[int]] = {}
        self._count = 0
        self._newest_forgotten = -1
        self._swept_at = 0
        self._lock = threading.Lock()  # of request threads; held for microseconds

    def __len__(self) -> int:
        return self._count

    def use(self, proof: Proof, now: float) -> Literal["fresh", "used", "full"]:
        """Marks a signature as used at `now` (epoch seconds).

        Returns "fresh" if it was not used before, and "full" if it cannot be remembered.
        """
        key = _key(proof)
        with self._lock:
            self._sweep(now)
            if proof.timestamp <= self._newest_forgotten:
                return "used"
            keys = self._used.get(proof.timestamp)
            place = 0 if keys is None else bisect_left(keys, key)
            if keys is not None and place < len(keys) and keys[place] == key:
                return "used"
            if self._count >= self._capacity:
                return "full"
            if keys is None:
                keys = self._used[proof.timestamp] = array("Q")
            keys.insert(place, key)
            self._count += 1
            return "fresh"

    def give_back(self, proof: Proof) -> None:
        """Lets a signature be used again, as its call could not be served."""
        key = _key(proof)
        with self._lock:
            keys = self._used.get(proof.timestamp)
            if keys is None:
                return
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                del keys[place]
                self._count -= 1

    def _sweep(self, now: float) -> None:
        if int(now) == self._swept_at:
            return
        self._swept_at = int(now)
        for timestamp in [old for old in self._used if now - old > self._tolerance]:
            self._count -= len(self._used.pop(timestamp))
            self._newest_forgotten = max(self._newest_forgotten, timestamp)


def _key(proof: Proof) -> int:
    return int.from_bytes(proof.digest[:8], "big")
