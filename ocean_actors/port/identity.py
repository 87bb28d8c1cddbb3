"""Who we are to Port: credentials, User-Agent, and the access token."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from ocean_actors._version import __version__
from ocean_actors.port.models import AccessToken
from ocean_actors.port.tally import CallTally
from ocean_actors.settings import IntegrationSettings, PortSettings

EXPORTER = "/exporter"
"""Ends the User-Agent of whoever writes or searches entities."""

RENEW_SHARE, RENEW_MOST = 0.2, 60.0
"""A token is renewed before it expires: by this share of its life, at most by these seconds."""

MASK = "***"
SHORTEST_SECRET = 4  # characters; to hide what is shorter would hide every second word
MOST_SCANNED = 65_536  # characters; far more than a log line shows


@dataclass
class Identity:
    """Who we are to Port, and the access token that all clients of one system share.

    It needs no lock: at worst two clients fetch a token each, and both are valid.
    """

    port: PortSettings
    integration: IntegrationSettings
    _token: AccessToken | None = field(default=None, init=False, repr=False)
    _renew_at: float = field(default=0.0, init=False, repr=False)
    clock_skew: timedelta | None = field(default=None, init=False, repr=False)
    """Port's clock minus ours, by the newest answer; None before there was one."""

    tally: CallTally = field(default_factory=CallTally, init=False, repr=False)
    """Counts the calls of all clients."""

    @property
    def user_agent(self) -> str:
        """The User-Agent, by which Port tells who owns an entity."""
        return f"{self._product}{__version__}/{self.integration.identifier}"

    @property
    def ownership(self) -> tuple[str, str]:
        """The start and the end of the User-Agent of what we own, whatever our version was."""
        return self._product, f"/{self.integration.identifier}{EXPORTER}"

    @property
    def _product(self) -> str:
        return f"port-ocean/{self.integration.type.lower()}/"

    def valid_token(self, now: float) -> AccessToken | None:
        """Returns the token, or None if it is about to expire at `now` (monotonic)."""
        token, renew_at = self._token, self._renew_at
        return token if now < renew_at else None

    def keep(self, token: AccessToken, now: float) -> None:
        """Use this token from `now` (monotonic) on."""
        margin = min(RENEW_MOST, token.seconds * RENEW_SHARE)
        self._token, self._renew_at = token, now + token.seconds - margin

    def forget(self, token: AccessToken) -> None:
        """Renew this token, which Port does not accept any more."""
        if self._token is token:
            self._renew_at = 0.0

    def note_clock(self, date: str | None, now: datetime) -> None:
        """Compare an answer's `Date` header (RFC 9110, 6.6.1), if it can be read, with our time.

        The header counts whole seconds, so the skew may come out up to a second too low.
        """
        if date is None:
            return
        try:
            self.clock_skew = parsedate_to_datetime(date).astimezone(timezone.utc) - now
        except (ValueError, TypeError, IndexError, OverflowError):  # IndexError: Python 3.10
            return

    def mask(self, text: str) -> str:
        """Returns the start of `text` without our credentials, should a server repeat them.

        Call it before the text is shortened: a part of a secret is not recognized.
        """
        text = text[:MOST_SCANNED]
        for secret in self._secrets():
            text = _pattern(secret).sub(MASK, text)
        return text

    def _secrets(self) -> Iterator[str]:
        token = self._token
        bare = token.authorization.partition(" ")[2] if token is not None else ""
        for secret in (self.port.client_secret.get_secret_value(), bare, self.port.client_id):
            if len(secret) >= SHORTEST_SECRET:
                yield secret


@functools.lru_cache(maxsize=256)  # three for each integration of the process
def _pattern(secret: str) -> re.Pattern[str]:
    """Returns what finds a secret as it is, in JSON, in a URL, and in Base64."""
    forms = [_spelled(secret)]
    raw = secret.encode(errors="surrogatepass")
    for offset in range(3):  # where it may begin in a longer text that was encoded
        encoded = base64.b64encode(b"\0" * offset + raw).decode()
        first, end = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6  # what only it decides
        forms.append("".join(map(_spelled, encoded[first:end])))
    return re.compile("|".join(forms))


def _spelled(text: str) -> str:
    """Returns a pattern for `text`, of which any character may be escaped."""
    return "".join(_character(each) for each in text)


def _character(char: str) -> str:
    r"""Returns a pattern for a character: as it is, `\u0041` or `\/` in JSON, `%41` in a URL."""
    forms = [re.escape(char)]
    units = char.encode("utf-16-be", errors="surrogatepass").hex()
    pairs = (units[place : place + 4] for place in range(0, len(units), 4))
    forms.append("".join(rf"\\u(?i:{unit})" for unit in pairs))
    octets = char.encode(errors="surrogatepass")
    forms.append("".join(f"%(?i:{octet:02x})" for octet in octets))
    if char in '"\\/':
        forms.append(re.escape("\\" + char))
    forms += {" ": [r"\+"], "+": ["-"], "/": ["_"]}.get(char, [])  # the last two: Base64 in a URL
    return f"(?:{'|'.join(forms)})"
