"""`ocean-actors check`: what the settings say and what Port says to them, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ocean_actors import tls
from ocean_actors.listeners.spec import listener_spec
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.models import Integration
from ocean_actors.retry import ONCE
from ocean_actors.settings import Settings


@dataclass(frozen=True)
class Line:
    """One finding."""

    good: bool
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAILED':6} {self.topic:12} {self.text}"


def check(settings: Settings, source: str) -> Iterator[Line]:
    """Look at the settings and try Port; changes nothing there."""
    own = settings.integration
    yield Line(True, "settings", f"{source}: integration {own.identifier} of type {own.type}")
    if settings.ignored:
        yield Line(True, "not used", ", ".join(settings.ignored))
    yield Line(True, "listener", _listener(settings))
    try:
        tls.client_context()
    except tls.UnusableAuthorities as error:
        yield Line(False, "certificates", str(error))
    client = PortClient(settings.port, own, strict=settings.ssl.port.x509.strict)
    try:
        yield from _port(client, settings)
    finally:
        client.close()


def _listener(settings: Settings) -> str:
    described = listener_spec(settings.event_listener.type).describe(settings.event_listener)
    every = settings.scheduled_resync_interval
    return described if every is None else f"{described}; and a scheduled resync every {every} min"


def _port(client: PortClient, settings: Settings) -> Iterator[Line]:
    url = settings.port.base_url
    try:
        organization = client.get_organization(retry=ONCE)
    except PortError as error:
        yield Line(False, "Port", f"{url}: {error}")
        return
    yield Line(True, "Port", f"{url}: organization {organization.id}")
    try:
        yield Line(True, "integration", _known(client.get_integration(retry=ONCE)))
        request = client.get_resync_request(retry=ONCE)
    except PortError as error:
        if error.status == 404:
            text = f"{settings.integration.identifier} is not known yet: `run` registers it"
            yield Line(True, "integration", text)
        else:
            yield Line(False, "integration", str(error))
        return
    if request is not None and request.updated_at is not None:
        yield Line(True, "request", f"the newest resync request is of {request.updated_at:%c} UTC")


def _known(integration: Integration) -> str:
    state = integration.resync_state
    if state is None or state.status is None:
        return "known to Port; no resync was reported yet"
    return f"known to Port; the last resync was reported as {state.status}"
