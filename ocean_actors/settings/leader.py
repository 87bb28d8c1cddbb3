"""The section `leader`: which of several instances runs the resyncs. One model for each engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ocean_actors.settings.models import Seconds, Secret, Section

TimeToLive = Annotated[Seconds, Field(ge=1, le=3_600)]


class LeaderSettings(Section):
    """The section `leader`, of which each type of engine has a model of its own.

    A package's engine subclasses it; its keys may be spelled in camelCase in the file.
    """

    type: str = Field(description="What decides which of several instances leads.")


class NoLeaderSettings(LeaderSettings):
    """Nothing decides."""

    type: Literal["NONE"] = Field(
        default="NONE", description="There is one instance, or the event listener is KAFKA."
    )


class PostgresLeaderSettings(LeaderSettings):
    """PostgreSQL decides."""

    type: Literal["POSTGRES"] = Field(
        default="POSTGRES",
        description="The instance that holds an advisory lock in PostgreSQL leads.",
    )
    dsn: Secret = Field(
        repr=False,
        description="The database, as `postgresql://user:password@host/database`; not through a "
        "pool in transaction mode.",
    )
    ttl: TimeToLive = Field(
        default=10.0,
        description="Seconds after which another instance takes over from one that is silent.",
    )
