"""What the settings of integrations in one process have to agree on."""

from __future__ import annotations

from typing import Any

import pytest
from grouped import member

from ocean_actors.errors import UsageError
from ocean_actors.group.members import agreed, prefix

SHARED = ", but the integrations of one process share it; set it in one of them"

OWN = "; give each its own, in its file (OCEAN__INTEGRATION__IDENTIFIER sets that of all)"


def refusal(*members: Any) -> str:
    with pytest.raises(UsageError) as caught:
        agreed(members)
    return str(caught.value)


def test_a_key_that_one_member_sets_holds_for_all() -> None:
    members = agreed([member("a", http={"port": 9}), member("b", control={"port": 7}), member("c")])
    assert [each.settings.http.port for each in members] == [9, 9, 9]
    assert [each.settings.control.port for each in members] == [7, 7, 7]
    assert all("port" in each.settings.control.model_fields_set for each in members)


def test_keys_of_one_section_come_from_different_members() -> None:
    members = agreed([member("a", http={"port": 9}), member("b", http={"host": "::1"})])
    assert {(each.settings.http.host, each.settings.http.port) for each in members} == {("::1", 9)}


def test_a_section_that_nobody_sets_stays_unset() -> None:
    """By that an embedded system decides whether it serves anything."""
    (only,) = agreed([member("a")])
    assert not only.settings.model_fields_set & {"http", "control"}


def test_two_may_set_the_same_value() -> None:
    agreed([member("a", http={"port": 9}), member("b", http={"port": 9})])


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            member("a", http={"port": 9}),
            member("b", http={"port": 8}),
            "a.yaml and b.yaml: http.port differs" + SHARED,
        ),
        (
            member("a", control={"token": "secret-of-a"}),
            member("b", control={"token": "secret-of-b"}),
            "a.yaml and b.yaml: control.token differs" + SHARED,
        ),
        (
            member("a"),
            member("a", http={"port": 8}),
            "a.yaml and a.yaml: both have the integration.identifier a" + OWN,
        ),
    ],
    ids=["ports", "tokens", "identifiers"],
)
def test_what_does_not_go_together_is_one_line(first: Any, second: Any, said: str) -> None:
    assert refusal(first, second) == said


def test_a_group_of_nobody_is_refused() -> None:
    assert refusal() == "a group needs at least one integration"


def test_port_calls_each_below_its_own_path() -> None:
    webhook = {"type": "WEBHOOK", "appHost": "https://hooks.example/in/"}
    members = agreed([member(name, eventListener=webhook) for name in ("shop", "my blog/ü")])
    addresses = [getattr(each.settings.event_listener, "app_host", None) for each in members]
    assert addresses == [
        "https://hooks.example/in/shop",
        "https://hooks.example/in/my%20blog%2F%C3%BC",
    ]
    assert prefix("my blog/ü") == "/my%20blog%2F%C3%BC"
