"""What goes wrong on command."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from typing import Any
from wsgiref.util import is_hop_by_hop

from ocean_actors.sandbox.errors import invalid

LONGEST_WAIT = 600.0  # seconds
HEADER_NAME = re.compile(r"(?!content-length$)[a-z0-9-]+", re.IGNORECASE)


class Kind(str, Enum):
    """What is done to a call."""

    DELAY = "delay"  # answered after `seconds`
    HANG = "hang"  # answered once released, at the latest after `seconds`
    STATUS = "status"  # an error in Port's shape with `status` and `headers`
    HTML = "html"  # an error page of a proxy with `status`
    GARBAGE = "garbage"  # 200, and no JSON
    LIST = "list"  # 200, and a JSON list
    EMPTY = "empty"  # 200, and an object without any field
    TRUNCATE = "truncate"  # 200, and the connection is closed in the middle of the body
    DROP = "drop"  # the connection is closed without an answer


@dataclass(frozen=True)
class Fault:
    """One order: what, to which calls, how often.

    `path` is a regular expression searched in the percent-encoded path (so `^/v1/integration`
    is a prefix). `rate` is the share of the calls it fits that it hits. `applied`: the call
    takes effect all the same, only its answer is spoilt.
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
        """Whether it is meant for such a call."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or re.search(self.path, path) is not None
        )


@dataclass(frozen=True)
class Answer:
    """An answer as bytes. `cut`: the connection is closed after them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool = False


class Faults:
    """The orders that stand, in the order they were given; the first that fits a call hits it."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311  (repeatable, not secret)
        self._orders: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Give an order. Raises ApiError 422 if it makes no sense."""
        try:
            re.compile(fault.path or "")
        except re.error as error:
            raise invalid(f"path: not a regular expression: {error}") from None
        if fault.times is not None and fault.times < 1:
            raise invalid("times: must be at least 1, or null for always")
        if not 0 <= fault.seconds <= LONGEST_WAIT:
            raise invalid(f"seconds: must be from 0 to {LONGEST_WAIT:.0f}")
        if not 200 <= fault.status <= 599:
            raise invalid("status: must be from 200 to 599")
        if not 0 < fault.rate <= 1:
            raise invalid("rate: must be above 0 and at most 1")
        for name, value in fault.headers.items():
            if not HEADER_NAME.fullmatch(name) or is_hop_by_hop(name):
                raise invalid(f"headers: {name!r} cannot be sent")
            if not (value.isascii() and value.isprintable()):
                raise invalid(f"headers: the value of {name} must be printable ASCII")
        self._orders.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """What hits this call; it counts as one of its times."""
        for index, fault in enumerate(self._orders):
            if fault.fits(method, path) and self._random.random() < fault.rate:
                if fault.times is not None:
                    self._orders[index] = replace(fault, times=fault.times - 1)
                    if fault.times == 1:
                        del self._orders[index]
                return fault
        return None

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._orders.clear()

    def standing(self) -> tuple[Fault, ...]:
        """The orders with the times that are left."""
        return tuple(self._orders)


def spoilt(fault: Fault) -> Answer:
    """The answer that a call hit by `fault` gets; not for those that only wait."""
    if fault.kind is Kind.STATUS:
        error = "rate_limit_exceeded" if fault.status == 429 else "sandbox_fault"
        body = {"ok": False, "error": error, "message": f"{_phrase(fault.status)} (as ordered)"}
        return _json(fault.status, body, fault.headers)
    if fault.kind is Kind.HTML:
        page = f"<!DOCTYPE html>\n<html><body><h1>{_phrase(fault.status)}</h1></body></html>\n"
        headers = (("Content-Type", "text/html"), *fault.headers.items())
        return Answer(fault.status, headers, page.encode())
    if fault.kind is Kind.GARBAGE:
        return Answer(200, (("Content-Type", "application/json"),), b'{"ok": true, "integr\xff\x00')
    if fault.kind is Kind.LIST:
        return _json(200, [{"ok": True}], {})
    if fault.kind is Kind.EMPTY:
        return _json(200, {}, {})
    promised = {"Content-Length": "1000"} if fault.kind is Kind.TRUNCATE else {}
    return replace(_json(200, {"ok": True, "cut": "he"}, promised), cut=True)


def _json(status: int, body: Any, headers: dict[str, str]) -> Answer:
    pairs = (("Content-Type", "application/json"), *headers.items())
    return Answer(status, pairs, json.dumps(body).encode())


def _phrase(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return f"{status} {HTTPStatus(status).phrase}" if known else str(status)
