"""The integration is registered, and every run gets an answer: the config that Port holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripted import Quick

from ocean_actors import RunEnded
from ocean_actors.actors import ActorSystem, Backoff
from ocean_actors.context import IntegrationContext
from ocean_actors.frozen import freeze
from ocean_actors.messages import (
    ConfigUpdated,
    IntegrationMissing,
    IntegrationRegistered,
    RoleChanged,
)
from ocean_actors.port.client import PortClient
from ocean_actors.port.integration import CONFIG_PATIENCE, IntegrationActor, Register
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.commands import ConfigFetched, FetchConfig
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, Probe, SandboxedSystem, wait_idle

WITHIN = 30.0
INTEGRATION = "/integration/demo$"


class Owner:
    """Whose shutdown an actor may ask for."""

    def __init__(self) -> None:
        self.shutdowns: list[tuple[int, str | None]] = []

    def status(self) -> dict[str, Any]:
        return {}

    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        self.shutdowns.append((exit_code, cause))


class Office:
    """The actor that speaks to Port, with a clock that is turned by hand."""

    def __init__(
        self, sandbox: Sandbox, client: PortClient, clock: ManualClock, **options: Any
    ) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.owner = Owner()
        resync = ResyncClient(ConfigGeneration())
        self.system = ActorSystem(
            clock=clock,
            debug=True,
            context=functools.partial(IntegrationContext, resync=resync, integration=self.owner),
        )
        self.coordinator = Probe(self.system, name="coordinator").subscribe(IntegrationRegistered)
        resync.connect(self.coordinator.ref)
        backoff = Backoff(initial=2.0, maximum=2.0, jitter=0.0)
        self.actor = self.system.spawn(
            IntegrationActor, client, {"type": "KAFKA"}, backoff, name="integration", **options
        )
        self.settle()

    def register(self) -> None:
        self.actor.tell(Register())
        self.settle()

    def ask(self, number: int = 1) -> None:
        self.actor.tell(FetchConfig(number, self.coordinator.ref, f"run-{number}"))
        self.settle()

    def answers(self) -> list[ConfigFetched]:
        return [each for each in self.coordinator.received() if isinstance(each, ConfigFetched)]

    def requests(self) -> list[ConfigUpdated]:
        return [each for each in self.coordinator.received() if isinstance(each, ConfigUpdated)]

    def registrations(self) -> int:
        return sum(isinstance(each, IntegrationRegistered) for each in self.coordinator.received())

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds, settle=self.settle)
        self.settle()

    def settle(self) -> None:
        wait_idle(self.system, WITHIN)

    def calls(self) -> int:
        return sum(call.path.endswith("/integration/demo") for call in self.sandbox.calls)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_office(
    sandbox: Sandbox, connect: Callable[..., PortClient], clock: ManualClock
) -> Iterator[Callable[..., Office]]:
    made = []

    def make(url: str = sandbox.url, **options: Any) -> Office:
        made.append(Office(sandbox, connect(url), clock, **options))
        return made[-1]

    yield make
    for office in made:
        office.system.stop(WITHIN)


@pytest.fixture
def office(open_office: Callable[..., Office], sandbox: Sandbox) -> Office:
    """One that has registered."""
    sandbox.create_integration("demo", config={"a": 1})
    office = open_office()
    office.register()
    return office


# -- registration ------------------------------------------------------------------------------


def test_registration_comes_back_when_port_asks_it_to(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    sandbox.fail("status", 2, status=429, path=INTEGRATION, headers={"Retry-After": "30"})
    office = open_office()
    office.register()
    assert office.calls() == 1
    office.pass_seconds(31)
    assert office.calls() == 1, "not before Port says so, and the backoff after that"
    office.pass_seconds(1)
    assert office.calls() == 2
    office.pass_seconds(32)
    assert office.registrations() == 1


def test_registration_goes_on_for_as_long_as_it_takes(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    sandbox.fail("status", None, status=503, path=INTEGRATION)
    office = open_office()
    office.register()
    office.pass_seconds(300)
    assert office.calls() > 100
    sandbox.clear_faults()
    office.pass_seconds(2)
    assert office.registrations() == 1
    assert office.owner.shutdowns == []


def test_with_a_limit_it_fails_when_the_time_is_over(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    sandbox.fail("status", None, status=503, path=INTEGRATION)
    office = open_office(start_timeout=10)
    office.register()
    office.pass_seconds(9)
    assert office.owner.shutdowns == []
    office.pass_seconds(2)
    ((code, cause),) = office.owner.shutdowns
    assert code == 1
    assert cause is not None
    assert "503" in cause


def test_with_a_limit_a_lasting_cause_ends_it_at_once(open_office: Callable[..., Office]) -> None:
    office = open_office("http://no-such-port.invalid", start_timeout=300)
    office.register()
    ((code, cause),) = office.owner.shutdowns
    assert code == 1
    assert cause is not None
    assert "no-such-port.invalid" in cause


def test_without_a_limit_a_name_may_come_to_exist(open_office: Callable[..., Office]) -> None:
    office = open_office("http://no-such-port.invalid")
    office.register()
    assert office.owner.shutdowns == []


def test_an_integration_that_was_deleted_in_port_is_registered_again(
    office: Office, sandbox: Sandbox
) -> None:
    sandbox.delete_integration("demo")
    office.system.events.publish(IntegrationMissing())
    office.settle()
    known = sandbox.integration("demo")
    assert known is not None
    assert known["changelogDestination"] == {"type": "KAFKA"}


def test_so_it_is_while_it_polls() -> None:
    with SandboxedSystem([Quick]) as rig:
        rig.expect(RunEnded)
        rig.sandbox.delete_integration(rig.identifier)
        rig.sandbox.wait_for(lambda: rig.sandbox.integration(rig.identifier), WITHIN)
        rig.sandbox.set_config(rig.identifier, {"new": True})
        assert rig.expect(RunEnded).run.config == {"new": True}


# -- the config of a run -----------------------------------------------------------------------


def test_a_run_gets_the_config_that_port_holds(office: Office, sandbox: Sandbox) -> None:
    sandbox.set_config("demo", {"a": 2})
    office.ask()
    (answer,) = office.answers()
    assert (answer.number, answer.snapshot.config, answer.fresh) == (1, {"a": 2}, True)


def test_a_run_waits_for_the_config_while_port_fails(office: Office, sandbox: Sandbox) -> None:
    sandbox.fail("status", 3, status=500, path=INTEGRATION)
    sandbox.set_config("demo", {"a": 2})
    office.ask()
    assert office.answers() == []
    office.pass_seconds(6)
    (answer,) = office.answers()
    assert (answer.snapshot.config, answer.fresh) == ({"a": 2}, True)
    office.pass_seconds(600)
    assert office.requests() == []


def test_after_a_while_it_starts_with_the_last_config_and_catches_up(
    office: Office, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("status", None, status=500, path=INTEGRATION)
    sandbox.set_config("demo", {"a": 2})
    office.ask()
    office.pass_seconds(CONFIG_PATIENCE - 2)
    assert office.answers() == []
    office.pass_seconds(2)
    (answer,) = office.answers()
    assert (answer.snapshot.config, answer.fresh) == ({"a": 1}, False)
    assert caplog.text.count("run run-1 starts with the last known config") == 1
    office.pass_seconds(100)
    assert office.requests() == []
    sandbox.clear_faults()
    office.pass_seconds(2)
    (request,) = office.requests()
    assert request.snapshot is not None
    assert request.snapshot.config == {"a": 2}
    office.pass_seconds(100)
    assert len(office.requests()) == 1


def test_a_config_that_did_not_change_calls_for_no_other_run(
    office: Office, sandbox: Sandbox
) -> None:
    sandbox.fail("status", None, status=500, path=INTEGRATION)
    office.ask()
    office.pass_seconds(CONFIG_PATIENCE)
    assert not office.answers()[0].fresh
    sandbox.clear_faults()
    calls = office.calls()
    office.pass_seconds(100)
    assert office.requests() == []
    assert office.calls() == calls + 1


def test_a_later_run_takes_the_place_of_one_that_waits(office: Office, sandbox: Sandbox) -> None:
    sandbox.fail("status", 1, status=500, path=INTEGRATION)
    office.ask(1)
    office.ask(2)
    office.pass_seconds(100)
    assert [answer.number for answer in office.answers()] == [2]


def test_a_refusal_is_not_waited_for(office: Office, sandbox: Sandbox) -> None:
    sandbox.fail("status", None, status=403, path=INTEGRATION)
    office.ask()
    (answer,) = office.answers()
    assert not answer.fresh


def test_a_run_that_is_asked_for_before_port_was_reached_is_answered_then(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    sandbox.fail("status", 1, status=503, path=INTEGRATION)
    office = open_office()
    office.ask()
    assert office.answers() == []
    office.pass_seconds(2)
    assert [answer.fresh for answer in office.answers()] == [True]


def test_a_config_of_absurd_depth_costs_no_answer(office: Office, sandbox: Sandbox) -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(200):
        deep = {"a": deep}
    sandbox.set_config("demo", deep)
    office.ask()
    office.pass_seconds(CONFIG_PATIENCE)
    (answer,) = office.answers()
    assert (answer.snapshot.config, answer.fresh) == ({"a": 1}, False)
    sandbox.set_config("demo", {"repaired": True})
    office.pass_seconds(2)
    repaired = office.requests()[0].snapshot
    assert repaired is not None
    assert repaired.config == {"repaired": True}


def test_at_start_it_is_registered_as_soon_as_the_config_is_repaired(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(200):
        deep = {"a": deep}
    sandbox.create_integration("demo", config=deep)
    office = open_office()
    office.register()
    sandbox.set_config("demo", {})
    office.pass_seconds(2)
    assert office.registrations() == 1
    assert office.owner.shutdowns == []


# -- blueprints ------------------------------------------------------------------------------------

TEAM = freeze({"identifier": "team"})


def blueprints(sandbox: Sandbox) -> int:
    return sum((call.method, call.path) == ("POST", "/v1/blueprints") for call in sandbox.calls)


def test_a_standby_creates_no_blueprint_until_it_is_active(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    office = open_office(blueprints=[TEAM], active=False)
    office.register()
    office.pass_seconds(3600)
    assert office.registrations() == 1
    assert blueprints(sandbox) == 0
    office.actor.tell(RoleChanged(active=True))
    office.settle()
    assert blueprints(sandbox) == 1


def test_a_run_waits_for_its_blueprints_and_for_a_minute_at_most(
    open_office: Callable[..., Office], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    office = open_office(blueprints=[TEAM])
    sandbox.fail("status", status=503, times=None, method="POST", path="/blueprints$")
    office.register()
    office.ask()
    assert office.answers() == []
    for _ in range(int(CONFIG_PATIENCE) // 2 + 2):
        office.pass_seconds(2.0)
    assert len(office.answers()) == 1
    assert "run run-1 starts although its blueprints may be missing in Port" in caplog.text
    sandbox.clear_faults()
    office.pass_seconds(2.0)
    assert sandbox.entities("team") == []  # it was created all the same
    office.ask(2)
    assert len(office.answers()) == 2


def test_attempts_end_when_the_role_is_lost(
    open_office: Callable[..., Office], sandbox: Sandbox
) -> None:
    office = open_office(blueprints=[TEAM])
    sandbox.fail("status", status=503, method="POST", path="/blueprints$")
    office.register()
    assert blueprints(sandbox) == 1
    office.actor.tell(RoleChanged(active=False))
    office.pass_seconds(3600)
    assert blueprints(sandbox) == 1
