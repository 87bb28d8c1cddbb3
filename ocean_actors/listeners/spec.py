"""What the system knows of an event listener, and how a listener is found by its type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from ocean_actors import actors, plugins
from ocean_actors.actors import Clock
from ocean_actors.context import Actor
from ocean_actors.errors import UsageError
from ocean_actors.jsonable import jsonable
from ocean_actors.port.client import PortClient
from ocean_actors.resync.client import ResyncClient
from ocean_actors.settings import ListenerSettings, Settings
from ocean_actors.text import one_line
from ocean_actors.web.wsgi import WsgiApp

SettingsT = TypeVar("SettingsT", bound=ListenerSettings)


@dataclass(frozen=True)
class Services:
    """What a listener may use of its system.

    `client` makes a client of Port that the system closes.
    """

    settings: Settings
    client: Callable[[], PortClient]
    resync: ResyncClient
    clock: Clock
    started_at: datetime


@dataclass(frozen=True)
class Listener:
    """A listener that is ready to be spawned: its actor class, the arguments, and its web app.

    The system serves the application, besides its own paths, before Port is told of the listener.
    `details` returns facts for `status()["listening"]` besides those that the actor shows.
    """

    actor: type[Actor]
    args: tuple[Any, ...] = ()
    app: WsgiApp | None = None
    details: Callable[[], Mapping[str, Any]] = dict


def _no_destination(_settings: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class ListenerSpec(Generic[SettingsT]):
    """One type of event listener.

    - `name`: the value of `eventListener.type`; in lower case, the name of its actor.
    - `settings`: the model of the section `eventListener`.
    - `build`: makes the listener from its settings; nothing may start before it is spawned.
    - `destination`: where Port is to send the integration's changes, as the API's
      `changelogDestination`: empty for nowhere, None to leave it as it is.
    - `describe`: one line for `ocean-actors check`.
    - `standby`: the instance stands by until the listener says that it is active.
    - `answers_requests`: a run answers Port's newest resync request, which is asked for then.
    - `job`: the system ends by itself once the work is done, so it may not wait for Port for ever.
    """

    name: str
    settings: type[SettingsT]
    build: Callable[[SettingsT, Services], Listener]
    destination: Callable[[SettingsT], Mapping[str, str] | None] = _no_destination
    describe: Callable[[SettingsT], str] = lambda settings: settings.type
    standby: bool = False
    answers_requests: bool = False
    job: bool = False


TAKEN = frozenset(
    {
        "coordinator", "event-recorder", "gatekeeper", "integration", "leader",
        "listener-supervisor", "log-shipper", "manual", "ocean", "report-sender", "reporter",
        "schedule", "sync-metrics", "traces",
    }
)  # fmt: skip
"""Names of our other actors and triggers, which no listener may have."""

TAKEN_PREFIXES = ("handler-", "live-")
"""How the names of the actors of handlers begin."""


def listener_spec(name: str) -> ListenerSpec[Any]:
    """Returns the listener of that type: one of ours, or one of an installed package.

    Raises plugins.PluginError.
    """
    spec: ListenerSpec[Any] = plugins.load(plugins.LISTENERS, name)
    return spec


def build_listener(spec: ListenerSpec[Any], services: Services) -> Listener:
    """Returns what `spec.build` makes. Raises plugins.PluginError if it cannot be spawned."""
    name = spec.name.lower()
    if name in TAKEN or name.startswith(TAKEN_PREFIXES):
        raise _wrong(spec, "its name is that of another actor or trigger; choose another name")
    with plugins.calling(plugins.LISTENERS, spec.name, "build"):
        listener = spec.build(services.settings.event_listener, services)
        problem = _problem(listener)
    if problem is not None:
        raise _wrong(spec, f"build: {problem}")
    return listener


def destination_of(spec: ListenerSpec[Any], settings: Settings) -> Mapping[str, str] | None:
    """Returns where Port is to send the integration's changes. Raises plugins.PluginError."""
    with plugins.calling(plugins.LISTENERS, spec.name, "destination"):
        found = spec.destination(settings.event_listener)
    if found is None:
        return None
    if isinstance(found, Mapping) and all(isinstance(each, str) for each in found.values()):
        return found
    text = f"destination: expected a mapping of texts or None, got {one_line(found, 80)}"
    raise _wrong(spec, text)


def description_of(spec: ListenerSpec[Any], settings: Settings) -> str:
    """Returns the listener's line for `ocean-actors check`. Raises plugins.PluginError."""
    with plugins.calling(plugins.LISTENERS, spec.name, "describe"):
        described: object = spec.describe(settings.event_listener)
    if not isinstance(described, str):
        raise _wrong(spec, f"describe: expected a text, got {one_line(described, 80)}")
    return one_line(described)


def details_of(spec: ListenerSpec[Any], listener: Listener) -> Mapping[str, Any]:
    """Returns what a listener adds to `status()["listening"]`; if it raises, `error` says so.

    It is made JSON-able.
    """
    try:
        with plugins.calling(plugins.LISTENERS, spec.name, "details"):
            details: object = listener.details()
        if not isinstance(details, Mapping):
            raise _wrong(spec, f"details: expected a mapping, got {one_line(details, 80)}")
    except UsageError as error:
        return {"error": str(error)}
    shown: Mapping[str, Any] = jsonable(details)
    return shown


def _wrong(spec: ListenerSpec[Any], text: str) -> plugins.PluginError:
    return plugins.wrong(plugins.LISTENERS, spec.name, text)


def _problem(listener: object) -> str | None:
    """Returns why what `build` returned cannot be spawned; None if it can."""
    if not isinstance(listener, Listener):
        return f"expected a Listener, got {one_line(listener, 80)}"
    actor: object = listener.actor
    if not (isinstance(actor, type) and issubclass(actor, actors.Actor)):
        return f"expected a subclass of Actor as actor, got {one_line(actor, 80)}"
    if inspect.isabstract(actor):
        return f"the actor {actor.__name__} is abstract"
    if not isinstance(listener.args, tuple | list):
        return f"expected a tuple as args, got {one_line(listener.args, 80)}"
    signature = inspect.signature(actor, follow_wrapped=False)
    try:
        signature.bind(*listener.args)
    except TypeError as error:
        return f"the args do not fit {actor.__name__}.__init__: {error}"
    if listener.app is not None and not callable(listener.app):
        return f"expected a callable as app, got {one_line(listener.app, 80)}"
    if not callable(listener.details):
        return f"expected a callable as details, got {one_line(listener.details, 80)}"
    return None
