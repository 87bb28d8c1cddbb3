"""What the system knows of an engine, and what an engine has to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ocean_actors import plugins
from ocean_actors.actors import Clock
from ocean_actors.errors import OceanError
from ocean_actors.settings import LeaderSettings, NoLeaderSettings
from ocean_actors.text import one_line

SettingsT = TypeVar("SettingsT", bound=LeaderSettings)


class ElectionError(OceanError):
    """The engine gave no answer, or refuses us; one readable line, without credentials."""


@dataclass(frozen=True)
class Seat:
    """What instances compete for: to be the leader of one integration of one organisation."""

    organization: str
    integration: str

    @property
    def name(self) -> str:
        """One text for both, which no other seat has."""
        return f"{len(self.organization)}:{self.organization}/{self.integration}"


class Election(Protocol):
    """One instance's part in the election that an engine holds.

    The engine promises: if `campaign` returned the time t, no other instance's `campaign` for
    this seat returns a time before t + `ttl`, unless this instance resigned. Everything else
    follows from that promise: `Campaign` calls the methods again and again and computes the lease.

    One thread calls the methods, except `interrupt`. Times are seconds of the clock that `build`
    was given.
    """

    ttl: float
    """Seconds for which a yes of the engine holds."""

    def campaign(self, seat: Seat, seconds: float) -> float | None:
        """Become the leader or stay it.

        Returns the time at which the question that the engine answered with yes was sent; None
        if another instance leads. Raises ElectionError if the engine gives no answer, or refuses
        us.

        It may wait up to `seconds`: for the lead to become free, or, while this instance leads,
        for news that it was lost. It must not give up the lead when it fails, as `Campaign` goes
        on until the lease ends.
        """

    def resign(self) -> None:
        """Give up the lead at once, if this instance has it, and close the connection.

        Never raises, and waits for a second at most. `campaign` may be called again.
        """

    def interrupt(self) -> None:
        """End the `campaign` that is under way, which then raises ElectionError or returns.

        From any thread. The lead may be lost by it. No effect if nothing is under way.
        """


@dataclass(frozen=True)
class LeaderSpec(Generic[SettingsT]):
    """One type of engine.

    - `name`: the value of `leader.type`.
    - `settings`: the model of the section `leader`.
    - `build`: makes this instance's part in the election; it connects to nothing. Raises
      UsageError if the settings cannot be used, or a package that the engine needs is missing.
      None instead of a function: there is no election, as this instance is alone.
    """

    name: str
    settings: type[SettingsT]
    build: Callable[[SettingsT, Clock], Election] | None


NONE = LeaderSpec("NONE", NoLeaderSettings, None)


def leader_spec(name: str) -> LeaderSpec[Any]:
    """Returns the engine of that type: one of ours, or one of an installed package.

    Raises plugins.PluginError.
    """
    spec: LeaderSpec[Any] = plugins.load(plugins.LEADERS, name)
    return spec


def election_builder(settings: LeaderSettings, clock: Clock) -> Callable[[], Election] | None:
    """Returns what makes this instance's part in the election; None if there is no election.

    It is tried once. Raises UsageError if the settings cannot be used, plugins.PluginError if a
    package's engine cannot.
    """
    spec = leader_spec(settings.type)
    build = spec.build
    if build is None:
        return None

    def build_election() -> Election:
        with plugins.calling(plugins.LEADERS, spec.name, "build"):
            election = build(settings, clock)
        methods = ("campaign", "resign", "interrupt")
        plugins.require_methods(plugins.LEADERS, spec.name, election, methods)
        ttl: object = getattr(election, "ttl", None)
        if not (isinstance(ttl, int | float) and ttl > 0):
            text = f"build: expected more than 0 seconds as ttl, got {one_line(ttl, 80)}"
            raise plugins.wrong(plugins.LEADERS, spec.name, text)
        return election

    build_election()
    return build_election
