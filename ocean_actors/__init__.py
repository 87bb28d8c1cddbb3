"""Hear Port's events and run resyncs, as actors. These are the names to rely on."""

from ocean_actors._version import __version__
from ocean_actors.actors import Message, Supervision, handles
from ocean_actors.context import Actor
from ocean_actors.messages import RequestSettled, RunEnded, RunProgressed, RunStarted
from ocean_actors.port.errors import PortError, ReconcileRefused
from ocean_actors.resync.handlers import ResyncHandler, RetryLater
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.settings import Settings, SettingsError
from ocean_actors.system import OceanSystem

__all__ = [
    "Actor",
    "Message",
    "OceanSystem",
    "PortError",
    "ReconcileRefused",
    "RequestSettled",
    "ResyncAborted",
    "ResyncHandler",
    "ResyncRun",
    "RetryLater",
    "RunEnded",
    "RunProgressed",
    "RunStarted",
    "Settings",
    "SettingsError",
    "Supervision",
    "__version__",
    "handles",
]
