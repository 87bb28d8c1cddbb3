"""Policies of an actor are checked when they are made and when their class is made."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    AtLimit,
    Backoff,
    MailboxPolicy,
    Message,
    OnFailure,
    Supervision,
)


class Unprintable:
    def __repr__(self) -> str:
        raise OSError


class Forging:
    def __repr__(self) -> str:
        return "\x1b[2J\nforged line"


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        (
            "supervision",
            OnFailure.STOP,
            "expected a Supervision, as in Supervision(OnFailure.STOP), not <OnFailure.STOP",
        ),
        ("supervision", property(lambda _self: Supervision()), "expected a Supervision"),
        ("supervision", Unprintable(), "not Unprintable"),
        ("supervision", Forging(), "not [2J forged line"),
        ("mailbox", 5, "expected a MailboxPolicy, as in MailboxPolicy(limit=1_000), not 5"),
        ("message_bound", "30", "expected a positive number of seconds, or None, not '30'"),
        ("message_bound", 0, "expected a positive number of seconds"),
        ("message_bound", math.nan, "expected a positive number of seconds"),
        ("message_bound", True, "expected a positive number of seconds"),
        ("subscribes_to", Message, "expected a tuple of Message classes"),
        ("subscribes_to", (Message, int), "expected a tuple of Message classes"),
    ],
)
def test_a_class_with_a_wrong_policy_is_refused_in_one_line(
    attribute: str, value: object, sentence: str
) -> None:
    with pytest.raises(TypeError) as caught:
        type("Wrong", (Actor,), {attribute: value})
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"Wrong.{attribute}: expected ")


def test_a_policy_that_is_assigned_later_is_checked_at_the_spawn(system: ActorSystem) -> None:
    class Late(Actor):
        pass

    Late.supervision = OnFailure.STOP  # type: ignore[assignment]  # the mistake that is tested
    with pytest.raises(TypeError, match=r"Late\.supervision: expected a Supervision"):
        system.spawn(Late)
    assert system.snapshot() == []


def test_what_is_not_an_actor_class_is_not_spawned(system: ActorSystem) -> None:
    for wrong in (int, Actor(), "Actor"):
        with pytest.raises(TypeError, match="spawn: expected a subclass of Actor, not"):
            system.spawn(wrong)  # type: ignore[call-overload]  # the mistake that is tested


@pytest.mark.parametrize(
    ("policy", "values", "error", "sentence"),
    [
        (Supervision, {"on_failure": "stop"}, TypeError, "on_failure: expected an OnFailure"),
        (Supervision, {"backoff": 5}, TypeError, "backoff: expected a Backoff"),
        (Supervision, {"limit": "5"}, TypeError, "limit: expected a number"),
        (Supervision, {"window": math.nan}, ValueError, "window: expected a finite"),
        (Supervision, {"retries": -1}, ValueError, "retries: expected a finite"),
        (Backoff, {"initial": math.inf}, ValueError, "initial: expected a finite"),
        (Backoff, {"jitter": 2}, ValueError, "jitter: expected a share"),
        (Backoff, {"maximum": None}, TypeError, "maximum: expected a number"),
        (MailboxPolicy, {"limit": 0}, ValueError, "limit: expected at least 1, not 0"),
        (MailboxPolicy, {"limit": "9"}, TypeError, "limit: expected an integer"),
        (MailboxPolicy, {"at_limit": 5}, TypeError, "at_limit: expected a map"),
        (
            MailboxPolicy,
            {"at_limit": {Message: "drop"}},
            TypeError,
            "at_limit: expected message types and AtLimit values",
        ),
        (
            MailboxPolicy,
            {"at_limit": {"Message": AtLimit.ADMIT}},
            TypeError,
            "at_limit: expected message types and AtLimit values",
        ),
    ],
)
def test_a_policy_of_wrong_values_is_refused(
    policy: type, values: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        policy(**values)
    assert str(caught.value).startswith(f"{policy.__name__}.{sentence}")
