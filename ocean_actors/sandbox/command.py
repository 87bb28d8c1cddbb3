"""`ocean-actors sandbox`: serves until told to stop, and says how to point an integration at it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from ocean_actors.sandbox.server import Sandbox


def serve(
    host: str,
    port: int,
    *,
    kafka: bool,
    until: threading.Event,
    noise: int = 0,
    blueprints: Sequence[str] = (),
) -> Iterator[str]:
    """Run a sandbox until `until` is set; yields lines to print.

    `blueprints` are created at the start, without properties. On Kafka each message follows
    `noise` messages about entities. Raises OSError if the port is in use or the broker does not
    start.
    """
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(port, host))
        for blueprint in dict.fromkeys(blueprints):
            sandbox.create_blueprint(blueprint)
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
