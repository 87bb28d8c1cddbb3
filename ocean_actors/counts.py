"""Counters for metrics: labelled, with a bounded number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LIMIT = 100
"""Names that are counted apart. Prometheus keeps a time series for each, so there is a bound."""

OTHER = "other"
"""Stands for all names beyond `LIMIT`."""


@dataclass(frozen=True)
class Counts:
    """How often something happened, by a name and perhaps further labels.

    A key is the name, which may be any text, and the values of the further labels, of which
    there are few.
    """

    values: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def name_for(self, name: str) -> str:
        """Returns the name under which `name` is counted: `OTHER` once there are `LIMIT` others."""
        names = {key[0] for key in self.values}
        return name if name in names or len(names) < LIMIT else OTHER

    def plus(self, name: str, *labels: str, count: int = 1) -> Counts:
        """Returns the counts with `count` more of `name` and `labels`."""
        key = (name, *labels)
        if key not in self.values:
            key = (self.name_for(name), *labels)
        return Counts({**self.values, key: self.values.get(key, 0) + count})
