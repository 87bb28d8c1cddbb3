"""A logging handler that raises costs its record, not its caller."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from ocean_actors import log
from ocean_actors.log import get_logger

NAME = "ocean_actors.test_log"


class Broken(logging.Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    monkeypatch.setattr(log, "_reported", set())
    logger = get_logger(NAME)
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def test_the_caller_goes_on_and_the_first_failure_of_a_type_is_on_stderr(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(Broken(ConnectionError("server away\nforged line")))
    for _ in range(3):
        logger.error("an error")
    (line,) = capsys.readouterr().err.splitlines()
    assert "a logging handler raised ConnectionError: server away forged line" in line


def test_an_interrupt_is_not_swallowed(logger: logging.Logger) -> None:
    logger.addHandler(Broken(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        logger.error("an error")


def test_it_is_the_ordinary_logger_and_its_records_keep_their_place(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    assert get_logger(NAME) is logging.getLogger(NAME) is logger
    logger.error("an error")
    assert caplog.records[0].filename == "test_log.py"
