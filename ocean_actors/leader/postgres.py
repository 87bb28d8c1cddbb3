"""POSTGRES: the instance whose session holds an advisory lock leads.

The lock is the session's, and PostgreSQL ends a session that was idle for the time to live. So
the lock is free as soon as the session ends, and at the latest when its owner has been silent
for the time to live.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from urllib3.util.wait import wait_for_read

from ocean_actors.actors import Clock
from ocean_actors.errors import UsageError
from ocean_actors.leader.lease import SHARE
from ocean_actors.leader.spec import ElectionError, LeaderSpec, Seat
from ocean_actors.settings import PostgresLeaderSettings
from ocean_actors.text import one_line

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import LiteralString

LONGEST_CONNECT = 10  # seconds; a connection attempt cannot be interrupted
MISSING = "leader.type POSTGRES needs the package psycopg: pip install 'ocean-actors[postgres]'"
UNREADABLE = (
    "leader.dsn: expected postgresql://user:password@host/database, or libpq's key=value pairs"
)
HOLDS = """
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (classid::bigint << 32 | objid::bigint) = %s
"""
UPTIME = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"


class PostgresElection:
    """This instance's part in the election; see `Election`.

    A server that restarts loses all locks at once, although the leader's lease may still be
    valid. So after a restart, and after its own session broke, an instance takes the lead only
    once the time to live has passed, unless it was the leader itself and its lease is still valid.
    """

    uptime: LiteralString = UPTIME

    def __init__(self, settings: PostgresLeaderSettings, clock: Clock) -> None:
        """Connect to nothing yet. Raises UsageError without psycopg, and for an unusable DSN."""
        self.ttl = settings.ttl
        self._clock = clock
        self._dsn = settings.dsn.get_secret_value()
        self._password = _password_of(self._dsn)
        self._connection: psycopg.Connection[Any] | None = None
        self._socket: socket.socket | None = None  # a duplicate, to be shut by other threads
        self._socket_lock = threading.Lock()
        self._has_lock = False
        self._led_at = -math.inf
        self._not_before = -math.inf  # else another instance's lease may still be valid

    def campaign(self, seat: Seat, seconds: float) -> float | None:
        """See `Election.campaign`."""
        import psycopg

        led = self._has_lock
        try:
            if not led:
                return self._compete(seat, seconds)
            self._wait_for_news(seconds)
            return self._confirm(seat)
        except psycopg.Error as error:
            self._note(error)
            if not led or self._has_lock:
                raise self._failure(error) from None
        # The session that held the lock has ended. If the server is there, it knows who leads.
        try:
            return self._compete(seat, 0.0)
        except psycopg.Error as error:
            self._note(error)
            raise self._failure(error) from None

    def resign(self) -> None:
        """See `Election.resign`. The end of the session frees the lock."""
        self._led_at = -math.inf
        self._disconnect()

    def interrupt(self) -> None:
        """See `Election.interrupt`."""
        with self._socket_lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    # -- one attempt -------------------------------------------------------------------------

    def _compete(self, seat: Seat, seconds: float) -> float | None:
        """Get the lock if it is free, or becomes so within `seconds`. Raises psycopg.Error."""
        import psycopg

        connection = self._connected()
        key = key_of(seat)
        if seconds < 0.001:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            self._has_lock = bool(row and row[0])
        else:
            wait = f"{math.ceil(seconds * 1000)}ms"
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (wait,))
            try:
                connection.execute("SELECT pg_advisory_lock(%s)", (key,))
                self._has_lock = True
            except psycopg.errors.LockNotAvailable:
                self._has_lock = False
        return self._confirm(seat) if self._has_lock else None

    def _confirm(self, seat: Seat) -> float | None:
        """Ask whether the session has the lock, which also keeps the session alive."""
        asked_at = self._clock.monotonic()
        row = self._connected().execute(HOLDS, (key_of(seat),)).fetchone()
        self._has_lock = bool(row and row[0])
        was_ours = asked_at < self._led_at + self.ttl * SHARE
        if not self._has_lock or (asked_at < self._not_before and not was_ours):
            return None
        self._led_at = asked_at
        return asked_at

    def _wait_for_news(self, seconds: float) -> None:
        """Wait; return at once if the server sends anything, such as the end of the session."""
        with self._socket_lock:
            sock = self._socket
        if sock is not None:
            wait_for_read(sock, seconds)

    # -- the connection ----------------------------------------------------------------------

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None:
            return self._connection
        import psycopg

        connection = self._connection = psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=min(max(2, math.ceil(self.ttl / 2)), LONGEST_CONNECT),
            application_name="ocean-actors",
        )
        try:
            with self._socket_lock:  # before the first statement, which may have to be interrupted
                self._socket = socket.socket(fileno=os.dup(connection.fileno()))
            ttl = f"{math.ceil(self.ttl * 1000)}ms"
            for name, value in (("idle_session_timeout", ttl), ("statement_timeout", "0")):
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            asked_at = self._clock.monotonic()
            row = connection.execute(self.uptime).fetchone()
        except BaseException:
            self._disconnect()
            raise
        started_at = asked_at - float(row[0] if row else 0.0)
        self._not_before = max(self._not_before, started_at + self.ttl)
        return connection

    def _note(self, error: Exception) -> None:
        """Forget the session if the error has ended it. Else it is kept, and so is the lock."""
        import psycopg

        if self._connection is None or not self._connection.closed:
            return
        if not isinstance(error, psycopg.errors.IdleSessionTimeout):
            self._not_before = self._clock.monotonic() + self.ttl
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._has_lock = False
        with self._socket_lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _failure(self, error: Exception) -> ElectionError:
        text = one_line(error)
        if self._password:
            text = text.replace(self._password, "***")
        if "idle_session_timeout" in text:
            text += " (PostgreSQL 14 or later is needed)"
        return ElectionError(text)


def key_of(seat: Seat) -> int:
    """Returns the number of the advisory lock of a seat: 64 bits, with a sign."""
    digest = hashlib.sha256(f"ocean-actors {seat.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _password_of(dsn: str) -> str | None:
    """Returns the password in a DSN. Raises UsageError, which does not quote it."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise UsageError(MISSING) from None
    try:
        password = conninfo_to_dict(dsn).get("password")
    except ProgrammingError:
        raise UsageError(UNREADABLE) from None
    return None if password is None else str(password)


SPEC = LeaderSpec("POSTGRES", PostgresLeaderSettings, PostgresElection)
