"""What is particular to PostgreSQL: sessions that others end, servers that have just started."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from ocean_actors.actors import SystemClock
from ocean_actors.leader.postgres import PostgresElection, key_of
from ocean_actors.leader.spec import ElectionError, Seat
from ocean_actors.settings import PostgresLeaderSettings

if TYPE_CHECKING:
    from tests.leader.conftest import Postgres

pytestmark = pytest.mark.xdist_group("postgres")

LONG = 60.0
WITHIN = 60.0
ACCEPTED = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"  # no password is needed; ready for a statement
Make = Callable[[], PostgresElection]


@pytest.fixture
def seat() -> Seat:
    return Seat("org", uuid.uuid4().hex)


@pytest.fixture
def make(postgres: Postgres, clock: SystemClock, seat: Seat) -> Iterator[Make]:
    made: list[PostgresElection] = []

    def make() -> PostgresElection:
        made.append(postgres.election(clock, LONG, seat))
        return made[-1]

    yield make
    for election in made:
        election.resign()


@pytest.fixture
def admin(postgres: Postgres) -> Iterator[Callable[[str], None]]:
    """Calls a function of the administrator for the session that holds the lock of a seat."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:

        def call(function: str) -> None:
            pids = connection.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            ).fetchall()
            for (pid,) in pids:
                connection.execute(f"SELECT {function}({pid})".encode())

        yield call


def test_a_leader_whose_session_an_administrator_ends_takes_the_lock_again(
    make: Make, seat: Seat, admin: Callable[[str], None]
) -> None:
    leader, other = make(), make()
    first = leader.campaign(seat, 0.0)
    assert first is not None
    admin("pg_terminate_backend")
    again = leader.campaign(seat, LONG)  # it does not wait, as the session has ended
    assert again is not None
    assert again < first + LONG
    assert other.campaign(seat, 0.0) is None


def test_a_leader_whose_session_was_ended_learns_at_once_that_another_one_leads(
    make: Make, seat: Seat, admin: Callable[[str], None]
) -> None:
    leader, other = make(), make()
    assert leader.campaign(seat, 0.0) is not None
    admin("pg_terminate_backend")
    assert other.campaign(seat, LONG) is not None
    assert leader.campaign(seat, LONG) is None


def test_a_statement_that_an_administrator_cancels_does_not_cost_the_lock(
    make: Make, seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, other = make(), make()
    assert leader.campaign(seat, 0.0) is not None
    with monkeypatch.context() as patch:
        patch.setattr("ocean_actors.leader.postgres.HOLDS", "SELECT 1 / 0, %s")  # fails likewise
        with pytest.raises(ElectionError):
            leader.campaign(seat, 0.0)
    assert other.campaign(seat, 0.0) is None
    assert leader.campaign(seat, 0.0) is not None


def test_nobody_leads_right_after_the_server_has_started(
    postgres: Postgres, clock: SystemClock, seat: Seat
) -> None:
    postgres.stop()
    postgres.start()
    settings = PostgresLeaderSettings.model_validate(postgres.settings(LONG))
    first, second = PostgresElection(settings, clock), PostgresElection(settings, clock)
    try:
        assert first.campaign(seat, 0.0) is None  # a lease from before may still be valid
        assert second.campaign(seat, 0.0) is None
    finally:
        first.resign()
        second.resign()


def test_a_server_that_falls_silent_right_after_the_connection_can_be_interrupted(
    clock: SystemClock, seat: Seat
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        server.settimeout(WITHIN)
        port = server.getsockname()[1]
        dsn = f"postgresql://me@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"
        settings = PostgresLeaderSettings.model_validate({"dsn": dsn, "ttl": LONG})
        election = PostgresElection(settings, clock)
        campaign = thread.submit(election.campaign, seat, 0.0)
        session, _ = server.accept()
        with session:
            session.settimeout(WITHIN)
            session.recv(4096)
            session.sendall(ACCEPTED)
            assert session.recv(4096)  # the first statement, which is never answered
            election.interrupt()
            with pytest.raises(ElectionError):
                campaign.result(WITHIN)


def test_a_database_that_does_not_exist_is_one_line(postgres: Postgres, clock: SystemClock) -> None:
    dsn = postgres.dsn.replace("/postgres?", "/nowhere?")
    election = PostgresElection(PostgresLeaderSettings.model_validate({"dsn": dsn}), clock)
    with pytest.raises(ElectionError, match=r'database "nowhere" does not exist') as error:
        election.campaign(Seat("org", "mine"), 0.0)
    assert "\n" not in str(error.value)


def test_the_number_of_the_lock_stays_the_same_and_differs_between_seats() -> None:
    assert key_of(Seat("org", "mine")) == key_of(Seat("org", "mine"))
    names = [("org", "mine"), ("org", "yours"), ("or", "gmine"), ("org/mine", ""), ("org", "/mine")]
    assert len({key_of(Seat(*name)) for name in names}) == len(names)
    assert all(-(2**63) <= key_of(Seat(*name)) < 2**63 for name in names)
