"""Runs the coroutines of user code in the thread of a handler."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable

from ocean_actors.actors import CancelToken


def awaited(result: object, token: CancelToken) -> object:
    """Returns `result`, or if it is awaitable, what it returns in an event loop of its own.

    When `token` is cancelled, the awaitable is cancelled at its next await and the token's error
    is raised.
    """
    if inspect.isawaitable(result):
        import asyncio

        return asyncio.run(_until_cancelled(result, token))
    return result


async def _until_cancelled(work: Awaitable[object], token: CancelToken) -> object:
    """Await `work`, and cancel it when `token` is cancelled; its `finally` blocks run."""
    import asyncio

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: the work is over
            loop.call_soon_threadsafe(task.cancel)

    forget = token.on_cancel(cancel)
    try:
        return await task
    except asyncio.CancelledError:
        token.check()
        raise
    finally:
        forget()
