"""Where Port takes what its page of an integration shows; docs/port-wire.md, section 13."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ocean_actors.actors import Message
from ocean_actors.connections import is_loopback
from ocean_actors.port.models import Integration

LONGEST_ADDRESS = 2000  # characters


@dataclass(frozen=True)
class IngestAddresses(Message):
    """Published whenever Port's integration object was read: where it takes metrics and logs.

    An address is None if Port names none, or one that must not be given the access token.
    """

    metrics: str | None
    logs: str | None
    installation_type: str | None = None


def ingest_addresses(integration: Integration, base_url: str) -> IngestAddresses:
    """Returns the addresses that Port's integration object names, as far as they may be used."""
    return IngestAddresses(
        metrics=_usable(integration.metrics_url, base_url),
        logs=_usable(integration.logs_url, base_url),
        installation_type=integration.installation_type,
    )


def below(address: str, path: str) -> str:
    """Returns the address of `path`, which starts with "/", below an ingest address."""
    parts = urlsplit(address)
    return parts._replace(path=parts.path.rstrip("/") + path).geturl()


def _usable(address: str | None, base_url: str) -> str | None:
    """Returns an address that may be given the access token, else None.

    TLS is required, as Port may name any host. Plain HTTP is for a Port on this machine or
    network, such as the sandbox: `port.baseUrl` has to be plain HTTP too, and the host has to be
    the same or a loopback address.
    """
    if address is None or len(address) > LONGEST_ADDRESS or not _is_plain(address):
        return None
    try:
        parts, port = urlsplit(address), urlsplit(base_url)
        _ = parts.port  # raises ValueError for one that is not a number
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        return None
    near = parts.hostname == port.hostname or is_loopback(address)
    if parts.scheme == "https" or (parts.scheme == port.scheme == "http" and near):
        return address
    return None


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and not {" ", "\\"} & set(text)
