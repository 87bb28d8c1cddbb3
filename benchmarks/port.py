"""The stand-in for Port: the sandbox, whose answers may come late."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ocean_actors.sandbox import Sandbox

PACKAGE = {
    "identifier": "package",
    "title": "Package",
    "schema": {"properties": {"n": {"type": "number"}}},
}
MAPPING = {
    "resources": [
        {
            "kind": "package",
            "selector": {"query": "true"},
            "port": {
                "entity": {
                    "mappings": {
                        "identifier": ".name",
                        "title": ".name",
                        "blueprint": '"package"',
                        "properties": {"n": ".n"},
                    }
                }
            },
        }
    ]
}
QUIET = 0.1  # seconds without a call to Port, after which a run's last report has been sent
INTEGRATIONS = ("ours", "upstream")


@contextmanager
def port(latency: float = 0.0, integrations: tuple[str, ...] = INTEGRATIONS) -> Iterator[Sandbox]:
    """Serve; every answer comes `latency` seconds late. The integrations exist already."""
    with Sandbox(threads=32, blueprints=[PACKAGE]) as sandbox:
        for name in integrations:
            sandbox.create_integration(name, installationAppType="custom", config=MAPPING)
        if latency:
            sandbox.fail("delay", None, seconds=latency)
        yield sandbox


def is_idle(sandbox: Sandbox, integration: str) -> bool:
    """Returns whether Port was told the end of the last run, and all calls were answered."""
    statuses = sandbox.statuses(integration)
    answered = all(call.status is not None for call in sandbox.calls[-100:])
    return (not statuses or statuses[-1] != "running") and answered


def wait_until_idle(sandbox: Sandbox, integration: str) -> None:
    """Wait until the end of the last run is reported, and no call to Port follows for a moment."""
    calls = -1
    while calls != sandbox.call_count:
        calls = sandbox.call_count
        time.sleep(QUIET)
        sandbox.wait_for(lambda: is_idle(sandbox, integration), 120)


def batches(sandbox: Sandbox, after: int) -> int:
    """Returns how many bulk calls of entities came after call number `after`."""
    return sum(
        call.number > after and call.path.endswith("/entities/bulk") for call in sandbox.calls
    )
