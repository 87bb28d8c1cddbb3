"""Keeps known secrets out of answers, whatever text they got into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, SecretStr

from ocean_actors.settings import Settings

MASK = b"***"
SHORTEST = 6  # characters; shorter texts occur by chance
_SECRET_NAME = re.compile(r"secret|token|passw|credential|private|api_?key", re.IGNORECASE)


class Redaction:
    """Replaces secrets in JSON with `***`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        written = {
            json.dumps(secret)[1:-1].encode() for secret in secrets if len(secret) >= SHORTEST
        }
        longest_first = sorted(written, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if written else None

    def __call__(self, encoded: bytes) -> bytes:
        """Returns `encoded` without the secrets."""
        return encoded if self._pattern is None else self._pattern.sub(MASK, encoded)

    def in_text(self, text: str) -> str:
        """Returns a text that holds JSON without the secrets."""
        return self(text.encode(errors="replace")).decode()


def secrets_of(settings: Settings) -> frozenset[str]:
    """Returns the secrets among the settings.

    In the integration's own settings, whose keys we do not know, the key's name marks a secret.
    """
    return frozenset((*_secrets(settings), *_named_secrets(settings.integration.config)))


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _secrets(item)


def _named_secrets(value: object, *, named: bool = False) -> Iterator[str]:
    if isinstance(value, str) and named:
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named_secrets(item, named=named or bool(_SECRET_NAME.search(str(key))))
    elif isinstance(value, list):
        for item in value:
            yield from _named_secrets(item, named=named)
