"""What users subclass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka

from ocean_actors.actors.mailbox import MailboxPolicy
from ocean_actors.actors.message import Message, handled_by
from ocean_actors.actors.supervision import Supervision

if TYPE_CHECKING:
    from ocean_actors.actors.context import Context


class Actor(pykka.ThreadingActor):
    """An actor with typed messages, timers and supervision.

    Mark its methods with `@handles(SomeMessage)`, or override `on_receive`. Every hook and
    handling method runs in the actor's own thread, one at a time; only `__init__` runs in the
    thread that spawns the actor (and in the actor's own when it is restarted).

    Hooks, in order of life:
    - `on_start`: before the first message, and again after each restart. Schedule here.
    - `on_failure(type, value, traceback)`: after an exception, before the restart or the end.
    - `on_stop`: at the end of a life that was not ended by an exception.

    An exception, SystemExit included, ends this life of the actor only: by `supervision` its
    state is rebuilt from the arguments of `spawn`, while its address, its subscriptions and
    the letters in its mailbox stay. The message that failed is not handled again unless
    `supervision` says so.
    """

    use_daemon_thread = True  # joined by the system; a hung one must not keep a process alive
    supervision: ClassVar[Supervision] = Supervision()
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy()
    message_bound: ClassVar[float | None] = 30.0
    """Seconds in one message after which the actor counts as hung; None: never."""
    subscribes_to: ClassVar[tuple[type[Message], ...]] = ()
    """Events that it is told from the moment it is spawned; `context.subscribe` begins later."""
    context: Context  # there once __init__ has returned

    _methods: ClassVar[dict[type[Message], str]] = {}
    _routes: ClassVar[dict[type, Callable[[Any, Any], Any] | None]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._methods = handled_by(cls)
        cls._routes = {}

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse pykka's way in: an actor lives in a system, which spawns it.

        So ours never enter pykka's registry, where `stop_all` of a stranger would find them.
        """
        raise TypeError(f"start {cls.__name__} with spawn(), of a system or of an actor's context")

    def on_receive(self, message: Any) -> Any:
        """Call the method marked for the type of `message`; without one it is a dead letter."""
        try:
            method = self._routes[type(message)]
        except KeyError:
            method = self._route(type(message))
        if method is None:
            self.context.dead_letter(message)
            return None
        return method(self, message)

    @classmethod
    def _route(cls, kind: type) -> Callable[[Any, Any], Any] | None:
        name = next((cls._methods[base] for base in kind.__mro__ if base in cls._methods), None)
        cls._routes[kind] = method = None if name is None else getattr(cls, name)
        return method
