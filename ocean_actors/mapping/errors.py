"""What can be wrong with an entry of Port's mapping."""

from __future__ import annotations

from ocean_actors.errors import OceanError


class MappingError(OceanError):
    """An entry of Port's mapping cannot be used; `str()` is one readable line."""

    lasting = True


class JqMissing(OceanError):
    """The `jq` package, which evaluates the mapping, is not installed."""

    lasting = True
