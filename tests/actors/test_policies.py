"""Policies of an actor are checked when they are made and when their class is made."""

from __future__ import annotations

import math
from collections.abc import Callable
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

    Late.supervision = OnFailure.STOP  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"Late\.supervision: expected a Supervision"):
        system.spawn(Late)
    assert system.snapshot() == []


def test_what_is_not_an_actor_class_is_not_spawned(system: ActorSystem) -> None:
    for wrong in (int, Actor(), "Actor"):
        with pytest.raises(TypeError, match="spawn: expected a subclass of Actor, not"):
            system.spawn(wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Supervision("stop"), TypeError, "Supervision.on_failure: expected an OnFailure"),  # type: ignore[arg-type]
        (lambda: Supervision(backoff=5), TypeError, "Supervision.backoff: expected a Backoff"),  # type: ignore[arg-type]
        (lambda: Supervision(limit="5"), TypeError, "Supervision.limit: expected a number"),  # type: ignore[arg-type]
        (lambda: Supervision(window=math.nan), ValueError, "Supervision.window: expected a finite"),
        (lambda: Supervision(retries=-1), ValueError, "Supervision.retries: expected a finite"),
        (lambda: Backoff(initial=math.inf), ValueError, "Backoff.initial: expected a finite"),
        (lambda: Backoff(jitter=2), ValueError, "Backoff.jitter: expected a share"),
        (lambda: Backoff(maximum=None), TypeError, "Backoff.maximum: expected a number"),  # type: ignore[arg-type]
        (lambda: MailboxPolicy(0), ValueError, "MailboxPolicy.limit: expected at least 1, not 0"),
        (lambda: MailboxPolicy("9"), TypeError, "MailboxPolicy.limit: expected an integer"),  # type: ignore[arg-type]
        (
            lambda: MailboxPolicy(at_limit=5),  # type: ignore[arg-type]
            TypeError,
            "MailboxPolicy.at_limit: expected a map",
        ),
        (
            lambda: MailboxPolicy(at_limit={Message: "drop"}),  # type: ignore[dict-item]
            TypeError,
            "MailboxPolicy.at_limit: expected message types and AtLimit values",
        ),
        (
            lambda: MailboxPolicy(at_limit={"Message": AtLimit.ADMIT}),  # type: ignore[dict-item]
            TypeError,
            "MailboxPolicy.at_limit: expected message types and AtLimit values",
        ),
    ],
)
def test_a_policy_of_wrong_values_is_refused(
    make: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(sentence)
