"""Instances of one integration, each a process of its own that may be killed and stopped.

They are forked from a process that has imported everything: starting one takes milliseconds.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from waiting import wait_until

from ocean_actors.port_time import parse_time
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

WITHIN = 60.0
PAUSE = 0.1  # seconds between two batches of entities
IDENTIFIER = "under-test"

TEMPLATE = """
import importlib, json, logging, os, signal, sys, time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import ocean_actors.leader.postgres, ocean_actors.listeners.webhook.setup
import ocean_actors.listeners.once, ocean_actors.listeners.polling, ocean_actors.web.server
from ocean_actors import OceanSystem, ResyncHandler, Settings
from ocean_actors.actors import SystemClock

# as if the server had run for long: after its start nobody leads for the time to live
ocean_actors.leader.postgres.PostgresElection.uptime = "SELECT 1e9::float8"

class Writes(ResyncHandler):
    kinds = ("seen",)

    def resync(self, run):
        config, number = run.settings.integration.config, 0
        while True:
            number += 1
            run.port.upsert("seen", [{"identifier": f"{run.id} {number}"}])
            if Path(config["gate"]).exists():
                return
            run.sleep(config["pause"])

class Fast(SystemClock):
    def __init__(self, speed):
        super().__init__()
        self.speed = speed
        self.began = time.time()

    def monotonic(self):
        return time.monotonic() * self.speed

    def now(self):
        since_epoch = time.time() * self.speed  # the same for all instances
        return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=since_epoch % 3e8)

    def _turn(self):  # waits are in real seconds
        while not self._closed:
            while (call := self._pop_due(self.monotonic())) is not None:
                self._call(call[1])
            with self._changed:
                if self._heap and not self._closed:
                    wait = (self._heap[0].due - self.monotonic()) / self.speed
                    self._changed.wait(max(0.0, wait))
                elif not self._closed:
                    self._changed.wait()

def work(order):
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    os.dup2(log, 1)
    os.close(0)
    logging.basicConfig(level=logging.INFO, force=True, format="%(asctime)s %(message)s")
    speed = order["speed"]
    clock = SystemClock() if speed == 1 else Fast(speed)
    system = OceanSystem(Settings.from_dict(order["settings"], {}), [Writes], clock=clock)
    signal.signal(signal.SIGTERM, lambda *_: system.shutdown())
    with system:
        system.wait()
    os._exit(system.exit_code)

for line in sys.stdin:
    order = json.loads(line)
    if "import" in order:
        importlib.import_module(order["import"])
        print(0, flush=True)
        continue
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if not pid:
        work(order)
    print(pid, flush=True)
"""


class Template:
    """The process that the instances are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", TEMPLATE], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def order(self, order: dict[str, Any]) -> int:
        """Have an instance started or waited for; returns its pid or its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=WITHIN)


class Instance:
    """One process. `name` is the `integration.type`, by which the sandbox knows who calls."""

    def __init__(self, name: str, pid: int, log: Path, template: Template) -> None:
        self.name = name
        self.pid = pid
        self._log = log
        self._template = template
        self.ended = False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at any instruction."""
        if not self.ended:
            self.signal(signal.SIGKILL)
            self.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """Stop it as a platform does; returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        self.ended = True
        return self._template.order({"wait": self.pid})

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


class Processes:
    """Starts instances against a sandbox, and reads there what each has done."""

    def __init__(
        self, folder: Path, sandbox: Sandbox, leader: dict[str, Any], template: Template
    ) -> None:
        self.sandbox = sandbox
        self.leader = leader
        self.instances: list[Instance] = []
        self._folder = folder
        self._gate = folder / "gate"
        sandbox.create_blueprint("seen")
        self._template = template

    def start(self, listener: dict[str, Any], speed: int = 1, **more: Any) -> Instance:
        name = f"i{len(self.instances)}"
        log = self._folder / f"{name}.log"
        settings = {
            "port": port_of(self.sandbox),
            "integration": {
                "identifier": IDENTIFIER,
                "type": name,
                "config": {"gate": str(self._gate), "pause": PAUSE * speed},
            },
            "eventListener": listener,
            "leader": self.leader,
            "http": {"host": "127.0.0.1", "port": 0},
            **more,
        }
        pid = self._template.order({"settings": settings, "log": str(log), "speed": speed})
        self.instances.append(Instance(name, pid, log, self._template))
        return self.instances[-1]

    def close(self) -> None:
        for instance in self.instances:
            with contextlib.suppress(ProcessLookupError):
                instance.kill()

    # -- what the runs are to do, and what they did -------------------------------------------

    def let_finish(self) -> None:
        """Have the runs end after their next entity."""
        self._gate.touch()

    def hold(self) -> None:
        """Have the runs go on writing until `let_finish`."""
        self._gate.unlink(missing_ok=True)

    def writes(self) -> list[tuple[str, str]]:
        """Returns the batches of entities in their order: instance, and the id of the run."""
        return [
            (_instance_of(call), call.query["ocean_info_resync_id"])
            for call in self.sandbox.calls
            if call.path.endswith("/entities/bulk")
        ]

    def reporters(self) -> list[str]:
        """Returns who sent each report."""
        return [
            _instance_of(call)
            for call in self.sandbox.calls
            if call.method == "PATCH" and call.path.endswith("/resync-state")
        ]

    def changes_by(self, instance: Instance) -> int:
        """Returns how many calls of an instance changed anything in Port."""
        return sum(
            _instance_of(call) == instance.name
            for call in self.sandbox.calls
            if call.method != "GET" and not call.path.endswith("/access_token")
        )

    def at_work(self) -> Instance:
        """Wait for a run that is reported and writes entities; returns whose it is."""

        def working() -> str | None:
            writes, statuses = self.writes(), self.sandbox.statuses(IDENTIFIER)
            if not writes or statuses[-1:] != ["running"]:
                return None
            name = writes[-1][0]
            return name if self.reporters()[-1] == name else None

        name = wait_until(working, "a run at work")
        return next(each for each in self.instances if each.name == name)

    def completed_since(self, moment: str) -> bool:
        """Returns whether a run that began later than `moment` has completed."""
        reports = self.sandbox.reports(IDENTIFIER)
        return any(
            start["status"] == "running" and end["status"] == "completed"
            and _time(start["lastResyncStart"]) > _time(moment)
            for start, end in itertools.pairwise(reports)
        )  # fmt: skip

    def statuses(self) -> list[str | None]:
        return self.sandbox.statuses(IDENTIFIER)

    def check_one_run_at_a_time(self) -> None:
        """Raises AssertionError if the entities of two runs came interleaved."""
        runs = [run for run, _ in groupby(run for _, run in self.writes())]
        assert len(runs) == len(set(runs)), f"runs overlap: {runs}"


def _time(text: str) -> datetime:
    found = parse_time(text)
    assert found is not None
    return found


def _instance_of(call: Any) -> str:
    headers = {name.lower(): value for name, value in call.headers.items()}
    parts = headers.get("user-agent", "").split("/")
    return parts[1] if len(parts) > 1 else ""


@contextlib.contextmanager
def processes(folder: Path, leader: dict[str, Any], template: Template) -> Iterator[Processes]:
    """Make a sandbox and instances that compete there."""
    with Sandbox() as sandbox:
        found = Processes(folder, sandbox, leader, template)
        try:
            yield found
        finally:
            found.close()
