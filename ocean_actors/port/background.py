"""A call to Port while another one waits for its answer."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_background(function: Callable[[], T]) -> Callable[[], T]:
    """Call `function` in a thread of its own; returns what waits for its result.

    What `function` raises is raised to whoever waits. The thread ends with the call. If no thread
    can be started, the call is made by whoever waits.
    """
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001  (raised to whoever waits)
            future.set_exception(error)

    try:
        threading.Thread(target=work, name="port-call", daemon=True).start()
    except RuntimeError:  # too many threads, or the interpreter exits
        return function
    return future.result
