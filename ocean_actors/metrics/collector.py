"""The metrics as prometheus-client takes them. Import this module when there is a scrape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ocean_actors.histogram import Histogram
from ocean_actors.metrics.catalog import CATALOG, INTEGRATION, Metric
from ocean_actors.metrics.samples import samples
from ocean_actors.metrics.snapshot import Measured, SystemMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class SystemCollector(Collector):
    """Reads the metrics of systems when it is asked for them; it counts nothing itself.

    With several systems, every sample has the label `integration`. Give one registry one
    collector with all systems.

        prometheus_client.REGISTRY.register(SystemCollector(system))
    """

    def __init__(self, *systems: Measured) -> None:
        self._systems = systems
        self._named = len(systems) > 1  # samples name their integration

    def describe(self) -> Iterable[Family]:
        """Returns the metrics without samples, so that registering asks no system."""
        return [_family(metric) for metric in CATALOG]

    def collect(self) -> Iterable[Family]:
        """Returns the metrics of all systems.

        Raises ValueError if two have the same identifier, as their samples could not be told
        apart.
        """
        measured = [system.measure() for system in self._systems]
        _require_distinct(measured)
        families = {metric.name: (metric, _family(metric)) for metric in CATALOG}
        for system in measured:
            identity = {INTEGRATION: system.identifier} if self._named else {}
            for sample in samples(system):
                metric, family = families[sample.name]
                labels = {**identity, **dict(zip(metric.labels, sample.labels, strict=True))}
                _add(family, metric, labels, sample.value)
        return [family for _, family in families.values()]

    def exposition(self) -> tuple[bytes, str]:
        """Returns the metrics in Prometheus' text format, and its content type."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE


def _family(metric: Metric) -> Family:
    """Returns a metric of prometheus-client's without samples."""
    return Family(metric.full_name.removesuffix("_total"), metric.help, metric.kind)


def _add(
    family: Family, metric: Metric, labels: Mapping[str, str], value: float | Histogram
) -> None:
    """Add a sample; those of a histogram are its buckets, their count and their sum."""
    name = metric.full_name
    if not isinstance(value, Histogram):
        family.add_sample(name, dict(labels), value)
        return
    buckets = value.cumulative()
    for bound, count in buckets:
        edge = "+Inf" if bound == float("inf") else str(bound)
        family.add_sample(f"{name}_bucket", {**labels, "le": edge}, count)
    family.add_sample(f"{name}_count", dict(labels), buckets[-1][1])
    family.add_sample(f"{name}_sum", dict(labels), value.total)


def _require_distinct(systems: Iterable[SystemMetrics]) -> None:
    seen = set()
    for system in systems:
        if system.identifier in seen:
            raise ValueError(
                f"two systems have the identifier {system.identifier}: "
                "their metrics cannot be told apart"
            )
        seen.add(system.identifier)
