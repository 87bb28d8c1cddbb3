"""The thread in which one instance takes part in the election."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ocean_actors.actors import Backoff, Cancelled, CancelToken, Clock, Message
from ocean_actors.leader.lease import TimedLease
from ocean_actors.leader.role import LeaseChanged
from ocean_actors.leader.spec import Election, ElectionError, Seat
from ocean_actors.port.errors import PortError

ROUNDS = 6  # questions to the engine in each time to live
BACKOFF = Backoff(initial=0.5, maximum=5.0)


@dataclass(frozen=True)
class Stood(Message):
    """To the leader's actor, after each question to the engine: how this instance stands.

    `error`: why there was no answer, or None; the next question follows in `seconds` then.
    `final`: Port refuses our credentials, so that asking again is of no use.
    """

    leads: bool
    error: str | None = None
    seconds: float = 0.0
    final: bool = False


@dataclass(frozen=True)
class CampaignEnded(Message):
    """To the leader's actor: the thread has ended because of a bug, ours or a package's."""

    error: BaseException


class Campaign:
    """Campaigns in an election, keeps the lease alive, and tells `LeaseChanged` and `Stood`.

    `seat` is called in the thread until it returns what to campaign for; it may raise PortError.
    While the engine gives no answer, the lease goes on until it runs out.
    """

    def __init__(
        self,
        election: Election,
        seat: Callable[[], Seat],
        *,
        tell: Callable[[Message], None],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._election = election
        self._find_seat = seat
        self._seat: Seat | None = None
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._round_seconds = election.ttl / ROUNDS
        self._lease: TimedLease | None = None
        self._failures = 0
        self._token = CancelToken()
        self._thread = threading.Thread(target=self._main, name="leader-campaign", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Resign, and wait up to `timeout` seconds for the thread to end."""
        lease = self._lease
        if lease is not None:
            lease.end()  # before the interruption, which may lose the lead
        self._token.cancel("this instance resigns")
        self._election.interrupt()
        self._thread.join(timeout)

    # -- the thread --------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            while True:
                self._token.sleep(self._round(), self._clock)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001  (the actor raises it)
            self._tell(CampaignEnded(error))
        finally:
            self._end_lease()
            self._election.resign()

    def _round(self) -> float:
        """Ask the engine once; returns the seconds to the next question."""
        began = self._clock.monotonic()
        self._token.check()
        try:
            if self._seat is None:
                self._seat = self._find_seat()
            with self._bounded():
                asked_at = self._election.campaign(self._seat, self._round_seconds)
        except (ElectionError, PortError) as error:
            self._token.check()  # else the interruption looks like a failure
            return self._failed(error)
        self._failures = 0
        led = self._lease is not None
        if asked_at is None:
            self._end_lease()
        else:
            self._confirmed(asked_at)
        leads = self._lease is not None
        self._tell(Stood(leads))
        if leads != led:
            return 0.0  # the next question may wait for news of the new standing
        return max(0.0, began + self._round_seconds - self._clock.monotonic())

    def _confirmed(self, asked_at: float) -> None:
        if self._lease is not None:
            self._lease.renew(asked_at)
            if self._lease.valid():
                return
            self._end_lease()
        lease = TimedLease(self._clock, asked_at, self._election.ttl)
        if lease.valid():
            self._lease = lease
            self._tell(LeaseChanged(lease))

    def _failed(self, error: Exception) -> float:
        """Go on while the lease is valid; returns the seconds to the next question."""
        delay = BACKOFF.delay(self._failures, self._jitter())
        self._failures += 1
        if self._lease is not None and self._lease.valid():
            delay = min(delay, self._round_seconds)
        else:
            self._end_lease()
        final = isinstance(error, PortError) and not error.temporary
        self._tell(Stood(self._lease is not None, str(error), delay, final))
        return delay

    def _end_lease(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()
            self._tell(LeaseChanged(None))

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        """Interrupt a question that is not answered, but not while the lease is valid."""
        seconds = 2 * self._round_seconds + 1.0
        if self._lease is not None:
            seconds = max(seconds, self._lease.remaining())
        timer = self._clock.call_later(seconds, self._election.interrupt)
        try:
            yield
        finally:
            timer.cancel()
