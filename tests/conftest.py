"""Fixtures that several folders use."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from scripted import Failing, Quick, Script, scripted_async_handler, scripted_handler

from ocean_actors import ResyncHandler

# For benchmarks/. At the end, so that tests get ocean_actors as it is installed.
sys.path.append(str(Path(__file__).parents[1]))

LONGEST_ID = 80
"""Characters of a parameter in the name of a test."""

# A busy machine may take any time. `--hypothesis-profile search` looks at other examples each time.
hypothesis.settings.register_profile(
    "search", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "tests", hypothesis.settings.get_profile("search"), derandomize=True
)
hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Make what tests see independent of how they are started."""
    _keep_bytecode_elsewhere(config)
    _hear_signals()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Returns the beginning of a long text, as the name of a test is printed in full."""
    if isinstance(val, bytes):
        val = val[: LONGEST_ID + 1].decode("latin-1")
    if isinstance(val, str) and len(val) > LONGEST_ID:
        return f"{val[:LONGEST_ID]}..."
    return None


def _keep_bytecode_elsewhere(config: pytest.Config) -> None:
    """Keep bytecode out of the source tree instead of not at all, where the environment says so.

    A hundred processes, started by tests, would compile what they import, which doubles their
    start.
    """
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(cache.mkdir("bytecode"))
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


def _hear_signals() -> None:
    """Stop ignoring what nohup and a shell's background ignore, as processes inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def reserve_port() -> Iterator[Callable[[], int]]:
    """Returns loopback ports that nobody else gets before the test ends.

    They are bound, and nothing listens on them. Linux lets a server bind them that sets
    SO_REUSEADDR, as all of ours do; other systems do not, so the ports are not kept there.
    """
    with contextlib.ExitStack() as stack:

        def reserve() -> int:
            place = stack.enter_context(socket.socket())
            place.bind(("127.0.0.1", 0))
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port: int = place.getsockname()[1]
            if sys.platform != "linux":
                place.close()
            return port

        yield reserve


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(script: Script) -> type[ResyncHandler]:
    return scripted_handler(script)


@pytest.fixture(params=[scripted_handler, scripted_async_handler], ids=["sync", "async"])
def handler(request: pytest.FixtureRequest, script: Script) -> type[ResyncHandler]:
    """Returns one that obeys an abort: once a plain method, once a coroutine."""
    handler: type[ResyncHandler] = request.param(script)
    return handler


@pytest.fixture
def quick() -> type[ResyncHandler]:
    return Quick


@pytest.fixture
def failing() -> type[ResyncHandler]:
    return Failing
