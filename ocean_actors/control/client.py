"""Speaks to a control server, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from ocean_actors.connections import causes
from ocean_actors.control import DEFAULT_URL, HEADER
from ocean_actors.errors import OceanError, UsageError
from ocean_actors.text import one_line

SECONDS = 10.0  # for a connection, and between two parts of an answer


class ControlError(OceanError):
    """Raised if the control server cannot be reached or refuses a call; one line."""


class ControlClient:
    """Calls the control server at `url`, for `integration` where it has several.

    Raises UsageError for an unusable `url`.
    """

    def __init__(self, url: str, token: str | None = None, integration: str | None = None) -> None:
        self._url = _checked(url)
        self._parameters = {} if integration is None else {"integration": integration}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy is between people and their own process
        self._session.headers[HEADER] = "1"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def status(self) -> dict[str, Any]:
        """Returns the integration's status. Raises ControlError."""
        return self._call("GET", "status", None)

    def steer(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Calls `POST /api/<what>` and returns the answer. Raises ControlError."""
        return self._call("POST", what, body)

    def _call(self, method: str, what: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._session.request(
                method, f"{self._url}/api/{what}", params=self._parameters, json=body,
                timeout=SECONDS, allow_redirects=False,
            )  # fmt: skip
        except requests.ConnectionError as error:
            raise ControlError(f"{self._url}: {_why(error)}: is the integration running?") from None
        except requests.Timeout:
            raise ControlError(f"{self._url}: no answer within {SECONDS:g} s") from None
        except (requests.RequestException, ValueError) as error:
            raise ControlError(f"{self._url}: {one_line(error)}") from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ControlError(
                f"{self._url}: answered {response.status_code} without JSON: this is not a "
                "control server; give its address with --url"
            )
        if not response.ok:
            hint = " (--token, or OCEAN__CONTROL__TOKEN)" if response.status_code == 401 else ""
            message = one_line(answer.get("message") or f"answered {response.status_code}")
            raise ControlError(f"{self._url}: {message}{hint}")
        return answer


def _checked(url: str) -> str:
    """Returns the address without a slash at its end. Raises UsageError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username or parts.password:
        raise UsageError(f"--url: expected an address such as {DEFAULT_URL}, got {one_line(url)}")
    return url.rstrip("/")


def _why(error: BaseException) -> str:
    """Returns the operating system's reason for a failed connection."""
    reasons = (each.strerror for each in causes(error) if isinstance(each, OSError))
    return next((reason for reason in reasons if reason), "no connection")
