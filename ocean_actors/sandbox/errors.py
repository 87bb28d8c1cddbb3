"""How Port says no."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer of Port's that is an error: `{"ok": false, "error": …, "message": …}`.

    docs/port-wire.md, section 1.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message

    def body(self) -> dict[str, Any]:
        """As Port writes it."""
        return {"ok": False, "error": self.error, "message": self.message}


def not_found(kind: str, identifier: str) -> ApiError:
    """404 for a thing that Port does not hold."""
    return ApiError(404, "not_found", f'{kind} with identifier "{identifier}" was not found')


def invalid(message: str) -> ApiError:
    """422 for a request that does not fit Port's schema."""
    return ApiError(422, "invalid_request", message)


def unauthorized(message: str) -> ApiError:
    """401 for a token or credentials that Port does not know."""
    return ApiError(401, "unauthorized", message)


def conflict(error: str, message: str) -> ApiError:
    """409 for a thing that is there already, or is still needed."""
    return ApiError(409, error, message)
