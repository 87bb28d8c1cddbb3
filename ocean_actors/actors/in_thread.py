"""Blocking calls for coroutines: each in a thread of its own."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Call `function` in a thread of its own; returns a future of the running event loop.

    The thread has the caller's context variables. It needs no place in a pool that other work may
    have filled. It is a daemon, and the end of the loop does not wait for it. Cancelling the future
    does not end the thread; its result is then dropped. Raises RuntimeError if no thread can be
    started.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(outcome: Callable[[], object]) -> None:
        if not future.done():  # else it was cancelled
            outcome()

    def work() -> None:
        outcome: Callable[[], object]
        try:
            outcome = functools.partial(future.set_result, context.run(function))
        except StopIteration:  # which a future refuses
            refused = RuntimeError(f"{function!r} raised StopIteration")
            outcome = functools.partial(future.set_exception, refused)
        except BaseException as error:  # noqa: BLE001  (raised where the future is awaited)
            outcome = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
            loop.call_soon_threadsafe(deliver, outcome)

    threading.Thread(target=work, name="in-thread", daemon=True).start()
    return future


async def uninterrupted(function: Callable[[], T]) -> T:
    """Call `function` in a thread of its own, and wait for its end even if cancelled meanwhile.

    Then a cancellation is raised, whatever `function` returned or raised.
    """
    import asyncio

    future = in_thread(function)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # counts as retrieved
        raise cancelled
    return future.result()
