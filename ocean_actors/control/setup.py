"""The control server of a process, put together; imports the web server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocean_actors.actors import Clock
from ocean_actors.control.app import ControlApp
from ocean_actors.control.controlled import Controlled
from ocean_actors.control.server import ControlServer
from ocean_actors.redaction import secrets_of
from ocean_actors.settings import ControlSettings, Settings
from ocean_actors.web.endpoint import MetricsPage
from ocean_actors.web.log import WebLog


def control_server(
    settings: ControlSettings,
    controlled: Sequence[Controlled],
    clock: Clock,
    metrics: MetricsPage,
    secretive: Iterable[Settings],
) -> ControlServer:
    """Returns the server that shows and steers `controlled`; nothing starts yet.

    The secrets among the settings in `secretive` are kept out of its answers.
    """
    log = WebLog(clock)
    secrets = frozenset(secret for each in secretive for secret in secrets_of(each))
    app = ControlApp(
        settings, controlled, log, clock.monotonic, metrics=metrics, secrets=tuple(secrets)
    )
    return ControlServer(settings, app, log)
