"""Who may call: decided from the head of a call alone."""

from __future__ import annotations

from typing import Any

import pytest
from desk import TOKEN
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ocean_actors.control.access import Access, host_name, is_served
from ocean_actors.web.answers import Refusal


def call(method: str = "GET", path: str = "/api/status", **headers: str) -> dict[str, Any]:
    head = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "127.0.0.1:8001", **head}


def status_of(access: Access, environ: dict[str, Any]) -> int:
    try:
        access.admit(environ)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"), ("LocalHost:8001", "localhost"), ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8001", "::1"), ("[::1]", "::1"), ("name.example.:80", "name.example"),
        ("", None), (":8001", None), ("[::1", None), ("[::1]8001", None), ("a:b", None),
        ("localhost:80:80", None), ("localhost:8o", None),
    ],
)  # fmt: skip
def test_the_host_is_read_from_its_header(header: str, name: str | None) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("bound", "served", "others"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost", "::1"], ["evil.example", "10.0.0.5"]),
        ("localhost", ["127.0.0.1", "localhost"], ["localhost.evil.example"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1", "localhost"], ["::2"]),
        ("10.0.0.5", ["10.0.0.5", "::ffff:10.0.0.5"], ["10.0.0.6", "localhost", "evil.example"]),
        ("host.example", ["host.example"], ["other.example", "10.0.0.5"]),
        ("0.0.0.0", ["10.0.0.5", "localhost", "127.0.0.1", "::1"], ["evil.example"]),  # noqa: S104
        ("::", ["10.0.0.5", "fe80::1%eth0"], ["evil.example"]),
    ],
)  # fmt: skip
def test_only_the_names_of_the_bound_address_are_served(
    bound: str, served: list[str], others: list[str]
) -> None:
    assert [name for name in served if not is_served(name, bound)] == []
    assert [name for name in others if is_served(name, bound)] == []


def test_a_name_that_was_made_to_resolve_to_us_is_refused() -> None:
    access = Access("127.0.0.1", None)
    assert status_of(access, call()) == 200
    assert status_of(access, call(host="evil.example:8001")) == 421
    assert status_of(access, call(host="")) == 421
    del (headless := call())["HTTP_HOST"]
    assert status_of(access, headless) == 421


def test_a_call_that_changes_something_needs_the_header_that_other_sites_cannot_send() -> None:
    access = Access("127.0.0.1", None)
    assert status_of(access, call("POST")) == 403
    assert status_of(access, call("POST", x_ocean_actors="0")) == 403
    assert status_of(access, call("POST", x_ocean_actors="1")) == 200
    assert status_of(access, call("DELETE")) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "", "anything"])
def test_the_page_of_another_site_may_not_change_anything(site: str) -> None:
    access = Access("127.0.0.1", None)
    assert status_of(access, call("POST", x_ocean_actors="1", sec_fetch_site=site)) == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_may(site: str) -> None:
    access = Access("127.0.0.1", None)
    assert status_of(access, call("POST", x_ocean_actors="1", sec_fetch_site=site)) == 200


def test_with_a_token_every_call_needs_it_except_for_the_page() -> None:
    access = Access("127.0.0.1", SecretStr(TOKEN), public={"/"})
    assert status_of(access, call(path="/")) == 200
    assert status_of(access, call()) == 401
    assert status_of(access, call(path="/api/nothing")) == 401
    assert status_of(access, call(authorization=f"Bearer {TOKEN}")) == 200
    assert status_of(access, call(authorization=f"bearer {TOKEN}")) == 200
    assert status_of(access, call(authorization=f"Basic {TOKEN}")) == 401
    assert status_of(access, call(authorization=TOKEN)) == 401
    assert status_of(access, call(authorization=f"Bearer {TOKEN}x")) == 401
    assert status_of(access, call(authorization="Bearer ")) == 401


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_makes_the_decision_fail(host: str, authorization: str) -> None:
    access = Access("127.0.0.1", SecretStr(TOKEN))
    environ = call("POST", host=host, authorization=authorization)
    assert status_of(access, environ) in {401, 403, 421}
