"""The table of docs/recovery.md, row by row, against the sandbox; and clocks that differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from scripted import Script

from ocean_actors import ResyncHandler, RunEnded, system
from ocean_actors.port.client import PortClient
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.settings import Settings
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import port_of

PAGE = (Path(__file__).parents[2] / "docs" / "recovery.md").read_text()
NAME = "under-test"
NOTHING = "\N{EN DASH}"
HOUR = timedelta(hours=1)
WITHIN = 30.0
ANY_PORT = {"host": "127.0.0.1", "port": 0}

WEBHOOK = {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}
LISTENERS = {
    "POLLING": {"type": "POLLING", "interval": 0.05},
    "POLLING, `resyncOnStart: false`": {
        "type": "POLLING", "interval": 0.05, "resyncOnStart": False,
    },
    "WEBHOOK": WEBHOOK,
    "ONCE": {"type": "ONCE"},
}  # fmt: skip


class Past:
    """An earlier process of the integration, as the sandbox remembers it."""

    def __init__(
        self, sandbox: Sandbox, clock: ManualClock, listener: Any, ahead: Any = timedelta(0)
    ) -> None:
        self.sandbox = sandbox
        self.listener = listener
        self.clock = clock  # the sandbox's
        self.ahead = ahead  # the process's clock, of the sandbox's
        settings = Settings.from_dict(
            {"port": port_of(sandbox), "integration": {"identifier": NAME}}, {}
        )
        with PortClient(settings.port, settings.integration) as client:
            self._report = client.report_resync_state
            self.happens()

    def happens(self) -> None:
        raise NotImplementedError

    def registered(self) -> None:
        url = f"{self.listener.get('appHost')}/resync"
        webhook = {"type": "WEBHOOK", "url": url}
        destination = webhook if self.listener["type"] == "WEBHOOK" else {}
        self.sandbox.create_integration(NAME, changelogDestination=destination)

    def begins(self) -> None:
        body = {"status": "running", "lastResyncStart": self.now(), "lastResyncEnd": None}
        self._report({**body, "nextResync": None, "intervalInMinuets": None})

    def ends(self, status: str, next_resync: Any = None) -> None:
        body = {"status": status, "lastResyncEnd": self.now()}
        interval = None if next_resync is None else 60
        self._report({**body, "nextResync": next_resync, "intervalInMinuets": interval})

    def requested(self) -> None:
        self.sandbox.request_resync(NAME)

    def saved(self, **how: Any) -> None:
        self.sandbox.set_config(NAME, {"resources": [{"kind": "new"}]}, **how)

    def now(self, later: Any = timedelta(0)) -> Any:
        return (self.clock.now() + self.ahead + later).isoformat()


def past(*steps: Any) -> Any:
    """A `Past` in which these happen: names of its methods, with arguments."""

    class Told(Past):
        def happens(self) -> None:
            for step in steps:
                step(self)
                self.clock.advance(60.0)  # Port's clock is not known exactly

    return Told


begun = (Past.registered, Past.begins)
completed = (*begun, lambda past: past.ends("completed"))

PASTS = {
    "the integration is unknown": past(),
    "no run yet, no request": past(Past.registered),
    "no run yet, a request": past(Past.registered, Past.requested),
    "the last run is `running`": past(*begun),
    "the last run was `aborted`": past(*begun, lambda past: past.ends("aborted")),
    "the last run `failed`": past(*begun, lambda past: past.ends("failed")),
    "`completed`, nothing since": past(*completed),
    "`completed`, a request older than its start": past(
        Past.registered, Past.requested, Past.begins, lambda past: past.ends("completed")
    ),
    "`completed`, a request during the run": past(
        *begun, Past.requested, lambda past: past.ends("completed")
    ),
    "`completed`, a request after its end": past(*completed, Past.requested),
    "`completed`, then the config was saved": past(*completed, Past.saved),
    "`completed`, then the config was saved with `x-skip-resync`": past(
        *completed, lambda past: past.saved(skip_resync=True)
    ),
    "`completed`, and `nextResync` is over": past(
        *begun, lambda past: past.ends("completed", past.now(-HOUR))
    ),
    "`completed`, and `nextResync` is to come": past(
        *begun, lambda past: past.ends("completed", past.now(HOUR))
    ),
}


def table() -> Any:
    """The first table of the page: {row: {listener: whether it runs}}."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"\s*\|\s*", line)[1:-1]] for line in lines]
    head, rows = cells[0][1:], cells[2:]
    assert all(set(row[1:]) <= {"run", NOTHING} for row in rows)
    return {
        row[0]: dict(zip(head, [cell == "run" for cell in row[1:]], strict=True)) for row in rows
    }


