"""What the system knows of an event listener, and how a listener is found by its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from ocean_actors import plugins
from ocean_actors.actors import Clock
from ocean_actors.context import Actor
from ocean_actors.port.client import PortClient
from ocean_actors.resync.client import ResyncClient
from ocean_actors.settings import ListenerSettings, Settings
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


def listener_spec(name: str) -> ListenerSpec[Any]:
    """Returns the listener of that type: one of ours, or one of an installed package.

    Raises plugins.UnknownPluginError.
    """
    found = plugins.load(plugins.LISTENERS, name)
    if not isinstance(found, ListenerSpec):
        raise plugins.UnknownPluginError(
            f"{name} is not a ListenerSpec but a {type(found).__name__}"
        )
    return found
