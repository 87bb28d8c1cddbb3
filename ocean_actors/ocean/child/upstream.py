"""The integration as upstream loads it, with what is replaced in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from inspect import getmembers
from pathlib import Path
from typing import Any

from .pipe import LogHandler, LogStream, Parent

Sync = Callable[..., Any]


class IdleListener:
    """An event listener that hears nothing."""

    async def start(self) -> None:
        """Do nothing."""


class IdleListenerFactory:
    """Makes `IdleListener`s."""

    async def create_event_listener(self) -> IdleListener:
        """Returns a listener that hears nothing."""
        return IdleListener()


class NoState:
    """Takes the state of a resync in place of Port's client, and reports nothing."""

    async def update_integration_state(self, *_: object, **__: object) -> dict[str, Any]:
        """Do nothing."""
        return {}


def set_up_log(parent: Parent, level: str, run: Callable[[], str | None]) -> None:
    """Have upstream's log sent to the parent; `run` returns the id of the run in flight."""
    from port_ocean.config.settings import ApplicationSettings
    from port_ocean.log.logger_setup import setup_logger

    settings = ApplicationSettings(log_level=level)
    stdout = sys.stdout
    sys.stdout = LogStream(parent, run)  # it has what loguru needs
    try:
        setup_logger(settings.log_level, enable_http_handler=settings.enable_http_logging)
    finally:
        sys.stdout = stdout
    logging.getLogger().addHandler(LogHandler(parent))


def load_app() -> Any:
    """Returns the integration in the working folder."""
    try:
        from port_ocean.bootstrap import load_ocean_app
    except ImportError:  # of older versions, whose `run` does the same
        from port_ocean.bootstrap import create_default_app
        from port_ocean.config.dynamic import default_config_factory
        from port_ocean.utils.misc import get_spec_file, load_module

        spec = get_spec_file(Path())
        factory = default_config_factory(spec.get("configurations", [])) if spec else None
        default = create_default_app(".", factory, {})
        return dict(getmembers(load_module("main.py"))).get("app", default)
    return load_ocean_app(".")


def replace_parts(app: Any, ask_parent: Sync) -> Sync:
    """Replace what the parent does. Returns upstream's own `sync_raw_all`."""
    from port_ocean.core.handlers.resync_state_updater import ResyncStateUpdater
    from port_ocean.utils.signal import signal_handler

    integration = app.integration
    sync: Sync = integration.sync_raw_all
    integration.sync_raw_all = ask_parent
    integration.event_listener_factory = IdleListenerFactory()
    app.config.scheduled_resync_interval = None
    app.resync_state_updater = ResyncStateUpdater(NoState(), None)
    for key, (handler, _) in list(signal_handler._handlers.items()):  # noqa: SLF001  (no other way)
        if getattr(handler, "__name__", "") == "_report_resync_aborted":
            signal_handler.unregister(key)
    return sync


def prepare(app: Any) -> None:
    """Do what upstream does in Port before its web server starts."""
    from port_ocean.core.defaults import initialize_defaults

    with contextlib.suppress(ImportError):  # not all versions check the runtime
        from port_ocean.core.utils.utils import validate_integration_runtime

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(validate_integration_runtime(app.port_client, app.config.runtime))
    initialize_defaults(app.integration.AppConfigHandlerClass.CONFIG_CLASS, app.config)


def kinds_of(app: Any) -> list[str]:
    """Returns the kinds of the integration's resync functions; those for all kinds are left out."""
    strategy = app.integration.event_strategy
    resync = strategy["resync"] if isinstance(strategy, dict) else strategy.resync
    return sorted(str(kind) for kind in resync if kind is not None)


def make_clients(app: Any) -> None:
    """Make upstream's HTTP clients in this context, and not in that of each resync."""
    from port_ocean.utils.async_http import http_async_client

    for client in (http_async_client, app.port_client.client):
        _ = client.timeout
