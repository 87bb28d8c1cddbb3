"""The sandbox of the demo, and the settings of its integration."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

IDENTIFIER = "python-packages"


@dataclass(frozen=True)
class Environment:
    """A running sandbox, and settings for it, shaped like a YAML file.

    `starts_by_itself`: the listener requests a first resync.
    """

    sandbox: Sandbox
    settings: dict[str, Any]
    starts_by_itself: bool


@contextlib.contextmanager
def open_environment(listener: str) -> Iterator[Environment]:
    """Start what the listener needs, and stop it at the end. Raises BrokerError."""
    with Sandbox() as sandbox:
        if listener == "webhook":
            port = _free_port()
            called = {"type": "WEBHOOK", "appHost": f"http://127.0.0.1:{port}"}
            served = {"host": "127.0.0.1", "port": port}
            yield Environment(sandbox, _settings(sandbox, called, http=served), False)
        elif listener == "kafka":
            from ocean_actors.sandbox.kafka import LISTENER, kafka_beside

            with kafka_beside(sandbox, noise=20):
                yield Environment(sandbox, _settings(sandbox, LISTENER), False)
        else:
            yield Environment(
                sandbox, _settings(sandbox, {"type": "POLLING", "interval": 0.5}), True
            )


def _settings(sandbox: Sandbox, event_listener: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "port": port_of(sandbox),
        "integration": {"identifier": IDENTIFIER, "type": "demo"},
        "eventListener": event_listener,
        **more,
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
