"""The root of the exceptions that the package raises on purpose."""


class OceanError(Exception):
    """Base class of every error that the package raises on purpose.

    `ResyncAborted` is not one: it derives from `BaseException`, so that a handler's
    `except Exception` lets it pass.
    """

    lasting: bool = False
    """Whether trying the same again cannot help, so that `resync.retry` does not apply."""


class UsageError(OceanError):
    """Arguments or settings that cannot be used; `str()` is one readable line."""