def test_every_row_and_listener_of_the_page_is_tested() -> None:
    assert list(table()) == list(PASTS)
    assert all(list(row) == list(LISTENERS) for row in table().values())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(timezone.utc) - HOUR / 2)


@pytest.fixture
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as sandbox:
        yield sandbox


def questions(sandbox: Sandbox) -> Any:
    return sum(call.path.endswith("/resync-request") for call in sandbox.calls)


def ran_at_start(sandbox: Sandbox, listener: Any, quick: type[ResyncHandler]) -> Any:
    """Start an integration, and tell whether it runs a resync by itself: its reason, or None."""
    with SandboxedSystem([quick], sandbox=sandbox, eventListener=listener, http=ANY_PORT) as rig:
        if listener["type"] == "ONCE":
            assert rig.system.wait(WITHIN)
            assert rig.system.exit_code == 0
            return rig.expect(RunEnded).run.reason
        several = 3 if listener["type"] == "POLLING" else 1
        sandbox.wait_for(lambda: questions(sandbox) >= several, WITHIN)
        wait_idle(rig.system._actors)
        runs = rig.system.status()["resync"]["runs"]
    assert len(runs) <= 1  # once, however often it is looked at
    return runs[0]["reason"] if runs else None


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("row", PASTS)
def test_a_restart_does_what_the_table_says(
    sandbox: Sandbox, clock: ManualClock, quick: type[ResyncHandler], row: Any, listener: Any
) -> None:
    PASTS[row](sandbox, clock, LISTENERS[listener])
    before = runs_of(sandbox.reports(NAME))
    reason = ran_at_start(sandbox, LISTENERS[listener], quick)
    expected = table()[row][listener]
    assert (reason is not None) == expected
    left = ["aborted" if status == "running" else status for status in before]
    assert runs_of(sandbox.reports(NAME)) == [*left, *["completed"] * expected]


@pytest.mark.parametrize(
    ("ahead", "requested", "runs"),
    [
        (HOUR, "before", False),
        (HOUR, "during", True),
        (HOUR, "after", True),
        (-HOUR, "during", True),
        (-HOUR, "after", True),
        (-HOUR, "before", True),  # one too many: better than one too few
    ],
)
def test_a_request_is_found_however_wrong_the_clock_of_the_process_was(
    sandbox: Sandbox,
    clock: ManualClock,
    quick: type[ResyncHandler],
    ahead: Any,
    requested: str,
    runs: bool,
) -> None:
    steps: dict[str, Callable[[Past], None] | None] = {
        "registered": Past.registered,
        "before": None,
        "begins": Past.begins,
        "during": None,
    }
    steps.update(ends=lambda past: past.ends("completed"), after=None)
    steps[requested] = Past.requested
    past(*(step for step in steps.values() if step is not None))(sandbox, clock, WEBHOOK, ahead)
    reason = ran_at_start(sandbox, WEBHOOK, quick)
    assert (reason is not None) == runs


def test_what_a_clean_stop_left_unserved_is_run_by_the_next_start(
    sandbox: Sandbox,
    script: Script,
    scripted: type[ResyncHandler],
    quick: type[ResyncHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system, "FLUSH_SECONDS", WITHIN)
    quiet = LISTENERS["POLLING, `resyncOnStart: false`"]
    with SandboxedSystem([scripted], sandbox=sandbox, eventListener=quiet) as rig:
        sandbox.wait_for(lambda: questions(sandbox) >= 1, WITHIN)
        rig.system.request_resync("button")
        script.wait_until_at_work()
    assert runs_of(sandbox.reports(NAME)) == ["aborted"]
    assert ran_at_start(sandbox, quiet, quick) == "the last run was aborted"
    assert runs_of(sandbox.reports(NAME)) == ["aborted", "completed"]
