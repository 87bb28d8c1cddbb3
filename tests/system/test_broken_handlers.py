"""Handlers that are wrong in themselves cost their run, or are refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.loading import HandlerError, load_handler
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}


def test_a_handler_that_cannot_be_built_fails_its_run_and_is_built_anew_for_the_next() -> None:
    lives = iter([RuntimeError("no database"), None])

    class Unlucky(ResyncHandler):
        def __init__(self) -> None:
            if (error := next(lives)) is not None:
                raise error

        def resync(self, run: ResyncRun) -> None:
            pass

    with SandboxedSystem([Unlucky], eventListener=CALM) as rig:
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.failures) == ("failed", ("Unlucky: RuntimeError: no database",))
        rig.system.request_resync()
        assert rig.expect(RunEnded).status == "completed"


@pytest.mark.parametrize("way", ["def", "async def"])
def test_a_resync_that_yields_is_refused_as_it_would_do_nothing(tmp_path: Path, way: str) -> None:
    file = tmp_path / f"yielding_{way[:3]}.py"
    file.write_text(
        "from ocean_actors import ResyncHandler\n"
        "class Pages(ResyncHandler):\n"
        f"    {way} resync(self, run):\n"
        "        yield []\n"
    )
    with pytest.raises(HandlerError, match=r"Pages\.resync yields: .* run\.port\.upsert") as caught:
        load_handler(f"{file}:Pages")
    assert str(caught.value).endswith(f"({file}:2)")


@pytest.mark.parametrize("way", ["def", "async def"])
def test_a_resync_that_returns_a_generator_has_failed_as_nothing_was_done(way: str) -> None:
    made: dict[str, Any] = {}
    exec(f"{way} pages():\n    yield []\n", made)  # noqa: S102

    class Pages(ResyncHandler):
        def resync(self, run: ResyncRun) -> Any:
            return made["pages"]()

    with SandboxedSystem([Pages], eventListener=CALM) as rig:
        ended = rig.expect(RunEnded)
        assert ended.status == "failed"
        assert "which is not used: hand entities to run.port.upsert" in ended.failures[0]
