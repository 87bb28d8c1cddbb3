"""What the lines of a run carry, for whoever embeds the package."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable

import pytest

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings
from ocean_actors.log import ContextFilter, LogContext, RunLogger, get_logger
from ocean_actors.sandbox import Sandbox

OTHER = logging.getLogger("somebody.else")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.addFilter(ContextFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def about(self, message: str) -> tuple[str | None, ...]:
        """What the one record with that message carries."""
        (record,) = (record for record in self.records if record.getMessage() == message)
        names = ("integration", "run", "trigger", "handler")
        return tuple(getattr(record, name) for name in names)


@pytest.fixture
def log(attach: Callable[[logging.Handler, int], None]) -> Kept:
    handler = Kept()
    attach(handler, logging.INFO)
    return handler


class InThreads(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        OTHER.info("in the handler's thread")
        context = contextvars.copy_context()
        targets = (
            lambda: OTHER.info("in a bare thread"),
            lambda: run.logger.info("through run.logger", extra={"page": 7}),
            lambda: context.run(OTHER.info, "in a copied context"),
        )
        for target in targets:
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()


class InTasks(ResyncHandler):
    async def resync(self, run: ResyncRun) -> None:
        async def task() -> None:
            OTHER.info("in a task")

        await asyncio.gather(task(), asyncio.to_thread(OTHER.info, "in to_thread"))


def test_every_line_of_a_run_carries_run_trigger_and_handler(log: Kept) -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_dict(
            {
                "port": {
                    "clientId": sandbox.client_id,
                    "clientSecret": sandbox.client_secret,
                    "baseUrl": sandbox.url,
                },
                "integration": {"identifier": "mine"},
                "eventListener": {"type": "ONCE"},
            },
            env={},
        )
        with OceanSystem(settings, [InThreads, InTasks]) as system:
            assert system.wait(60)
    (ended,) = (
        each.getMessage() for each in log.records if " completed after " in each.getMessage()
    )
    run = ended.split()[1]
    in_threads, in_tasks = ("mine", run, "once", "InThreads"), ("mine", run, "once", "InTasks")
    assert log.about("in the handler's thread") == in_threads
    assert log.about("through run.logger") == in_threads
    assert log.about("in a copied context") == in_threads
    assert log.about("in a bare thread") == (None, None, None, None)
    assert log.about("in a task") == log.about("in to_thread") == in_tasks
    assert log.about(ended) == ("mine", run, "once", None)
    assert log.about("integration mine stopped") == ("mine", None, None, None)
    (paged,) = (record for record in log.records if hasattr(record, "page"))
    assert paged.name == "ocean_actors.run.InThreads"
    assert paged.page == 7


def test_the_library_changes_nothing_of_the_process_that_embeds_it(log: Kept) -> None:
    assert logging.getLogRecordFactory() is logging.LogRecord
    assert not logging.getLogger("ocean_actors").handlers
    assert not logging.getLogger("ocean_actors").filters


def test_a_lines_own_extra_cannot_change_which_run_it_is_of(log: Kept) -> None:
    logger = RunLogger(get_logger("ocean_actors.run.x"), LogContext("mine", "run-1", "x", "y"))
    logger.warning("said", extra={"run": "forged", "handler": "forged"})
    assert log.about("said") == ("mine", "run-1", "x", "y")


def test_lines_outside_of_an_integration_carry_the_filters_own() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "said", None, None)
    assert ContextFilter("mine").filter(record)
    assert record.__dict__["integration"] == "mine"
    assert record.__dict__["run"] is None
