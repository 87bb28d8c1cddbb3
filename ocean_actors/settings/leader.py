"""The section `leader`: which of several instances runs the resyncs. One model for each engine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ocean_actors.settings.errors import UnusableError
from ocean_actors.settings.models import Seconds, Secret, Section, Text

NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def _kubernetes_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UnusableError("expected a name of lower-case letters, digits, hyphens and dots")
    return name


TimeToLive = Annotated[Seconds, Field(ge=1, le=3_600)]
KubernetesName = Annotated[Text, AfterValidator(_kubernetes_name)]


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


class KubernetesLeaderSettings(LeaderSettings):
    """Kubernetes decides."""

    type: Literal["KUBERNETES"] = Field(
        default="KUBERNETES", description="The instance that holds a Lease in Kubernetes leads."
    )
    namespace: KubernetesName = Field(description="The namespace of the Lease.")
    name: KubernetesName = Field(
        description="The name of the Lease, which is this integration's alone; it is created if "
        "it is missing."
    )
    kubeconfig: Text | None = Field(
        default=None,
        description="The file that says how to reach the cluster. Default: `KUBECONFIG`, else the "
        "pod's service account, else `~/.kube/config`.",
    )
    ttl: TimeToLive = Field(
        default=15.0,
        description="Seconds after which another instance takes over from one that is silent.",
    )
