"""The record of the calls to the sandbox, for checks afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocean_actors.sandbox.errors import ApiError
from ocean_actors.sandbox.schemas import parse

KEPT_CALLS = 10_000
KEPT_BYTES = 64 * 1024 * 1024  # of bodies, in all
SECRET_KEYS = ("clientsecret", "password", "accesstoken")  # without underscores, in lower case
TOKEN_PATH = "/auth/access_token"  # noqa: S105  (its bodies hold the secret)
MASK = "***"


@dataclass(frozen=True)
class Call:
    """One call of the API. `status` is None while there is no answer; `fault` is the kind of the
    fault that hit it.
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
        """The JSON body without secrets, the text if it is not JSON, None if it is empty."""
        try:
            body = parse(self.raw)
        except ApiError:
            body = self.raw.decode(errors="replace")
        if self.path.endswith(TOKEN_PATH) and body is not None and not isinstance(body, dict):
            return MASK  # malformed credentials may hold the secret anywhere
        return _without_secrets(body)

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON-able data."""
        fields = asdict(self)
        del fields["raw"]
        return {**fields, "query": _without_secrets(self.query), "body": self.body}


class CallLog:
    """The last `kept` calls; older ones are only counted."""

    def __init__(self, kept: int = KEPT_CALLS, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._calls: dict[int, Call] = {}
        self._bytes = 0
        self.count = 0

    def arrived(self, call: Call) -> Call:
        """Record a call and number it."""
        self.count += 1
        call = replace(call, number=self.count)
        self._calls[call.number] = call
        self._bytes += len(call.raw)
        while len(self._calls) > self._kept or self._bytes > self._kept_bytes:
            self._bytes -= len(self._calls.pop(next(iter(self._calls))).raw)
        return call

    def answered(self, number: int, status: int | None, fault: str | None) -> None:
        """Record the answer of a call; a status of None means that the connection was closed."""
        call = self._calls.get(number)
        if call is not None:
            self._calls[number] = replace(call, status=status, fault=fault)

    def all(self) -> tuple[Call, ...]:
        """Returns the calls that are kept, oldest first."""
        return tuple(self._calls.values())


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: MASK if _is_secret(key) else _without_secrets(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _is_secret(key: str) -> bool:
    return key.replace("_", "").lower() in SECRET_KEYS
