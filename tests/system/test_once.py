"""ONCE is a job: it ends, with the cause, whatever keeps it from its resync."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ocean_actors.sandbox import Sandbox

WITHIN = 60.0
HANDLER = """
from ocean_actors import ResyncHandler, RetryLater

class Later(ResyncHandler):
    def resync(self, run):
        raise RetryLater(0, "rate limited")

class Quick(ResyncHandler):
    def resync(self, run):
        pass
"""


def run_once(
    folder: Path, url: str, handler: str = "Quick", **variables: str
) -> subprocess.CompletedProcess[str]:
    (folder / "job.py").write_text(HANDLER)
    environment: Mapping[str, str] = {
        "OCEAN__PORT__CLIENT_ID": "sandbox",
        "OCEAN__PORT__CLIENT_SECRET": "sandbox-secret",
        "OCEAN__PORT__BASE_URL": url,
        "OCEAN__EVENT_LISTENER__TYPE": "ONCE",
        "OCEAN__HTTP__PORT": "0",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "ocean_actors", "run", "--handler", f"job.py:{handler}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip


def test_an_address_that_refuses_ends_it_when_the_start_may_take_no_longer(
    tmp_path: Path, reserve_port: Callable[[], int]
) -> None:
    done = run_once(tmp_path, f"http://127.0.0.1:{reserve_port()}", OCEAN__START_TIMEOUT="1")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "Connection refused" in last
    assert "Traceback" not in done.stderr


def test_a_name_that_does_not_exist_ends_it_at_once(tmp_path: Path) -> None:
    done = run_once(tmp_path, "http://no-such-host.invalid", OCEAN__START_TIMEOUT="3600")
    assert done.returncode == 1
    assert "no-such-host.invalid" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_end_it_at_once(tmp_path: Path, status: int) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", None, status=status, path="/auth/access_token")
        done = run_once(tmp_path, sandbox.url, OCEAN__START_TIMEOUT="3600")
    assert done.returncode == 1
    assert "check port.clientId and port.clientSecret" in done.stderr.splitlines()[-1]


def test_a_handler_that_always_asks_for_later_is_given_up(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        done = run_once(tmp_path, sandbox.url, "Later")
        statuses = sandbox.statuses("my-custom-integration")
    assert done.returncode == 1
    assert statuses.count("failed") == 11  # the first run and ten retries
    assert "the resync of ONCE" in done.stderr.splitlines()[-1]


def test_it_ends_with_0_when_the_resync_completed(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        done = run_once(tmp_path, sandbox.url)
    assert done.returncode == 0
    assert "integration my-custom-integration stopped" in done.stderr.splitlines()[-1]


def test_a_report_that_port_does_not_accept_in_time_ends_it_with_1(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", None, status=503, path="/resync-state")
        done = run_once(tmp_path, sandbox.url, OCEAN__START_TIMEOUT="1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "completed, but Port did not accept the report of it within 1 s (startTimeout)" in last


def test_a_report_that_port_accepts_late_is_waited_for(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", 4, status=503, path="/resync-state")
        done = run_once(tmp_path, sandbox.url)
        assert sandbox.statuses("my-custom-integration") == ["running", "completed"]
    assert done.returncode == 0


def test_a_report_that_port_refuses_is_not_waited_for(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", None, status=422, path="/resync-state")
        done = run_once(tmp_path, sandbox.url, OCEAN__START_TIMEOUT="3600")
    assert done.returncode == 0
    assert "Port refused the report" in done.stderr
