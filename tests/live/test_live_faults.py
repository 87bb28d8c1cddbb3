"""What goes wrong within live events: odd keys, a router that fails, a stop in the middle."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from rig import Hooked, counts, hooked, serving, tell, titles, wait_for_counts
from waiting import wait_until

from ocean_actors import Live, LiveCall, LiveEventFailed, LiveHandler
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ConfigSnapshot, IntegrationRegistered
from ocean_actors.testing import SandboxedSystem, wait_idle


def nothing(_call: LiveCall, _live: Live) -> None:
    """Does nothing."""


# -- keys ------------------------------------------------------------------------------------------


class Unhashable(str):
    """A text that no dictionary takes."""

    __slots__ = ()
    __hash__: Any = None


def keyed(key: Callable[[LiveCall], Any]) -> type[Hooked]:
    return hooked(nothing, key=lambda _self, call: key(call))


def test_a_key_of_an_odd_class_costs_no_event() -> None:
    with serving(keyed(lambda call: Unhashable(call.json()["id"]))) as rig:
        for _ in range(3):
            assert tell(rig, "A")[0] == 202
        wait_for_counts(rig, handled=3)
        assert rig.system.measure().restarts.values == {}


def test_a_key_that_is_a_coroutine_is_refused_without_a_warning_of_python() -> None:
    async def key() -> str:
        return "A"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with serving(keyed(lambda _call: key())) as rig:
            assert tell(rig, "A")[0] == 500
    assert [str(each.message) for each in caught if "never awaited" in str(each.message)] == []


# -- attributes that change ------------------------------------------------------------------------


def no_path(_handler: LiveHandler) -> str:
    raise OSError("no path")


@pytest.mark.parametrize("odd", ["slow", None, 0])
def test_what_a_handler_does_to_its_attributes_later_changes_nothing(odd: Any) -> None:
    class Spoiling(Hooked):
        capacity, capacity_bytes, workers, attempts, timeout = 10, 1000, 1, 1, 60.0

        def handle(self, call: LiveCall, live: Live) -> None:
            for name in ("capacity", "capacity_bytes", "workers", "attempts", "timeout", "backoff"):
                setattr(self, name, odd)
            setattr(type(self), "path", property(no_path))  # noqa: B010  (mypy knows a text there)
            if call.json()["id"] == "B":
                raise ValueError("wrong")

    with serving(Spoiling) as rig:
        assert tell(rig, "A")[0] == 202
        wait_for_counts(rig, handled=1)
        assert tell(rig, "B")[0] == 202
        failed = rig.expect(LiveEventFailed)
        assert (failed.path, failed.failure) == ("tracker", "ValueError: wrong")
        assert tell(rig, "C")[0] == 202
        wait_for_counts(rig, handled=2)
        assert rig.system.measure().restarts.values == {}


# -- a router that fails ---------------------------------------------------------------------------


def restarted(rig: SandboxedSystem) -> int:
    return sum(rig.system.measure().restarts.values.values())


def fail_router(rig: SandboxedSystem) -> None:
    """Simulate a bug of ours: a message with which the router fails."""
    live = rig.system._parts.live
    assert live is not None
    intake = live.intakes[0]
    event = IntegrationRegistered(ConfigSnapshot(FrozenDict()))
    object.__setattr__(event, "snapshot", None)  # that is the bug
    assert intake._router is not None
    intake._router.tell(event)
    wait_until(lambda: restarted(rig) == 1 and intake._router is not None, "another router")


def test_after_a_router_failed_the_end_of_an_old_attempt_is_not_that_of_a_new_one() -> None:
    begun = threading.Semaphore(0)
    go = {"old": threading.Event(), "new": threading.Event()}

    def work(call: LiveCall, _live: Live) -> None:
        begun.release()
        go[call.json()["id"]].wait(30)

    with serving(hooked(work)) as rig:
        tell(rig, "old")
        assert begun.acquire(timeout=30)
        fail_router(rig)
        assert tell(rig, "new")[0] == 202
        assert begun.acquire(timeout=30)
        go["old"].set()
        wait_until(lambda: not rig.system.status()["leftBehind"], "an end of the old attempt")
        wait_idle(rig.system._actors, parked="live-tracker-*")
        assert (counts(rig)["running"], counts(rig)["handled"]) == (1, 0)
        go["new"].set()
        wait_for_counts(rig, handled=1)


# -- a stop in the middle --------------------------------------------------------------------------


def test_an_attempt_that_the_stop_cuts_short_is_lost_and_not_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()

    def work(_call: LiveCall, live: Live) -> None:
        begun.set()
        while True:
            live.check()
            threading.Event().wait(0.01)

    caplog.set_level(logging.WARNING, "ocean_actors")
    with serving(hooked(work, attempts=1)) as rig:
        tell(rig, "A")
        assert begun.wait(30)
        rig.system.stop()
        assert counts(rig)["dead"] == 0
    assert "live events of tracker: 1 were accepted and not handled, and are lost" in caplog.text
    assert "took longer" not in caplog.text


# -- the log ---------------------------------------------------------------------------------------


def test_deletions_that_port_refuses_do_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(call: LiveCall, live: Live) -> None:
        live.port.delete("issue", [call.json()["id"]])

    with serving(hooked(work, workers=1)) as rig:
        rig.sandbox.fail("status", 1_000, path="/issue/", status=422)
        for number in range(20):
            tell(rig, f"A{number}")
        wait_for_counts(rig, handled=20)
    assert 0 < caplog.text.count("Port refuses to delete") <= 5


# -- identifiers -----------------------------------------------------------------------------------


def test_a_number_that_names_an_entity_names_the_same_one_in_upsert_and_delete() -> None:
    def work(call: LiveCall, live: Live) -> None:
        number = call.json()["number"]
        if call.json()["action"] == "deleted":
            assert live.port.delete("issue", [number]) == 1
        else:
            live.port.upsert("issue", [{"identifier": number, "title": "seven"}])

    with serving(hooked(work, attempts=1)) as rig:
        tell(rig, "A", number=7, action="updated")
        wait_until(lambda: titles(rig) == {"7": "seven"}, "the title")
        tell(rig, "A", number=7, action="deleted")
        wait_for_counts(rig, handled=2)
        assert titles(rig) == {}


@pytest.mark.parametrize(
    ("misuse", "failure"),
    [
        (lambda port: port.upsert(7, []), "blueprint: expected a string, got int"),
        (lambda port: port.upsert("issue", {}), "upsert takes many entities, got one dict"),
        (lambda port: port.delete(7, []), "blueprint: expected a string, got int"),
        (lambda port: port.delete("issue", "A"), "delete takes many identifiers, got one str"),
    ],
)
def test_one_in_place_of_many_and_a_blueprint_that_is_no_string_are_told(
    misuse: Callable[[Any], object], failure: str
) -> None:
    def work(_call: LiveCall, live: Live) -> None:
        misuse(live.port)

    with serving(hooked(work, attempts=1)) as rig:
        tell(rig, "A")
        assert rig.expect(LiveEventFailed).failure == f"TypeError: {failure}"
