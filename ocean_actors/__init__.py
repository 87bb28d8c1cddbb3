"""An actor-model runtime for integrations with Port: the names that users may rely on.

Each name is imported from its module when it is first used (PEP 562), so that importing the
package, or running `ocean-actors --version`, loads none of its dependencies.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ocean_actors._version import __version__

if TYPE_CHECKING:  # the same names as in _MODULES, for type checkers and editors
    from ocean_actors.actors import (
        ActorFailed,
        Backoff,
        Cancelled,
        Message,
        OnFailure,
        Supervision,
        handles,
    )
    from ocean_actors.context import Actor
    from ocean_actors.errors import OceanError
    from ocean_actors.group.group import SystemGroup
    from ocean_actors.group.members import Member
    from ocean_actors.live.call import LiveCall
    from ocean_actors.live.handler import Live, LiveHandler
    from ocean_actors.mapping.errors import MappingError
    from ocean_actors.mapping.resources import Resource
    from ocean_actors.messages import (
        Allow,
        Delay,
        HandlerEnded,
        Ignore,
        IntegrationRegistered,
        LiveEventFailed,
        Progress,
        RequestSettled,
        ResyncRequested,
        RetryScheduled,
        RoleChanged,
        RunEnded,
        RunInfo,
        RunProgressed,
        RunReported,
        RunStarted,
        UpsertResult,
    )
    from ocean_actors.port.dry_run import DryRunResult
    from ocean_actors.port.errors import PortError, ReconcileRefused
    from ocean_actors.resync.handlers import ResyncHandler, RetryLater
    from ocean_actors.resync.run import ResyncAborted, ResyncRun
    from ocean_actors.settings import Settings, SettingsError
    from ocean_actors.shards.handler import ShardedHandler
    from ocean_actors.shards.shard import Shard
    from ocean_actors.system import OceanSystem

_MODULES = {
    "Actor": "ocean_actors.context",
    "ActorFailed": "ocean_actors.actors",
    "Allow": "ocean_actors.messages",
    "Backoff": "ocean_actors.actors",
    "Cancelled": "ocean_actors.actors",
    "Delay": "ocean_actors.messages",
    "DryRunResult": "ocean_actors.port.dry_run",
    "Ignore": "ocean_actors.messages",
    "IntegrationRegistered": "ocean_actors.messages",
    "HandlerEnded": "ocean_actors.messages",
    "Live": "ocean_actors.live.handler",
    "LiveCall": "ocean_actors.live.call",
    "LiveEventFailed": "ocean_actors.messages",
    "LiveHandler": "ocean_actors.live.handler",
    "MappingError": "ocean_actors.mapping.errors",
    "Member": "ocean_actors.group.members",
    "Message": "ocean_actors.actors",
    "OceanError": "ocean_actors.errors",
    "OceanSystem": "ocean_actors.system",
    "OnFailure": "ocean_actors.actors",
    "PortError": "ocean_actors.port.errors",
    "Progress": "ocean_actors.messages",
    "ReconcileRefused": "ocean_actors.port.errors",
    "RequestSettled": "ocean_actors.messages",
    "Resource": "ocean_actors.mapping.resources",
    "ResyncAborted": "ocean_actors.resync.run",
    "ResyncHandler": "ocean_actors.resync.handlers",
    "ResyncRequested": "ocean_actors.messages",
    "ResyncRun": "ocean_actors.resync.run",
    "RetryLater": "ocean_actors.resync.handlers",
    "RetryScheduled": "ocean_actors.messages",
    "RunReported": "ocean_actors.messages",
    "RoleChanged": "ocean_actors.messages",
    "RunEnded": "ocean_actors.messages",
    "RunInfo": "ocean_actors.messages",
    "RunProgressed": "ocean_actors.messages",
    "RunStarted": "ocean_actors.messages",
    "Settings": "ocean_actors.settings",
    "SettingsError": "ocean_actors.settings",
    "Shard": "ocean_actors.shards.shard",
    "ShardedHandler": "ocean_actors.shards.handler",
    "Supervision": "ocean_actors.actors",
    "SystemGroup": "ocean_actors.group.group",
    "UpsertResult": "ocean_actors.messages",
    "handles": "ocean_actors.actors",
}

__all__ = [
    "Actor",
    "ActorFailed",
    "Allow",
    "Backoff",
    "Cancelled",
    "Delay",
    "DryRunResult",
    "HandlerEnded",
    "Ignore",
    "IntegrationRegistered",
    "Live",
    "LiveCall",
    "LiveEventFailed",
    "LiveHandler",
    "MappingError",
    "Member",
    "Message",
    "OceanError",
    "OceanSystem",
    "OnFailure",
    "PortError",
    "Progress",
    "ReconcileRefused",
    "RequestSettled",
    "Resource",
    "ResyncAborted",
    "ResyncHandler",
    "ResyncRequested",
    "ResyncRun",
    "RetryLater",
    "RetryScheduled",
    "RoleChanged",
    "RunEnded",
    "RunInfo",
    "RunProgressed",
    "RunReported",
    "RunStarted",
    "Settings",
    "SettingsError",
    "Shard",
    "ShardedHandler",
    "Supervision",
    "SystemGroup",
    "UpsertResult",
    "__version__",
    "handles",
]

if not TYPE_CHECKING:  # type checkers would take it as a promise that every name exists

    def __getattr__(name: str) -> object:
        """Import a public name at its first use."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value  # the next use finds it without this function
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
