"""The API server, and instances that campaign there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from kubernetes_rig import LONG, Make

from ocean_actors.actors import SystemClock
from ocean_actors.leader.kubernetes import KubernetesElection
from ocean_actors.settings import KubernetesLeaderSettings


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.hangs.clear()
    server.stop()


@pytest.fixture
def make(server: ApiServer, tmp_path: Path, clock: SystemClock) -> Iterator[Make]:
    made: list[KubernetesElection] = []

    def make(clock: Any = clock, **settings: Any) -> KubernetesElection:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(server.kubeconfig())
        section = {
            "namespace": "default", "name": "lease", "ttl": LONG, "kubeconfig": str(kubeconfig),
            **settings,
        }  # fmt: skip
        made.append(KubernetesElection(KubernetesLeaderSettings.model_validate(section), clock))
        return made[-1]

    yield make
    server.stop()
    for election in made:
        election.resign()
