"""Access tokens: given for the credentials, good for a while."""

from __future__ import annotations

import secrets
from typing import Any

from ocean_actors.actors.clock import Clock
from ocean_actors.sandbox.errors import unauthorized

KEPT = 10_000


class Tokens:
    """The tokens that were given out, with the time until which each is good."""

    def __init__(self, client_id: str, client_secret: str, lifetime: float, clock: Clock) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._good_until: dict[str, float] = {}
        self.lifetime = lifetime  # seconds, of the tokens to come
        self.refusing = False  # while true, the right credentials are wrong

    def issue(self, client_id: str, client_secret: str) -> dict[str, Any]:
        """A new token, as the API answers it. Raises ApiError 401 for wrong credentials."""
        wrong = (client_id, client_secret) != (self._client_id, self._client_secret)
        if wrong or self.refusing:
            raise unauthorized("the client id or the client secret is wrong")
        if len(self._good_until) >= KEPT:
            del self._good_until[next(iter(self._good_until))]
        token = secrets.token_urlsafe(24)
        self._good_until[token] = self._clock.monotonic() + self.lifetime
        return {"accessToken": token, "expiresIn": int(self.lifetime), "tokenType": "Bearer"}

    def check(self, authorization: str) -> None:
        """Raises ApiError 401 unless the header carries a token that is good now."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise unauthorized("the Authorization header carries no token")
        if self._clock.monotonic() >= self._good_until.get(token.strip(), float("-inf")):
            raise unauthorized("the token is unknown or has expired")

    def expire(self) -> None:
        """Every token given out so far is bad from now on."""
        self._good_until.clear()
