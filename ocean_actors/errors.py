"""The root of the exceptions that the package raises on purpose."""

from typing import ClassVar


class OceanError(Exception):
    """Base class of every error that the package raises on purpose.

    `ResyncAborted` is not one: it derives from `BaseException`, so that a handler's
    `except Exception` lets it pass.
    """

    lasting: ClassVar[bool] = False
    """Whether trying the same again cannot help, so that `resync.retry` does not apply."""
