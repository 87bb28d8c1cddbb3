"""What may be handed to `OceanSystem(actors=[…])`, and what it is built from."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from ocean_actors import (
    Actor,
    OceanSystem,
    ResyncHandler,
    RoleChanged,
    RunEnded,
    RunStarted,
    Settings,
    handles,
    system,
)
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ConfigSnapshot
from ocean_actors.resync.coordinator import ResyncCoordinator
from ocean_actors.testing import SandboxedSystem

WITHIN = 30.0


class Greeter(Actor):
    def __init__(self, built: Any, name: str, parent: Any = None) -> None:
        super().__init__()
        built.append((name, parent))


def test_a_custom_actor_is_given_all_its_arguments_whatever_they_are_called(
    quick: type[ResyncHandler],
) -> None:
    built: list[tuple[str, str]] = []
    greeter = functools.partial(Greeter, built, name="Ada", parent="Annabella")
    with SandboxedSystem([quick], [greeter, greeter]) as rig:
        names = [
            each["name"] for each in rig.system.status()["actors"] if each["type"] == "Greeter"
        ]
        assert names == ["Greeter", "Greeter-2"]
    assert built == [("Ada", "Annabella")] * 2


@pytest.mark.parametrize("wrong", [lambda: Greeter([], "Ada"), ResyncHandler, 7])
def test_what_is_no_class_of_actors_is_refused_before_anything_starts(
    quick: type[ResyncHandler], wrong: Any
) -> None:
    port = {"clientId": "id", "clientSecret": "secret", "baseUrl": "http://127.0.0.1:9"}
    settings = Settings.from_dict({"port": port, "integration": {"identifier": "demo"}}, {})
    with pytest.raises(TypeError, match="expected Actor classes"):
        OceanSystem(settings, [quick], [wrong])


class Calling(Actor):
    """Calls `work` with its context at its start, and notes what that raises."""

    def __init__(self, work: Callable[[Any], object], raised: queue.Queue[str]) -> None:
        super().__init__()
        self._work = work
        self._raised = raised

    def on_start(self) -> None:
        try:
            self._work(self.context)
        except TypeError as error:
            self._raised.put(str(error))


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda context: context.config_updated("new", {"a": 1}), "snapshot: expected"),
        (
            lambda context: context.config_updated("new", ConfigSnapshot({"a": 1})),  # type: ignore[arg-type]
            "config: expected",
        ),
        (
            lambda context: context.config_updated(
                "new",
                ConfigSnapshot(FrozenDict(), "now"),  # type: ignore[arg-type]
            ),
            "updated_at: expected",
        ),
    ],
    ids=["no snapshot", "no frozen config", "no time"],
)
def test_a_config_that_cannot_be_used_is_refused_where_it_is_given(
    quick: type[ResyncHandler], work: Callable[[Any], object], said: str
) -> None:
    raised: queue.Queue[str] = queue.Queue()
    with SandboxedSystem([quick], [functools.partial(Calling, work, raised)]) as rig:
        assert said in raised.get(timeout=30.0)
        rig.expect(RunEnded)
        rig.system.request_resync("again")
        assert rig.expect(RunEnded).status == "completed"


def test_a_time_without_a_zone_is_one_in_utc() -> None:
    naive = ConfigSnapshot(FrozenDict(), datetime(2026, 1, 2))
    aware = ConfigSnapshot(FrozenDict(), datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert aware.newer(naive) is naive


def test_an_actor_learns_the_role_at_its_start_and_when_it_changes(
    quick: type[ResyncHandler],
) -> None:
    roles: queue.Queue[bool] = queue.Queue()
    with SandboxedSystem([quick], [functools.partial(RoleKeeper, roles)]) as rig:
        assert roles.get(timeout=30)
        rig.system._resync.set_role(active=False)
        assert not roles.get(timeout=30)


class RoleKeeper(Actor):
    subscribes_to = (RoleChanged,)

    def __init__(self, roles: queue.Queue[bool]) -> None:
        super().__init__()
        self._roles = roles

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        self._roles.put(event.active)


class Busy(Actor):
    """Is at work from the start of a run until `go_on`; then hears how the run has ended."""

    subscribes_to = (RunStarted, RunEnded)

    def __init__(self, go_on: threading.Event, heard: list[str]) -> None:
        super().__init__()
        self._go_on, self._heard = go_on, heard

    @handles(RunStarted)
    def wait(self, _event: RunStarted) -> None:
        assert self._go_on.wait(WITHIN)

    @handles(RunEnded)
    def note(self, event: RunEnded) -> None:
        self._heard.append(event.status)


def test_the_last_events_are_heard_before_the_stop(
    quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONCE ends the system as soon as its run has ended."""
    monkeypatch.setattr(system, "FLUSH_SECONDS", WITHIN)
    go_on, heard = threading.Event(), list[str]()
    busy = functools.partial(Busy, go_on, heard)
    with SandboxedSystem([quick], [busy], eventListener={"type": "ONCE"}) as rig:
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "completed"], WITHIN)
        assert not rig.system.wait(0.05)
        go_on.set()
        assert rig.system.wait(WITHIN)
    assert heard == ["completed"]


def test_port_is_told_of_the_end_of_a_run_before_anybody_can_stop_the_system(
    quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = threading.Event()
    early: list[bool] = []
    report = ResyncCoordinator._report

    class Hears(Actor):
        subscribes_to = (RunEnded,)

        @handles(RunEnded)
        def on_ended(self, _event: RunEnded) -> None:
            published.set()

    def look_and_report(coordinator: ResyncCoordinator, event: Any) -> None:
        if isinstance(event, RunEnded):
            early.append(published.wait(0.2))
        report(coordinator, event)

    monkeypatch.setattr(ResyncCoordinator, "_report", look_and_report)
    with SandboxedSystem([quick], [Hears]) as rig:
        rig.expect(RunEnded)
    assert early == [False]
