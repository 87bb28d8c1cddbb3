"""The actor runtime over pykka: supervision, timers, events. It knows nothing of Port."""

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cancel import Cancelled, CancelToken
from ocean_actors.actors.clock import Clock, SystemClock, Timer
from ocean_actors.actors.context import Context
from ocean_actors.actors.mailbox import AtLimit, MailboxFull, MailboxPolicy
from ocean_actors.actors.message import Message, handles
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.signals import Terminated
from ocean_actors.actors.supervision import Backoff, OnFailure, Supervision
from ocean_actors.actors.system import ActorSystem
from ocean_actors.actors.timers import Repeat

__all__ = [
    "Actor",
    "ActorSystem",
    "AtLimit",
    "Backoff",
    "CancelToken",
    "Cancelled",
    "Clock",
    "Context",
    "MailboxFull",
    "MailboxPolicy",
    "Message",
    "OnFailure",
    "Ref",
    "Repeat",
    "Supervision",
    "SystemClock",
    "Terminated",
    "Timer",
    "handles",
]
