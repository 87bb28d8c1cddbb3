"""The actor runtime over pykka: supervision, timers, events. It does not depend on Port."""

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cancel import Cancelled, CancelToken
from ocean_actors.actors.clock import Clock, SystemClock, Timer
from ocean_actors.actors.context import Context
from ocean_actors.actors.mailbox import AtLimit, MailboxFull, MailboxPolicy
from ocean_actors.actors.message import Message, Query, handles
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.signals import ActorFailed, Terminated
from ocean_actors.actors.supervision import Backoff, OnFailure, Supervision
from ocean_actors.actors.system import ActorSystem, TooManyLeftBehind
from ocean_actors.actors.timers import Repeat

__all__ = [
    "Actor",
    "ActorFailed",
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
    "Query",
    "Ref",
    "Repeat",
    "Supervision",
    "SystemClock",
    "Terminated",
    "Timer",
    "TooManyLeftBehind",
    "handles",
]
