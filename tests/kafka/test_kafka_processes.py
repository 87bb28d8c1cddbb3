"""Whole processes on the topic, some of which die in the middle of a run."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from waiting import wait_until

from ocean_actors.sandbox.broker import Broker

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka")

HANDLER = """
import os, pathlib
from ocean_actors import ResyncHandler

folder = pathlib.Path(__file__).parent

class Kept(ResyncHandler):
    def resync(self, run):
        with (folder / "log").open("a") as log:
            log.write(f"begin {os.getpid()}\\n")
        while not ((folder / "go").exists() or (folder / f"go-{os.getpid()}").exists()):
            run.sleep(0.01)
        with (folder / "log").open("a") as log:
            log.write(f"end {os.getpid()}\\n")
"""

RUN = "import sys; from ocean_actors.cli import main; sys.exit(main())"


class Processes:
    """Instances of one integration, and what their handlers did."""

    def __init__(
        self, folder: Path, organization: Organization, stack: contextlib.ExitStack
    ) -> None:
        self.folder = folder
        self.organization = organization
        self._stack = stack
        (folder / "handler.py").write_text(HANDLER)
        settings = {
            "port": {
                "clientId": organization.sandbox.client_id,
                "clientSecret": organization.sandbox.client_secret,
                "baseUrl": organization.sandbox.url,
            },
            "integration": {"identifier": "under-test"},
            "eventListener": organization.listener(sessionTimeout=3),
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))

    def start(self) -> subprocess.Popen[bytes]:
        handler = f"{self.folder / 'handler.py'}:Kept"
        output = self._stack.enter_context((self.folder / "output").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "run", str(self.folder / "config.yaml"),
             "--handler", handler],
            stdout=output, stderr=output,
        )  # fmt: skip
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def log(self) -> list[str]:
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []

    def expect(self, *lines: Any) -> None:
        wait_until(lambda: self.log() == list(lines), lambda: f"{lines}, not {self.log()}")

    def expect_output(self, text: str) -> None:
        wait_until(lambda: text in self.output(), text)

    def let_finish(self, process: subprocess.Popen[bytes] | None = None) -> None:
        (self.folder / ("go" if process is None else f"go-{process.pid}")).touch()


@pytest.fixture
def processes(
    tmp_path: Path, make_organization: Callable[..., Organization], own_broker: Broker
) -> Iterator[Processes]:
    with contextlib.ExitStack() as stack:
        organization = make_organization(own_broker.bootstrap).make_topic()
        yield Processes(tmp_path, organization, stack)


def test_a_request_outlives_a_kill_in_mid_run_and_is_served_once_more_only(
    processes: Processes,
) -> None:
    organization = processes.organization
    first = processes.start()
    processes.expect_output("consuming")
    organization.publish(organization.request())
    processes.expect(f"begin {first.pid}")
    first.kill()
    first.wait()
    assert organization.committed() in (None, 0)
    second = processes.start()
    processes.expect(f"begin {first.pid}", f"begin {second.pid}")
    processes.let_finish()
    served = [f"begin {first.pid}", f"begin {second.pid}", f"end {second.pid}"]
    processes.expect(*served)
    organization.expect_committed(1)
    second.kill()
    second.wait()
    before = processes.output().count("consuming")
    third = processes.start()
    wait_until(lambda: processes.output().count("consuming") > before, "another consumer")
    last = organization.publish({"context": {"integrationId": "other"}}, organization.request())
    organization.expect_committed(last + 1)
    processes.expect(*served, f"begin {third.pid}", f"end {third.pid}")


def test_the_standby_serves_what_a_killed_instance_left_and_nothing_more_is_heard_of_it(
    processes: Processes,
) -> None:
    organization = processes.organization
    first = processes.start()
    processes.expect_output("consuming")
    second = processes.start()
    processes.expect_output("standing by")
    organization.publish(organization.request())
    processes.expect(f"begin {first.pid}")
    first.kill()
    first.wait()
    processes.expect(f"begin {first.pid}", f"begin {second.pid}")
    processes.let_finish()
    organization.expect_committed(1)
    sandbox = organization.sandbox
    sandbox.wait_for(lambda: sandbox.statuses("under-test")[-1:] == ["completed"])
    statuses = sandbox.statuses("under-test")
    assert statuses[0] == "running"
    assert statuses[-2:] == ["running", "completed"]
    assert statuses.count("completed") == 1
    second.terminate()
    assert second.wait(30) == 0


def test_an_instance_that_was_asleep_too_long_gives_way(processes: Processes) -> None:
    """Stopped for longer than its session, it comes back to find another one at work."""
    organization = processes.organization
    first = processes.start()
    processes.expect_output("consuming")
    second = processes.start()
    processes.expect_output("standing by")
    organization.publish(organization.request())
    processes.expect(f"begin {first.pid}")
    sandbox = organization.sandbox
    sandbox.wait_for(lambda: sandbox.statuses("under-test") == ["running"])
    first.send_signal(signal.SIGSTOP)
    processes.expect(f"begin {first.pid}", f"begin {second.pid}")
    first.send_signal(signal.SIGCONT)
    processes.expect_output("this instance no longer leads")
    wait_until(lambda: processes.output().count("standing by") >= 2, "two standbys")
    assert processes.log() == [f"begin {first.pid}", f"begin {second.pid}"]
    processes.let_finish()
    organization.expect_committed(1)
    served = [f"begin {first.pid}", f"begin {second.pid}", f"end {second.pid}"]
    processes.expect(*served)
    # Nothing of the first is reported: its run is ended by the second, in Port as well.
    sandbox.wait_for(lambda: sandbox.statuses("under-test")[-1:] == ["completed"])
    assert sandbox.statuses("under-test") == ["running", "aborted", "running", "completed"]


def test_what_an_instance_ends_right_after_it_slept_is_not_reported(processes: Processes) -> None:
    """It ends its run before the broker could tell it that another one has taken over."""
    organization = processes.organization
    first = processes.start()
    processes.expect_output("consuming")
    second = processes.start()
    processes.expect_output("standing by")
    organization.publish(organization.request())
    processes.expect(f"begin {first.pid}")
    sandbox = organization.sandbox
    sandbox.wait_for(lambda: sandbox.statuses("under-test") == ["running"])
    first.send_signal(signal.SIGSTOP)
    processes.expect(f"begin {first.pid}", f"begin {second.pid}")
    sandbox.wait_for(lambda: sandbox.statuses("under-test") == ["running", "aborted", "running"])
    processes.let_finish(first)
    first.send_signal(signal.SIGCONT)
    wait_until(lambda: processes.output().count("standing by") >= 2, "two standbys")
    processes.let_finish(second)
    wait_until(lambda: f"end {second.pid}" in processes.log(), "the end of a run")
    organization.expect_committed(1)
    sandbox.wait_for(lambda: sandbox.statuses("under-test")[-1:] == ["completed"])
    assert sandbox.statuses("under-test") == ["running", "aborted", "running", "completed"]
