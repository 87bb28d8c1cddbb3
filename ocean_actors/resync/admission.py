"""Messages by which custom actors decide about a request before the coordinator is given it."""

from __future__ import annotations

from dataclasses import dataclass

import pykka

from ocean_actors.actors import Message, Ref
from ocean_actors.messages import Allow, Decision, Delay, Ignore, Reception, ResyncRequested
from ocean_actors.text import one_line


@dataclass(frozen=True)
class Offer(Message):
    """To the gatekeeper: take a request; `reply` is set to the `Reception`."""

    request: ResyncRequested
    reply: pykka.Future[Reception]


@dataclass(frozen=True)
class Decide(Message):
    """To a custom actor: decide about `request`, and tell `reply_to` `Decided`."""

    request: ResyncRequested
    number: int
    reply_to: Ref


@dataclass(frozen=True)
class Decided(Message):
    """To the gatekeeper: what the actor `decider` decided about the request `number`.

    `failure` is one line if it could not decide; then the decision is `Allow`.
    """

    number: int
    decider: str
    decision: Decision
    failure: str | None = None


@dataclass(frozen=True)
class Admit(Message):
    """To the coordinator, from the gatekeeper: take the request, or count it as ignored.

    `reply` is set to the `Reception` if somebody waits for it.
    """

    request: ResyncRequested
    reply: pykka.Future[Reception] | None = None
    ignore: Ignore | None = None


def checked_decision(given: object) -> Decision:
    """Returns a fresh copy of a decision of user code, whose class may lack or change fields.

    Raises TypeError if it is none, ValueError for a `Delay` of unusable seconds, and what the
    user's class raises.
    """
    if isinstance(given, Ignore):
        return Ignore(given.reason)
    if isinstance(given, Delay):
        return Delay(given.seconds)
    if isinstance(given, Allow):
        return Allow()
    raise TypeError(f"expected Allow, Delay or Ignore, and not {one_line(given, 40)}")
