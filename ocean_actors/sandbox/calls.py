"""What was asked of the sandbox, for whoever wants to check it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocean_actors.sandbox.errors import ApiError
from ocean_actors.sandbox.schemas import parse

KEPT_CALLS = 10_000
KEPT_BYTES = 64 * 1024 * 1024  # of bodies, in all
SECRET_KEYS = ("clientSecret", "client_secret")


@dataclass(frozen=True)
class Call:
    """One call of the API. `status` is None until it is answered, and if it never was; `fault`
    is what went wrong on command.
    """

    number: int
    at: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes = field(default=b"", repr=False)
    status: int | None = None
    fault: str | None = None

    @property
    def body(self) -> Any:
        """The JSON that came, without secrets; the text if it was none; None if it was empty."""
        try:
            return _without_secrets(parse(self.raw))
        except ApiError:
            return self.raw.decode(errors="replace")

    def as_json(self) -> dict[str, Any]:
        """The same, to be written as JSON."""
        fields = asdict(self)
        del fields["raw"]
        return {**fields, "body": self.body}


class CallLog:
    """The newest calls, at most `kept` of them; older ones are only counted."""

    def __init__(self, kept: int = KEPT_CALLS, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._calls: dict[int, Call] = {}
        self._bytes = 0
        self.count = 0

    def arrived(self, call: Call) -> Call:
        """Note a call and number it."""
        self.count += 1
        call = replace(call, number=self.count)
        self._calls[call.number] = call
        self._bytes += len(call.raw)
        while len(self._calls) > self._kept or self._bytes > self._kept_bytes:
            self._bytes -= len(self._calls.pop(next(iter(self._calls))).raw)
        return call

    def answered(self, number: int, status: int | None, fault: str | None) -> None:
        """Note how a call was answered; a status of None is a connection that was closed."""
        call = self._calls.get(number)
        if call is not None:
            self._calls[number] = replace(call, status=status, fault=fault)

    def all(self) -> tuple[Call, ...]:
        """What is remembered, oldest first."""
        return tuple(self._calls.values())


def _without_secrets(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {key: "***" if key in SECRET_KEYS else value for key, value in body.items()}
