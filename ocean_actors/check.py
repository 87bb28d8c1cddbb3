"""`ocean-actors check`: what the settings say and how Port answers, line by line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ocean_actors import tls
from ocean_actors.actors import Clock, SystemClock
from ocean_actors.blueprints import (
    BlueprintError,
    blueprints_of,
    identifier_of,
    names_in,
    united,
)
from ocean_actors.errors import UsageError
from ocean_actors.frozen import FrozenDict
from ocean_actors.leader.spec import election_builder, leader_spec
from ocean_actors.listeners.spec import (
    Services,
    build_listener,
    description_of,
    destination_of,
    listener_spec,
)
from ocean_actors.ocean.folder import OceanFolderError
from ocean_actors.ocean.probe import Installation, find_installation
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.models import Integration
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.handlers import numbered
from ocean_actors.retry import ONCE
from ocean_actors.settings import Settings
from ocean_actors.shards.runner import OURS_WITHOUT_NEEDS, ShardRunner
from ocean_actors.text import one_line


@dataclass(frozen=True)
class CheckLine:
    """One finding."""

    good: bool
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAILED':6} {self.topic:12} {self.text}"


def check(settings: Settings, source: str, handlers: Sequence[type] = ()) -> Iterator[CheckLine]:
    """Look at the settings, at the integration of Port Ocean if they name one, and try Port.

    Nothing is changed, and nothing of the integration is executed. Port is asked for the
    blueprints that the classes in `handlers` declare.
    """
    own = settings.integration
    yield CheckLine(True, "settings", f"{source}: integration {own.identifier} of type {own.type}")
    if settings.ignored:
        topic = "not used" if settings.ocean.path is None else "passed on"
        yield CheckLine(True, topic, ", ".join(settings.ignored))
    installation: Installation | None = None
    if settings.ocean.path is not None:
        try:
            installation = find_installation(settings.ocean)
        except OceanFolderError as error:
            yield CheckLine(False, "ocean", str(error))
        else:
            yield from _ocean(installation, settings)
    with contextlib.closing(SystemClock()) as clock:
        yield _listener(settings, clock)
        yield from _leader(settings, clock)
        yield from _executor(settings, clock)
    try:
        tls.client_context()
    except tls.UnusableAuthorities as error:
        yield CheckLine(False, "certificates", str(error))
    declared: dict[str, tuple[FrozenDict, ...]] = {}
    for each in handlers:
        try:
            found = blueprints_of(each.__name__, each)
            declared[numbered(each.__name__, declared)] = found
        except BlueprintError as error:
            yield CheckLine(False, "blueprint", str(error))
    try:
        blueprints = united(declared)
    except BlueprintError as error:
        yield CheckLine(False, "blueprint", str(error))
        blueprints = ()
    client = PortClient(settings.port, own, strict=settings.ssl.port.x509.strict)
    try:
        yield from _port(client, settings, blueprints, installation)
    finally:
        client.close()


def _listener(settings: Settings, clock: Clock) -> CheckLine:
    """Make the listener as `run` does, and describe it; it is not started."""
    spec = listener_spec(settings.event_listener.type)
    with contextlib.ExitStack() as clients:

        def client() -> PortClient:
            made = PortClient(
                settings.port, settings.integration, strict=settings.ssl.port.x509.strict
            )
            return clients.enter_context(contextlib.closing(made))

        try:
            resync = ResyncClient(ConfigGeneration())
            build_listener(spec, Services(settings, client, resync, clock, clock.now()))
            destination_of(spec, settings)
            described = description_of(spec, settings)
        except UsageError as error:
            return CheckLine(False, "listener", str(error))
    every = settings.scheduled_resync_interval
    schedule = "" if every is None else f"; and a scheduled resync every {every} min"
    return CheckLine(True, "listener", f"{described}{schedule}")


def _ocean(found: Installation, settings: Settings) -> Iterator[CheckLine]:
    """Say what is known of an integration of Port Ocean, then each of its faults."""
    folder, probe = found.folder, found.probe
    version = ".".join(str(each) for each in probe.python_version)
    name = one_line(f"{folder.type or 'an integration without a name'} {folder.version or ''}", 80)
    ocean = f"port-ocean {one_line(probe.port_ocean, 40)}" if probe.port_ocean else "no port-ocean"
    yield CheckLine(
        True, "ocean", f"{name} in {folder.path}: {ocean}, Python {version} ({probe.python})"
    )
    for fault in probe.faults(allow_untested=settings.ocean.allow_untested):
        yield CheckLine(False, "ocean", fault)
    kinds = [one_line(each, 80) for each in found.kinds]
    if probe.any_kind:
        kinds.append("and any other that the mapping names" if kinds else "any")
    yield CheckLine(True, "kinds", ", ".join(kinds) or "none are known before it runs")
    if folder.features:
        yield CheckLine(True, "features", ", ".join(one_line(each, 80) for each in folder.features))


def _mapping(integration: Integration, found: Installation) -> CheckLine:
    """Returns a line that tells which of the mapping's kinds an integration of Port Ocean lacks."""
    resources = (integration.config or {}).get("resources")
    entries = resources if isinstance(resources, list) else []
    kinds = [each.get("kind") for each in entries if isinstance(each, dict)]
    named = tuple(dict.fromkeys(kind for kind in kinds if isinstance(kind, str)))
    lacking = found.lacking(named)
    if lacking:
        names = ", ".join(one_line(each, 80) for each in lacking[:10])
        more = f" and {len(lacking) - 10} more" if len(lacking) > 10 else ""
        return CheckLine(
            False, "mapping", f"the mapping in Port names kinds that the integration lacks: "
            f"{names}{more}",
        )  # fmt: skip
    return CheckLine(
        True, "mapping", ", ".join(one_line(each, 80) for each in named) or "it is empty"
    )


