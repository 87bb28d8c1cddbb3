"""Every metric: its name, its kind, its labels and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]

INTEGRATION = "integration"
"""The label that all metrics have where several integrations run in one process."""


@dataclass(frozen=True)
class Metric:
    """One metric, without its samples. `name` is without the prefix `ocean_actors_`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as Prometheus shows it; of a histogram without `_bucket`, `_sum`, `_count`."""
        return f"ocean_actors_{self.name}"


CATALOG = (
    Metric(
        "info", "gauge", "Always 1; its labels say what runs.",
        (INTEGRATION, "type", "listener", "version"),
    ),
    Metric("active", "gauge", "1 if this instance runs the resyncs, 0 if it stands by."),
    Metric(
        "runs_total", "counter", "Runs that ended: completed, failed or aborted.",
        ("outcome", "trigger"),
    ),
    Metric("run_duration_seconds", "histogram", "How long the runs that ended took."),
    Metric(
        "last_completed_run_timestamp_seconds", "gauge",
        "When the last completed run ended, in Unix time; 0 if none has.",
    ),
    Metric(
        "requests_total", "counter",
        "Requests for a resync: completed or failed with the run that covered them, joined to a "
        "newer request of their trigger, ignored, or refused while stopping.",
        ("trigger", "outcome"),
    ),
    Metric(
        "handler_progress_ratio", "gauge",
        "How much of its work in the present run a handler has done, from 0 to 1.", ("handler",),
    ),
    Metric(
        "shards", "gauge",
        "The shards of a handler in the present run, by state: done (or failed), running, waiting.",
        ("handler", "state"),
    ),
    Metric(
        "shard_entities", "gauge",
        "How many entities the shards that run now have yielded so far.", ("handler",),
    ),
    Metric(
        "rate_limit_wait_seconds_total", "counter",
        "How long calls of a handler waited for run.session.limit, or at a server's request.",
        ("handler",),
    ),
    Metric(
        "entities_total", "counter",
        "Entities that runs upserted, failed to upsert or deleted in Port.", ("result",),
    ),
    Metric(
        "port_requests_total", "counter",
        "HTTP requests to Port by the status of the answer; code none: no complete answer.",
        ("method", "code"),
    ),
    Metric(
        "port_request_duration_seconds", "histogram",
        "How long HTTP requests to Port took until their answer was complete, or failed.",
    ),
    Metric("port_retries_total", "counter", "HTTP requests to Port that were sent again."),
    Metric(
        "kafka_lag_messages", "gauge", "Messages of the topic that have not been read.",
        ("topic", "partition"),
    ),
    Metric(
        "kafka_commits_total", "counter", "Commits of offsets, succeeded or failed.", ("result",)
    ),
    Metric(
        "live_events_total", "counter",
        "Live events: calls accepted or refused as the queue was full, events handled or given up "
        "(dead), attempts retried.",
        ("path", "outcome"),
    ),
    Metric("live_queue", "gauge", "Live events that were accepted and are not handled.", ("path",)),
    Metric("mailbox_messages", "gauge", "Messages that wait in an actor's mailbox.", ("actor",)),
    Metric("actor_restarts_total", "counter", "Restarts of actors after a failure.", ("actor",)),
    Metric("dead_letters_total", "counter", "Messages that no actor handled."),
    Metric(
        "left_behind_threads", "gauge",
        "Threads of handlers and other actors that were left behind and have not ended.",
    ),
)  # fmt: skip
