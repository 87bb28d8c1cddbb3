"""`ocean-actors demo`, as a user sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from ocean_actors import ResyncHandler, RunEnded
from ocean_actors.testing import SandboxedSystem

COMMAND = [sys.executable, "-m", "ocean_actors"]


NOBODY = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), NOBODY)


@pytest.mark.parametrize(
    ("listener", "proxies"), [("polling", {}), ("webhook", PROXIES)], ids=["polling", "proxies"]
)
def test_the_demo_shows_an_abort_and_ends_by_itself_in_spite_of_a_proxy(
    listener: str, proxies: dict[str, str]
) -> None:
    kept = {name: text for name, text in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run(
        [*COMMAND, "demo", "--listener", listener],
        capture_output=True, text=True, timeout=110, check=False, env={**kept, **proxies},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    statuses = [row.split("│")[3].strip() for row in rows]
    assert statuses.count("aborted") >= 1
    assert statuses.count("completed") == 3
    assert statuses[-1] == "completed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_in_a_line(number: Any) -> None:
    demo = subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
    # CPython ends itself by SIGINT if one has interrupted an `exec`, of which importing dataclasses
    # has many, even if the exception was caught.
    assert demo.returncode in (1, -signal.SIGINT)
    assert errors == "ocean-actors: interrupted\n"


def test_a_system_of_the_test_kit_reaches_its_sandbox_in_spite_of_a_proxy(
    quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with SandboxedSystem([quick]) as rig:
        assert rig.expect(RunEnded).status == "completed"