def _leader(settings: Settings, clock: Clock) -> Iterator[CheckLine]:
    """Look whether `run` could use the section `leader`; the engine itself is not asked."""
    name = settings.leader.type
    if leader_spec(name).build is None or listener_spec(settings.event_listener.type).standby:
        return
    try:
        election_builder(settings.leader, clock)
    except UsageError as error:
        yield CheckLine(False, "leader", str(error))
    else:
        yield CheckLine(True, "leader", f"{name}; this command does not connect to it")


def _executor(settings: Settings, clock: Clock) -> Iterator[CheckLine]:
    """Look whether `run` could use the executor, unless it is one that needs nothing."""
    name = settings.resync.executor
    if name in OURS_WITHOUT_NEEDS:
        return
    try:
        ShardRunner(settings, clock, {}).require()
    except UsageError as error:
        yield CheckLine(False, "executor", str(error))
    else:
        yield CheckLine(True, "executor", f"{name}; this command does not start it")


def _port(
    client: PortClient,
    settings: Settings,
    blueprints: Sequence[FrozenDict],
    installation: Installation | None,
) -> Iterator[CheckLine]:
    url = settings.port.base_url
    try:
        organization = client.get_organization(retry=ONCE)
    except PortError as error:
        yield CheckLine(False, "Port", f"{url}: {error}")
        return
    yield CheckLine(True, "Port", f"{url}: organization {organization.id}")
    yield from _integration(client, settings, installation)
    for blueprint in blueprints:
        yield _blueprint(client, blueprint, created=settings.initialize_port_resources)


def _integration(
    client: PortClient, settings: Settings, installation: Installation | None
) -> Iterator[CheckLine]:
    try:
        integration = client.get_integration(retry=ONCE)
        yield CheckLine(True, "integration", _known(integration))
        if installation is not None:
            yield _mapping(integration, installation)
        request = client.get_resync_request(retry=ONCE)
    except PortError as error:
        if error.status == 404:
            text = f"{settings.integration.identifier} is not known yet: `run` registers it"
            yield CheckLine(True, "integration", text)
        else:
            yield CheckLine(False, "integration", str(error))
        return
    if request is not None and request.updated_at is not None:
        moment = f"{request.updated_at:%c} UTC"
        yield CheckLine(True, "request", f"the newest resync request is from {moment}")


def _blueprint(client: PortClient, declared: FrozenDict, *, created: bool) -> CheckLine:
    """Looks whether Port has a declared blueprint; `created`: `run` creates a missing one."""
    identifier = identifier_of(declared)
    name = one_line(identifier, 80)
    try:
        found = client.get_blueprint(identifier, retry=ONCE)
    except PortError as error:
        if error.status != 404:
            return CheckLine(False, "blueprint", f"{name}: {error}")
        if created:
            return CheckLine(True, "blueprint", f"{name} is missing in Port: `run` creates it")
        return CheckLine(
            False,
            "blueprint",
            f"{name} is missing in Port, and initializePortResources is false: create it there",
        )
    lacking = [
        f"the {word} {', '.join(one_line(each, 80) for each in sorted(missing))}"
        for section, word in (("schema", "properties"), ("relations", "relations"))
        if (missing := names_in(declared, section) - names_in(found, section))
    ]
    if lacking:
        text = f"{name} exists in Port without {' and '.join(lacking)}: add them there"
        return CheckLine(False, "blueprint", text)
    return CheckLine(True, "blueprint", f"{name} exists in Port")


def _known(integration: Integration) -> str:
    state = integration.resync_state
    if state is None or state.status is None:
        return "known to Port; no resync was reported yet"
    return f"known to Port; the last resync was reported as {state.status}"
