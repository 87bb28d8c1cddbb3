"""The section `ray`: the cluster that does the shards under `resync.executor: ray`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.settings.errors import UnusableError
from ocean_actors.settings.models import Section, Text, not_bool

_ADDRESS = re.compile(r"[^\s/@]+:\d{1,5}|auto")


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise UnusableError("expected host:port, or auto")
    return value


Amount = Annotated[float, BeforeValidator(not_bool), Field(ge=0, allow_inf_nan=False)]


class RaySettings(Section):
    """A Ray cluster, and what its workers are given."""

    address: Annotated[Text, AfterValidator(_address)] | None = Field(
        default=None,
        description="An existing cluster: the `host:port` of its GCS, or `auto` for one of this "
        "machine. Default: one is started on this machine, and ends with the integration.",
    )
    runtime_env: dict[str, Any] = Field(
        default_factory=FrozenDict,
        repr=False,
        description="Ray's runtime environment of the workers, such as `working_dir`; Ray writes "
        "it into its logs, so it must not hold secrets.",
    )
    resources: dict[str, Amount] = Field(
        default_factory=FrozenDict,
        description="What each worker occupies: `CPU` (default 1), `memory` in bytes, `GPU`, and "
        "the cluster's own resources.",
    )

    @field_validator("runtime_env", "resources")
    @classmethod
    def _freeze(cls, values: dict[str, Any]) -> dict[str, Any]:
        frozen: dict[str, Any] = freeze(values)
        return frozen
