"""Faults: calls that go wrong on command."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from http.client import responses
from typing import Any
from wsgiref.util import is_hop_by_hop

from ocean_actors.sandbox import patterns
from ocean_actors.sandbox.errors import invalid

MAX_WAIT = 600.0  # seconds
HEADER_NAME = re.compile(r"(?!content-length$)[a-z0-9-]+", re.IGNORECASE)


class Kind(str, Enum):
    """What happens to a call."""

    DELAY = "delay"  # answered after `seconds`
    HANG = "hang"  # answered once released, after `seconds` at the latest
    STATUS = "status"  # an error in Port's shape with `status` and `headers`
    HTML = "html"  # a proxy's error page with `status`
    GARBAGE = "garbage"  # 200, and something that is not JSON
    LIST = "list"  # 200, and a JSON list
    EMPTY = "empty"  # 200, and an empty object
    TRUNCATE = "truncate"  # 200, and the connection is closed in the middle of the body
    DROP = "drop"  # the connection is closed without an answer


@dataclass(frozen=True)
class Fault:
    """What happens, to which calls, and how often.

    `path` is a regular expression that is searched in the percent-encoded path (so
    `^/v1/integration` is a prefix); see `patterns` for what it may contain. `rate` is the share of
    the matching calls that are hit. `applied`: the call takes effect, only its answer is replaced.
    """

    kind: Kind
    times: int | None = 1  # None: until cleared
    method: str | None = None
    path: str | None = None
    seconds: float = 60.0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    rate: float = 1.0
    applied: bool = False

    def fits(self, method: str, path: str) -> bool:
        """Returns whether the fault is meant for such a call."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or patterns.found(self.path, path)
        )


@dataclass(frozen=True)
class SandboxAnswer:
    """An answer as bytes; with `cut` the connection is closed after them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool = False


class Faults:
    """The faults in effect, in the order they were added; the first that fits a call hits it."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311  (repeatable, not secret)
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault. Raises ApiError 422 if one of its fields is unusable."""
        patterns.check(fault.path or "")
        if fault.times is not None and fault.times < 1:
            raise invalid("times: must be at least 1, or null for always")
        if not 0 <= fault.seconds <= MAX_WAIT:
            raise invalid(f"seconds: must be from 0 to {MAX_WAIT:.0f}")
        if not 200 <= fault.status <= 599:
            raise invalid("status: must be from 200 to 599")
        if not 0 < fault.rate <= 1:
            raise invalid("rate: must be above 0 and at most 1")
        for name, value in fault.headers.items():
            if not HEADER_NAME.fullmatch(name) or is_hop_by_hop(name):
                raise invalid(f"headers: {name!r} cannot be set")
            if not (value.isascii() and value.isprintable()):
                raise invalid(f"headers: the value of {name} must be printable ASCII")
        self._faults.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Returns the fault that hits this call, and counts it as one of its times."""
        for index, fault in enumerate(self._faults):
            if fault.fits(method, path) and self._random.random() < fault.rate:
                if fault.times is not None:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                    if fault.times == 1:
                        del self._faults[index]
                return fault
        return None

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def active(self) -> tuple[Fault, ...]:
        """Returns the faults in effect, with the times that are left."""
        return tuple(self._faults)


def faulty_answer(fault: Fault) -> SandboxAnswer:
    """Returns the answer of a call that `fault` hits; not for `DELAY` and `HANG`."""
    if fault.kind is Kind.STATUS:
        error = "rate_limit_exceeded" if fault.status == 429 else "sandbox_fault"
        body = {"ok": False, "error": error, "message": f"{_phrase(fault.status)} (as ordered)"}
        return _json(fault.status, body, fault.headers)
    if fault.kind is Kind.HTML:
        page = f"<!DOCTYPE html>\n<html><body><h1>{_phrase(fault.status)}</h1></body></html>\n"
        headers = (("Content-Type", "text/html"), *fault.headers.items())
        return SandboxAnswer(fault.status, headers, page.encode())
    if fault.kind is Kind.GARBAGE:
        return SandboxAnswer(
            200, (("Content-Type", "application/json"),), b'{"ok": true, "integr\xff\x00'
        )
    if fault.kind is Kind.LIST:
        return _json(200, [{"ok": True}], {})
    if fault.kind is Kind.EMPTY:
        return _json(200, {}, {})
    promised = {"Content-Length": "1000"} if fault.kind is Kind.TRUNCATE else {}
    return replace(_json(200, {"ok": True, "cut": "he"}, promised), cut=True)


def _json(status: int, body: Any, headers: dict[str, str]) -> SandboxAnswer:
    pairs = (("Content-Type", "application/json"), *headers.items())
    return SandboxAnswer(status, pairs, json.dumps(body).encode())


def _phrase(status: int) -> str:
    return f"{status} {responses.get(status, '')}".rstrip()
