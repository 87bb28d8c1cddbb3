"""Nothing is written to Port without a valid lease: it is asked right before anything is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from ocean_actors.actors import Backoff, CancelToken, SystemClock
from ocean_actors.connections import SHORT_BODY
from ocean_actors.leader.lease import TimedLease
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.permit import permit
from ocean_actors.resync.current_lease import CurrentLease
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.retry import ONCE, Retry
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import IntegrationSettings, PortSettings
from ocean_actors.testing import ManualClock

REPORT: dict[str, Any] = {"status": "running", "lastResyncStart": "2026-01-01T00:00:00Z"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.create_integration("mine")
        yield sandbox


@pytest.fixture
def current() -> CurrentLease:
    return CurrentLease(active=True)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Callable[..., PortClient]]:
    made: list[PortClient] = []

    def make(**options: Any) -> PortClient:
        port = PortSettings(
            client_id=sandbox.client_id,
            client_secret=SecretStr(sandbox.client_secret),
            base_url=sandbox.url,
        )
        made.append(PortClient(port, IntegrationSettings(identifier="mine"), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ends_after(checks: int) -> Any:
    """Returns a lease that is valid when it is asked for the first `checks` times."""

    class Ending:
        left = checks

        def valid(self) -> bool:
            self.left -= 1
            return self.left >= 0

    return Ending()


def written(sandbox: Sandbox) -> list[str]:
    return [call.method for call in sandbox.calls if call.path.endswith("/resync-state")]


def test_a_standby_reads_and_does_not_write(
    client: Callable[..., PortClient], current: CurrentLease, sandbox: Sandbox
) -> None:
    caller = client(permit=permit(current))
    current.change(active=False, lease=None)
    assert caller.get_integration().identifier == "mine"
    with pytest.raises(PortError, match=r"^not sent to Port: another instance may have taken over"):
        caller.report_resync_state(REPORT, retry=ONCE)
    assert written(sandbox) == []
    current.change(active=True, lease=None)
    caller.report_resync_state(REPORT)
    assert written(sandbox) == ["PATCH"]


def test_the_lease_is_asked_once_more_between_the_head_of_a_call_and_its_body(
    client: Callable[..., PortClient], current: CurrentLease, sandbox: Sandbox
) -> None:
    current.change(active=True, lease=ends_after(1))
    long = {**REPORT, "padding": "x" * SHORT_BODY}  # a short body is sent along with the head
    with pytest.raises(PortError, match=r"^not sent"):
        client(permit=permit(current)).report_resync_state(long, retry=ONCE)
    assert sandbox.reports("mine") == []


def test_a_call_is_not_repeated_once_the_lease_has_ended(
    client: Callable[..., PortClient], current: CurrentLease, sandbox: Sandbox
) -> None:
    caller = client(permit=permit(current))
    caller.get_integration()
    current.change(active=True, lease=ends_after(1))  # a call in one piece
    sandbox.fail("status", None, status=503, path="/resync-state")
    twice = Retry(attempts=2, backoff=Backoff(initial=0.01, maximum=0.01))
    with pytest.raises(PortError, match=r"^not sent"):
        caller.report_resync_state(REPORT, retry=twice)
    assert written(sandbox) == ["PATCH"]


def test_a_run_without_a_lease_waits_to_be_aborted(
    client: Callable[..., PortClient], current: CurrentLease, sandbox: Sandbox
) -> None:
    token, clock = CancelToken(ResyncAborted), SystemClock()
    current.change(active=False, lease=None)
    caller = client(permit=permit(current, patience=60.0), token=token, clock=clock)
    caller.get_integration()
    raised: list[BaseException] = []

    def write() -> None:
        try:
            caller.report_resync_state(REPORT)
        except BaseException as error:  # noqa: BLE001  (looked at below)
            raised.append(error)

    waits = threading.Event()
    clock.on_sleep.add(waits.set)
    thread = threading.Thread(target=write)
    thread.start()
    assert waits.wait(60)
    token.cancel("another instance took over")
    thread.join(60)
    clock.close()
    assert [type(error) for error in raised] == [ResyncAborted]
    assert written(sandbox) == []


def test_a_lease_that_cannot_be_asked_counts_as_lost(current: CurrentLease) -> None:
    class Broken:
        def valid(self) -> bool:
            raise ZeroDivisionError

    current.change(active=True, lease=Broken())
    assert not current.valid()


def test_a_lease_that_has_run_out_permits_nothing_whichever_thread_asks_first(
    current: CurrentLease,
) -> None:
    clock = ManualClock()
    current.change(active=True, lease=TimedLease(clock, clock.monotonic(), 9.0))
    assert current.valid()
    clock.advance(7.0)  # as if the process had been frozen
    assert not current.valid()
