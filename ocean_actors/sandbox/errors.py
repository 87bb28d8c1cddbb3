"""Errors of the sandbox: Port's error answers, and a broker that fails."""

from __future__ import annotations

from typing import Any

from ocean_actors.errors import OceanError


class BrokerError(OceanError, OSError):
    """The broker cannot be started or refuses a command; the first line says why."""


class ApiError(OceanError):
    """An error answer of Port: `{"ok": false, "error": …, "message": …}`.

    docs/port-wire.md, section 1.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(status, error, message)
        self.status = status
        self.error = error
        self.message = message

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, Any]:
        """Returns the body of the answer."""
        return {"ok": False, "error": self.error, "message": self.message}


def not_found(kind: str, identifier: str) -> ApiError:
    """404: Port has no such thing."""
    return ApiError(404, "not_found", f'{kind} with identifier "{identifier}" was not found')


def invalid(message: str) -> ApiError:
    """422: the request does not fit Port's schema."""
    return ApiError(422, "invalid_request", message)


def unauthorized(message: str) -> ApiError:
    """401: Port does not know the token or the credentials."""
    return ApiError(401, "unauthorized", message)


def forbidden(message: str) -> ApiError:
    """403: the call may come from another site's page."""
    return ApiError(403, "forbidden", message)


def conflict(error: str, message: str) -> ApiError:
    """409: the thing exists already, or others depend on it."""
    return ApiError(409, error, message)
