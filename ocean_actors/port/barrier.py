"""Where the handlers of a run wait for each other, so that one can work for all."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable

from ocean_actors.actors import CancelToken
from ocean_actors.text import one_line


class _Round:
    """One use of the barrier: who joined, with which bounds, and the outcome."""

    def __init__(self) -> None:
        self.arrived: dict[str, CancelToken] = {}
        self.bounds: list[float] = []
        self.begun = False
        self.outcome: int | BaseException | None = None

    def withdraw(self, handler: str, token: CancelToken, bound: float) -> None:
        """Undo the joining of a handler whose token was cancelled."""
        if self.arrived.get(handler) is token:  # it may have joined again
            del self.arrived[handler]
        self.bounds.remove(bound)

    def joined(self) -> set[str]:
        """Returns the handlers that joined; not those whose token was cancelled."""
        return {name for name, token in self.arrived.items() if not token.cancelled}


class RunBarrier:
    """Where the handlers of a run wait for each other, as at a `threading.Barrier`.

    Once each handler has joined or was deregistered, one of those that joined does the work. All
    get its result, or an exception like its. Then the barrier can be used again. A cancelled
    token ends the waiting.
    """

    def __init__(self, handlers: Iterable[str], token: CancelToken) -> None:
        self._token = token
        self._expected = set(handlers)
        self._round = _Round()
        self._changed = threading.Condition()

    def deregister(self, handler: str) -> None:
        """Stop waiting for a handler, which is done with the run. From any thread."""
        with self._changed:
            self._expected.discard(handler)
            self._changed.notify_all()

    def join(
        self,
        handler: str,
        bound: float,
        work: Callable[[float], int],
        token: CancelToken | None = None,
    ) -> int:
        """Wait for the other handlers; one then calls `work` with the lowest bound of all.

        Returns what `work` returned, or raises what it raised. Raises the token's error when
        that is cancelled. `token` ends this call alone, as if the handler had not joined.
        """
        token = token or self._token
        with self._changed:
            current = self._round
            current.arrived[handler] = token
            current.bounds.append(bound)
            self._changed.notify_all()
            forget = token.on_cancel(self._wake)
            try:  # ended by the last handler to join or finish, by the worker, or by the token
                self._changed.wait_for(lambda: token.cancelled or self._is_over(current))
            finally:
                forget()
            if token.cancelled:
                current.withdraw(handler, token, bound)
                token.check()
            leads = current.outcome is None
            current.begun = True
        if leads:
            self._work(current, work, handler, bound, token)
        outcome = current.outcome
        if isinstance(outcome, BaseException):
            raise outcome if leads else _copy_of(outcome)
        return outcome or 0

    def _work(
        self,
        current: _Round,
        work: Callable[[float], int],
        handler: str,
        bound: float,
        token: CancelToken,
    ) -> None:
        try:
            outcome: int | BaseException = work(min(current.bounds))
        except BaseException as error:  # raised in each handler that joined
            outcome = error
            if token.cancelled and not self._token.cancelled:
                with self._changed:  # another one leads
                    current.withdraw(handler, token, bound)
                    current.begun = False
                    self._changed.notify_all()
                raise
        with self._changed:
            current.outcome = outcome
            self._round = _Round()
            self._changed.notify_all()

    def _is_over(self, current: _Round) -> bool:
        """Returns whether to stop waiting: there is an outcome, or all joined and none works."""
        if current.outcome is not None:
            return True
        return not current.begun and self._expected <= current.joined()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _copy_of(error: BaseException) -> BaseException:
    """Returns a fresh exception for one thread: tracebacks pile up on one that many raise."""
    try:
        fresh = copy.copy(error)
    except Exception:  # noqa: BLE001  (a user's class need not be copyable)
        return RuntimeError(one_line(error))
    return fresh if isinstance(fresh, BaseException) else RuntimeError(one_line(error))
