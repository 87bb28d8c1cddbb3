"""An Ocean integration inside: its child, the actor that owns it, and the handler, put together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocean_actors.actors import ActorSystem, CancelToken, Ref
from ocean_actors.errors import UsageError
from ocean_actors.messages import RunInfo
from ocean_actors.ocean.actor import Installed, OceanChild
from ocean_actors.ocean.address import ChildAddress
from ocean_actors.ocean.handler import NAME, OceanHandler
from ocean_actors.ocean.probe import Installation, require_installation
from ocean_actors.ocean.proxy import OceanProxy
from ocean_actors.ocean.writer import OceanWriter
from ocean_actors.port.client import PortClient
from ocean_actors.resync.handlers import HandlerSpec
from ocean_actors.settings import Settings
from ocean_actors.web.log import WebLog

ACTOR = "ocean"
"""The name of the actor that owns the child, and the trigger of resyncs that it asks for."""


class OceanBridge:
    """What a system needs of an Ocean integration that runs inside; nothing runs before `spawn`."""

    def __init__(self, settings: Settings, installation: Installation) -> None:
        self._settings = settings
        self._installation = installation
        self._ref: Ref | None = None
        self.address = ChildAddress()
        """Where the child serves HTTP."""

    @property
    def handlers(self) -> dict[str, HandlerSpec]:
        """The one handler, by its name."""
        build = functools.partial(OceanHandler, self._child)
        return {NAME: HandlerSpec(build, self._installation.kinds)}

    def spawn(
        self, actors: ActorSystem, client: PortClient, on_ready: Callable[[], object]
    ) -> None:
        """Start the actor; `on_ready` is called in its thread whenever a child is ready."""
        installed = Installed(self._installation.folder.path, self._installation.probe.python)
        self._ref = actors.spawn(
            OceanChild, self._settings, installed, client, self.address, on_ready, name=ACTOR
        )

    def proxy(self, log: WebLog) -> OceanProxy:
        """Returns the web application that passes calls on to the child."""
        return OceanProxy(self.address, log, max_body_bytes=self._settings.http.max_body_bytes)

    def open_writer(self, _run: RunInfo, _token: CancelToken) -> OceanWriter:
        """Returns what counts the entities of a run."""
        return OceanWriter()

    def status(self, actors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Returns what `status()["ocean"]` shows, of what the `actors` show."""
        found = next((each for each in actors if each["name"] == ACTOR), None)
        return {"state": None} if found is None else dict(found["details"])

    def _child(self) -> Ref:
        assert self._ref is not None  # noqa: S101  (handlers are spawned after the actor)
        return self._ref


def ocean_bridge(settings: Settings, handlers: Sequence[object]) -> OceanBridge | None:
    """Returns the bridge to the integration that the settings name, if they name one.

    Asks its interpreter for its versions. Raises UsageError if the integration cannot run, if
    there are `handlers` of ours as well, or in a dry run.
    """
    if settings.ocean.path is None:
        return None
    if settings.resync.dry_run:
        raise UsageError(
            "resync.dryRun: an integration of Port Ocean writes to Port by itself, so a dry run "
            "of it is not possible"
        )
    if handlers:
        raise UsageError(
            "ocean.path: an integration of Port Ocean runs in place of handlers; it would delete "
            "the entities that they write"
        )
    return OceanBridge(settings, require_installation(settings.ocean))
