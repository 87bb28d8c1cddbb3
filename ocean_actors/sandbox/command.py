"""`ocean-actors sandbox`: serves until told to stop, and says how to point an integration at it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ocean_actors.blueprints import Declaration
from ocean_actors.sandbox.server import Sandbox


def serve(
    host: str,
    port: int,
    *,
    kafka: bool,
    until: threading.Event,
    noise: int = 0,
    blueprints: Declaration = (),
    mapping: str | None = None,
) -> Iterator[str]:
    """Run a sandbox until `until` is set; yields lines to print.

    `blueprints` and `mapping` are those of `Sandbox`. On Kafka each message follows `noise`
    messages about entities. Raises OSError if the port is in use or the broker does not start,
    SeedError if blueprints or the mapping cannot be used.
    """
    with contextlib.ExitStack() as stack:
        seeded = Sandbox(port, host, blueprints=blueprints, mapping=mapping)
        sandbox = stack.enter_context(seeded)
        yield f"Port's sandbox serves at {sandbox.url}; docs/sandbox.md describes /sandbox/…"
        yield (
            f"port: {{clientId: {sandbox.client_id}, clientSecret: {sandbox.client_secret}, "
            f'baseUrl: "{sandbox.url}"}}'
        )
        if kafka:
            from ocean_actors.sandbox.kafka import kafka_beside

            yield "starting Kafka; the first time it downloads 45 MB"
            bootstrap = stack.enter_context(kafka_beside(sandbox, noise=noise))
            yield f"Kafka serves at {bootstrap}"
            yield "eventListener: {type: KAFKA, securityProtocol: PLAINTEXT}"
        while not until.wait(1.0):  # in turns: a signal may arrive just before the wait begins
            pass
        yield "stopped"
