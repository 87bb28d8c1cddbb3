"""Where a call comes from, and whether calls from there are let in."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def source_of(
    peer: str, forwarded_for: str | None, trusted_proxies: Sequence[Network]
) -> Address | None:
    """The address that a call is judged by; None if `peer` is no IP address.

    It is the peer's, unless that is a trusted proxy. Then `forwarded_for` (X-Forwarded-For: the
    client first, each proxy appends whom it heard from) is read from its right end, up to the
    first address that is not a trusted proxy: what stands left of it, anybody may have written.
    If all are trusted it is the left-most one. What cannot be read as an address on the way
    proves nothing: then it is the peer's.
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
    """Whether one of `networks` holds `address`."""
    return any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    """An address; one of IPv4 that is written as IPv6 (`::ffff:1.2.3.4`) is IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(hop: str) -> str:
    """Some proxies write `1.2.3.4:5678` and `[::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, port = hop.partition(":")
    return host if colon and port.isdecimal() else hop
