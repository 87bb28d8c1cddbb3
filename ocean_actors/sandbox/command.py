"""`ocean-actors sandbox`: serves until told to stop, and says how to point an integration at it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ocean_actors.sandbox.server import Sandbox


def serve(
    host: str, port: int, *, kafka: bool, until: threading.Event, noise: int = 0
) -> Iterator[str]:
    """Run a sandbox until `until` is set; yields lines to print.

    `noise`: so many changes of entities precede each message on Kafka.

    Raises OSError if the port is in use or the broker does not start.
    """
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(port, host))
        yield f"the sandbox of Port serves at {sandbox.url}; see docs/sandbox.md for /sandbox/…"
        yield (
            f"port: {{clientId: {sandbox.client_id}, clientSecret: {sandbox.client_secret}, "
            f'baseUrl: "{sandbox.url}"}}'
        )
        if kafka:
            from ocean_actors.sandbox.kafka import kafka_beside

            yield "starting Kafka; the very first time its 45 MB are fetched"
            bootstrap = stack.enter_context(kafka_beside(sandbox, noise=noise))
            yield f"Kafka serves at {bootstrap}"
            yield "eventListener: {type: KAFKA, securityProtocol: PLAINTEXT}"
        while not until.wait(1.0):  # in turns: a signal may just miss the waiting thread
            pass
        yield "stopped"
