"""Access tokens: issued for the credentials, valid for a time."""

from __future__ import annotations

import secrets
from typing import Any

from ocean_actors.actors.clock import Clock
from ocean_actors.sandbox.errors import unauthorized

KEPT = 10_000


class Tokens:
    """The issued tokens and the time until which each is valid."""

    def __init__(self, client_id: str, client_secret: str, lifetime: float, clock: Clock) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._good_until: dict[str, float] = {}
        self.lifetime = lifetime  # seconds, of new tokens
        self.refusing = False  # refuse the right credentials, too

    def issue(self, client_id: str, client_secret: str) -> dict[str, Any]:
        """Returns the API's answer with a new token. Raises ApiError 401 for wrong credentials."""
        wrong = (client_id, client_secret) != (self._client_id, self._client_secret)
        if wrong or self.refusing:
            raise unauthorized("the client id or the client secret is wrong")
        if len(self._good_until) >= KEPT:
            del self._good_until[next(iter(self._good_until))]
        token = secrets.token_urlsafe(24)
        self._good_until[token] = self._clock.monotonic() + self.lifetime
        return {"accessToken": token, "expiresIn": int(self.lifetime), "tokenType": "Bearer"}

    def check(self, authorization: str) -> None:
        """Raises ApiError 401 unless the header has a valid token."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise unauthorized("the Authorization header has no token")
        if self._clock.monotonic() >= self._good_until.get(token.strip(), float("-inf")):
            raise unauthorized("the token is unknown or has expired")

    def expire(self) -> None:
        """Invalidate all tokens issued so far."""
        self._good_until.clear()
