"""Reads a call to the webhook: its source, whether this source may call, and what it proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ocean_actors.actors import Clock
from ocean_actors.listeners.webhook.addresses import is_within, source_of
from ocean_actors.settings import WebhookSettings
from ocean_actors.web.answers import RETRY, Refusal
from ocean_actors.web.body import read_body, require_json
from ocean_actors.web.signature import BadSignature, Proof, ReplayMemory, verify


@dataclass(frozen=True)
class WebhookCall:
    """What a call carries: the raw body, and the proof that Port signed it, if there is one."""

    body: bytes
    proof: Proof | None


class CallReader:
    """Turns WSGI environments into calls. Safe to use from any thread.

    Signatures are made with `client_secret`, unless the settings name other secrets.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        client_secret: SecretStr,
        *,
        max_body_bytes: int,
        clock: Clock,
    ) -> None:
        self._allowed = settings.allowed_ips
        self._proxies = settings.trusted_proxies
        self._required = settings.verify_signature == "required"
        self._tolerance = settings.signature_tolerance
        secrets = settings.secrets or (client_secret,)
        self._secrets = tuple(secret.get_secret_value().encode() for secret in secrets)
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._memory = ReplayMemory(settings.signature_tolerance)

    def source(self, environ: Mapping[str, Any]) -> str:
        """Returns the address that a call counts as coming from, as one printable word.

        Where the server names a peer without an address (a Unix socket), return that name.
        """
        peer = environ.get("REMOTE_ADDR") or ""
        if not (self._allowed or self._proxies) and peer.isprintable():
            return peer or "an unknown address"
        address = source_of(peer, environ.get("HTTP_X_FORWARDED_FOR"), self._proxies)
        return str(address) if address is not None else f"{peer[:100]!a}"

    def read(self, environ: Mapping[str, Any]) -> WebhookCall:
        """Returns a call; its signature is used up then.

        Raises Refusal: 403 if its source may not call, 411, 413, 415 or 400 for its body, 401
        if it is not signed as it has to be or its signature was used before, and 503 if no more
        signatures can be remembered.
        """
        self._admit(environ)
        require_json(environ)
        body = read_body(environ, self._max_body_bytes)
        now = self._clock.now().timestamp()
        proof = self._proof(environ, body, now)
        if proof is not None:
            used = self._memory.use(proof, now)
            if used == "used":
                raise Refusal(401, "this signature was used before")
            if used == "full":
                message = "too many signatures within eventListener.signatureTolerance"
                raise Refusal(503, message, RETRY)
        return WebhookCall(body, proof)

    def give_back(self, call: WebhookCall) -> None:
        """Let the signature of a call that was not served be used again."""
        if call.proof is not None:
            self._memory.give_back(call.proof)

    def _admit(self, environ: Mapping[str, Any]) -> None:
        if not self._allowed:
            return
        address = source_of(self.source(environ), None, ())
        if address is None or not is_within(address, self._allowed):
            raise Refusal(403, "calls from this address are not allowed")

    def _proof(self, environ: Mapping[str, Any], body: bytes, now: float) -> Proof | None:
        try:
            proof = verify(
                self._secrets,
                environ.get("HTTP_X_PORT_TIMESTAMP"),
                environ.get("HTTP_X_PORT_SIGNATURE"),
                body,
                now=now,
                tolerance=self._tolerance,
            )
        except BadSignature as error:
            raise Refusal(401, str(error)) from None
        if proof is None and self._required:
            raise Refusal(401, "calls have to be signed here")
        return proof
