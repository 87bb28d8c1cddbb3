"""What the tests of the engine KUBERNETES share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from api_server import TOKEN, ApiServer

from ocean_actors.leader.kubernetes import KubernetesElection
from ocean_actors.leader.spec import ElectionError, Seat

SEAT = Seat("org", "mine")
LONG = 60.0  # seconds to live
Make = Callable[..., KubernetesElection]
"""Makes the part of one more instance, whose settings may differ."""


def spec_of(server: ApiServer) -> dict[str, Any]:
    """Returns the `spec` of the Lease."""
    spec: dict[str, Any] = server.leases.find("default", "lease")["spec"]
    return spec


def problem_of(election: KubernetesElection) -> str:
    """Returns why the election cannot be held: one line without the token."""
    with pytest.raises(ElectionError) as caught:
        election.campaign(SEAT, 0.0)
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text
    return text
