"""What the actors of one system share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ocean_actors.actors.clock import Clock
from ocean_actors.actors.deadletters import DeadLetters
from ocean_actors.actors.events import EventStream
from ocean_actors.actors.quiescence import Quiescence
from ocean_actors.actors.restarts import Restarts
from ocean_actors.log import LogContext


@dataclass(frozen=True)
class ActorServices:
    """The services of a system, for its cells and their lifecycles. Any thread may use them."""

    clock: Clock
    random: random.Random
    events: EventStream
    dead_letters: DeadLetters
    restarts: Restarts
    quiescence: Quiescence
    check_message: Callable[[object], None] | None
    """Raises TypeError for a mutable message; None unless the system runs with `debug`."""
    log_context: LogContext
    """What the lines of the actors' threads are about."""
    fail: Callable[[str, BaseException], None]
    """Ends the system because of that failure of the actor with that name. Never raises."""
