"""Finds the address that a call comes from, and compares it with networks."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def source_of(
    peer: str, forwarded_for: str | None, trusted_proxies: Sequence[Network]
) -> Address | None:
    """Returns the address that a call counts as coming from; None if `peer` is not an IP address.

    That is the peer's address, unless the peer is a trusted proxy. Then `forwarded_for`
    (X-Forwarded-For: the client first; each proxy appends the address that called it) is read
    from its right end up to the first address that is not a trusted proxy, as anybody can have
    written what is left of it. If all are trusted, the left-most counts. If one of those read is
    not an address, the peer's counts.
    """
    nearest = _parse(peer)
    if nearest is None or not forwarded_for or not is_within(nearest, trusted_proxies):
        return nearest
    source = nearest
    for hop in reversed(forwarded_for.split(",")):
        address = _parse(_without_port(hop.strip()))
        if address is None:
            return nearest
        source = address
        if not is_within(source, trusted_proxies):
            break
    return source


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Returns whether one of `networks` contains `address`."""
    return any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    """Returns an address, or None. IPv4 written as IPv6 (`::ffff:1.2.3.4`) becomes IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(hop: str) -> str:
    """Returns the address of a hop; some proxies write `1.2.3.4:5678` and `[::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, port = hop.partition(":")
    return host if colon and port.isdecimal() else hop
