"""An integration that a test moves by hand, and the real control server in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from desk import Desk, serve

from ocean_actors.control.server import ControlServer


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def served(desk: Desk) -> Iterator[Callable[..., ControlServer]]:
    """Serves the desk, and others if they are given; stops every server at the end."""
    servers: list[ControlServer] = []

    def start(*desks: Desk, **options: Any) -> ControlServer:
        server = serve(*(desks or (desk,)), **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
