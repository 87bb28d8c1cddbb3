from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.listeners.webhook.addresses import Network, is_within, source_of


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


PROXIES = networks("10.0.0.0/8", "fd00::/8")


def source(peer: str, forwarded_for: str | None, trusted: tuple[Network, ...] = PROXIES) -> str:
    return str(source_of(peer, forwarded_for, trusted))


def test_without_a_trusted_proxy_the_header_is_not_believed() -> None:
    assert source("203.0.113.9", "1.2.3.4", trusted=()) == "203.0.113.9"
    assert source("203.0.113.9", "1.2.3.4") == "203.0.113.9"


def test_behind_a_trusted_proxy_it_is_the_right_most_address_that_is_not_trusted() -> None:
    assert source("10.0.0.1", "1.2.3.4") == "1.2.3.4"
    assert source("10.0.0.1", "9.9.9.9, 1.2.3.4") == "1.2.3.4"
    assert source("10.0.0.1", "9.9.9.9, 1.2.3.4, 10.0.0.2,10.0.0.3") == "1.2.3.4"
    assert source("fd00::1", "9.9.9.9,2001:db8::1") == "2001:db8::1"


def test_what_a_client_wrote_before_its_own_address_does_not_matter() -> None:
    assert source("10.0.0.1", "<script>, 1.2.3.4") == "1.2.3.4"
    assert source("10.0.0.1", ",,, 1.2.3.4") == "1.2.3.4"


@pytest.mark.parametrize("garbage", ["", "unknown", "1.2.3", "1.2.3.4, x", "1.2.3.4, ", "[", "::g"])
def test_garbage_on_the_way_leaves_the_peer(garbage: str) -> None:
    assert source("10.0.0.1", garbage) == "10.0.0.1"


def test_if_every_hop_is_trusted_it_is_the_first_one() -> None:
    assert source("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"


def test_a_port_behind_the_address_is_left_out() -> None:
    assert source("10.0.0.1", "1.2.3.4:5678") == "1.2.3.4"
    assert source("10.0.0.1", "[2001:db8::1]:5678") == "2001:db8::1"
    assert source("10.0.0.1", "[2001:db8::1]") == "2001:db8::1"


def test_ipv4_written_as_ipv6_is_ipv4() -> None:
    assert source("::ffff:10.0.0.1", "::ffff:1.2.3.4") == "1.2.3.4"
    assert source("::ffff:203.0.113.9", None) == "203.0.113.9"


def test_a_zone_is_no_part_of_the_address() -> None:
    assert source("fe80::1%eth0", None) == "fe80::1"


def test_a_peer_without_an_address_has_none() -> None:
    for peer in ("", "localhost", "unix:/run/socket"):
        assert source_of(peer, "1.2.3.4", PROXIES) is None


def test_networks_and_single_addresses_let_in_what_they_hold() -> None:
    allowed = networks("192.0.2.0/24", "2001:db8::5")
    assert is_within(ip_address("192.0.2.77"), allowed)
    assert is_within(ip_address("2001:db8::5"), allowed)
    assert not is_within(ip_address("192.0.3.1"), allowed)
    assert not is_within(ip_address("2001:db8::6"), allowed)


@given(st.text(), st.text())
def test_any_text_has_an_answer(peer: str, forwarded_for: str) -> None:
    source_of(peer, forwarded_for, PROXIES)
    assert source_of("10.0.0.1", forwarded_for, PROXIES) is not None
