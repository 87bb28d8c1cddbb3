"""Tells any thread when a request can no longer share the run of an earlier one."""

from __future__ import annotations


class ConfigGeneration:
    """Counts how often the coordinator asked for the config of a run.

    Requests that come while the count stays the same are covered by the same run. Only the
    coordinator advances it; any thread may read `value`.
    """

    def __init__(self) -> None:
        self.value = 0

    def advance(self) -> None:
        """Counts one more; called before the config is asked for."""
        self.value += 1
