"""The root of the exceptions that the package raises on purpose, and those of several parts."""


class OceanError(Exception):
    """Base class of every error that the package raises on purpose.

    `ResyncAborted` is not one: it derives from `BaseException`, so that a handler's
    `except Exception` lets it pass.
    """

    lasting: bool = False
    """Whether trying the same again cannot help, so that `resync.retry` does not apply."""

    explained: bool = False
    """Whether the text says all, so that no traceback is logged if an actor fails with it."""


class UsageError(OceanError):
    """Arguments or settings that cannot be used; `str()` is one readable line."""


class UnknownKind(OceanError, ValueError):
    """No handler declares a kind that was asked for. `known` lists those that are declared."""

    def __init__(self, unknown: str, known: tuple[str, ...]) -> None:
        super().__init__(unknown, known)  # pickle builds it anew from these
        self.unknown = unknown
        self.known = known

    def __str__(self) -> str:
        if not self.known:
            return f"kinds: no handler declares a kind, so {self.unknown!r} is unknown"
        return f"kinds: {self.unknown!r} is unknown; the handlers declare {', '.join(self.known)}"
