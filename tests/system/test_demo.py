"""`ocean-actors demo`, as a user sees it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "import sys; from ocean_actors.cli import main; sys.exit(main())"]


@pytest.mark.parametrize("listener", ["polling", "webhook"])
def test_the_demo_shows_an_abort_and_ends_by_itself(listener: str) -> None:
    done = subprocess.run(  # noqa: S603
        [*COMMAND, "demo", "--listener", listener],
        capture_output=True, text=True, timeout=60, check=False,
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
    demo = subprocess.Popen(  # noqa: S603
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (1, "ocean-actors: interrupted\n")
