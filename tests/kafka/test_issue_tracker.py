"""The model integration, examples/issue_tracker: entities and live events under each listener."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from tracker import HOOK_SECRET, TOKEN, Tracker, serving

from ocean_actors import ResyncHandler, ResyncRun, RunEnded, RunStarted, Settings
from ocean_actors.loading import load_handlers
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem
from ocean_actors.testing.sandboxed import IDENTIFIER

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka")  # one worker, one broker

EXAMPLE = Path(__file__).parents[2] / "examples" / "issue_tracker"
CREDENTIALS = {"PORT_CLIENT_ID": "id", "PORT_CLIENT_SECRET": "secret"}
SETTINGS = Settings.from_file(EXAMPLE / "config.yaml", CREDENTIALS, dotenv=None)
ADMITTED = 1000
"""Calls a second of a tracker that does not slow a test down."""


class Held(ResyncHandler):
    """Keeps a run in flight until the test has seen what it wants to see."""

    seen: Callable[[], bool] = staticmethod(lambda: True)

    def resync(self, run: ResyncRun) -> None:
        while not type(self).seen():
            run.sleep(0.02)


@contextlib.contextmanager
def integration(
    tracker: Tracker, *more: Any, sandbox: Sandbox | None = None, **settings: Any
) -> Iterator[SandboxedSystem]:
    """The example at work, as config.yaml has it, with the tracker at its side."""
    seeds: dict[str, Any] = {"mapping": EXAMPLE / "mapping.yaml"} if sandbox is None else {}
    with serving(tracker) as url:
        rig = SandboxedSystem(
            [*load_handlers([], SETTINGS.handlers, EXAMPLE), *more],
            sandbox=sandbox,
            **seeds,
            integration={
                "identifier": IDENTIFIER,
                "config": {**SETTINGS.integration.config, "url": url},
            },
            **{"http": {"host": "127.0.0.1", "port": 0}, **settings},
        )
        with rig:
            tracker.hook = f"{rig.system.http_url}/live/tracker"
            yield rig


def entities(rig: SandboxedSystem) -> dict[tuple[str, str], Any]:
    return {
        (entity["blueprint"], entity["identifier"]): entity for entity in rig.sandbox.entities()
    }


def expect_all_of(tracker: Tracker, rig: SandboxedSystem) -> None:
    found = entities(rig)
    assert set(found) == {
        *(("user", login) for login in tracker.users),
        *(("project", key) for key in tracker.projects),
        *(("issue", key) for key in tracker.issues),
    }
    issue = found["issue", "P1-7"]
    assert (issue["title"], issue["properties"], issue["relations"]) == (
        "Issue 7 of P1",
        {"status": "open", "labels": ["bug"]},
        {"project": "P1", "assignee": "u7"},
    )
    project = found["project", "P3"]
    assert (project["properties"], project["relations"]) == ({"archived": True}, {"lead": "u3"})
    assert found["user", "u2"]["properties"] == {"email": "u2@x.io"}


def expect_live(tracker: Tracker, rig: SandboxedSystem) -> None:
    tracker.change("issue", "updated", {"id": "P1-7", "title": "Changed", "assignee": "u1"})
    tracker.change("issue", "deleted", {"id": "P2-3"})
    tracker.change("user", "created", {"login": "u99", "name": "New", "email": "new@x.io"})

    def arrived() -> bool:
        found = entities(rig)
        issue = found.get(("issue", "P1-7"), {})
        return (
            issue.get("title") == "Changed"
            and issue["relations"]["assignee"] == "u1"
            and ("issue", "P2-3") not in found
            and ("user", "u99") in found
        )

    rig.sandbox.wait_for(arrived, 30.0)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(projects=5, issues=30, users=12, limit=ADMITTED)


def test_under_polling_all_is_copied_and_live_events_arrive(tracker: Tracker) -> None:
    with integration(tracker) as rig:
        assert rig.expect(RunEnded).status == "completed"
        expect_all_of(tracker, rig)
        expect_live(tracker, rig)


def test_under_webhook_all_is_copied_and_live_events_arrive(
    tracker: Tracker, reserve_port: Callable[[], int]
) -> None:
    port = reserve_port()
    listener = {"type": "WEBHOOK", "appHost": f"http://127.0.0.1:{port}"}
    http = {"host": "127.0.0.1", "port": port}
    with integration(tracker, eventListener=listener, http=http) as rig:
        rig.sandbox.wait_for(lambda: rig.sandbox.integration(rig.identifier))
        rig.sandbox.request_resync(rig.identifier)
        assert rig.expect(RunEnded).status == "completed"
        expect_all_of(tracker, rig)
        expect_live(tracker, rig)


def test_under_kafka_all_is_copied_and_live_events_arrive(
    tracker: Tracker, make_organization: Callable[..., Organization]
) -> None:
    organization = make_organization(mapping=EXAMPLE / "mapping.yaml").make_topic()
    with integration(
        tracker, sandbox=organization.sandbox, eventListener=organization.listener()
    ) as rig:
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        assert rig.expect(RunEnded).status == "completed"
        expect_all_of(tracker, rig)
        expect_live(tracker, rig)


def test_under_once_live_events_arrive_beside_the_run_and_survive_it(tracker: Tracker) -> None:
    held = type("Held", (Held,), {"seen": staticmethod(lambda: False)})
    with integration(tracker, held, eventListener={"type": "ONCE"}) as rig:
        rig.expect(RunStarted)
        rig.sandbox.wait_for(lambda: ("issue", "P4-29") in entities(rig), 30.0)
        rig.sandbox.wait_for(lambda: ("user", "u11") in entities(rig), 30.0)
        expect_live(tracker, rig)
        held.seen = staticmethod(lambda: True)  # type: ignore[attr-defined]
        assert rig.expect(RunEnded).status == "completed"
        found = entities(rig)
        assert found["issue", "P1-7"]["title"] == "Changed"
        assert ("issue", "P2-3") not in found
        assert ("user", "u99") in found


def test_what_the_tracker_no_longer_has_is_deleted_by_the_next_run(tracker: Tracker) -> None:
    with integration(tracker) as rig:
        rig.expect(RunEnded)
        del tracker.issues["P0-0"]
        tracker.users["u1"]["name"] = "Renamed"
        rig.sandbox.request_resync(rig.identifier)
        assert rig.expect(RunEnded).written.deleted == 1
        found = entities(rig)
        assert ("issue", "P0-0") not in found
        assert found["user", "u1"]["title"] == "Renamed"


def test_the_mapping_in_port_decides_what_is_sent(tracker: Tracker) -> None:
    with integration(tracker) as rig:
        rig.expect(RunEnded)
        created = rig.sandbox.integration(rig.identifier)
        assert created is not None
        config = created["config"]
        for resource in config["resources"]:
            if resource["kind"] == "issue":
                resource["selector"]["query"] = '.status == "open"'
                resource["port"]["entity"]["mappings"]["title"] = ".id"
        rig.sandbox.set_config(rig.identifier, config)
        assert rig.expect(RunEnded).status == "completed"
        issues = {key: each for (kind, key), each in entities(rig).items() if kind == "issue"}
        assert set(issues) == {
            key for key, issue in tracker.issues.items() if issue["status"] == "open"
        }
        assert issues["P1-7"]["title"] == "P1-7"


def test_the_tracker_is_not_asked_more_often_than_it_allows() -> None:
    tracker = Tracker(limit=20)
    with integration(tracker) as rig:
        assert rig.expect(RunEnded).status == "completed"
        expect_all_of(tracker, rig)
        metrics = rig.system.metrics()[0].decode()
    assert tracker.refused == 0
    waited = re.findall(
        r"^ocean_actors_rate_limit_wait_seconds_total.* (\S+)$", metrics, re.MULTILINE
    )
    assert sum(map(float, waited)) > 0  # the handlers begin at once, and wait for each other


def test_a_call_that_the_tracker_did_not_sign_is_refused(tracker: Tracker) -> None:
    with integration(tracker) as rig:
        rig.expect(RunEnded)
        refused = requests.post(
            f"{rig.system.http_url}/live/tracker",
            json={"kind": "issue", "action": "deleted", "id": "P1-7"},
            headers={"X-Tracker-Signature": "0" * 64},
            timeout=10,
        )
        assert refused.status_code == 401


def test_it_is_short_and_its_settings_are_those_of_the_tracker() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in EXAMPLE.glob("*.py"))
    assert lines < 200
    config = SETTINGS.integration.config
    assert (config["token"], config["hookSecret"]) == (TOKEN, HOOK_SECRET)
