"""Logging neither fails nor blocks whoever logs."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ocean_actors import log
from ocean_actors.log import get_logger
from ocean_actors.log_output import queued
from ocean_actors.log_output.queued import QueuedHandler

NAME = "ocean_actors.test_log"


class Broken(logging.Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


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


def test_lines_are_written_in_their_order_and_complete(logger: logging.Logger) -> None:
    reader, writer = os.pipe()
    handler = QueuedHandler(writer)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    for number in range(100):
        logger.warning("line %d", number)
    logger.removeHandler(handler)
    handler.close()
    os.close(writer)
    with open(reader) as log_file:
        assert log_file.read().splitlines() == [f"WARNING line {number}" for number in range(100)]


def test_a_log_that_is_not_read_loses_lines_and_says_how_many(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(logger, "propagate", False)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"\n" * (1 << 20))  # fills the pipe, which holds less
    os.set_blocking(writer, True)
    handler = QueuedHandler(writer, limit=10)
    logger.addHandler(handler)
    for number in range(1_000):
        logger.warning("%s", str(number).rjust(1_000, "x"))
    handler.flush()  # returns although nobody reads
    assert handler._lines.unfinished_tasks
    text = b""
    dropped = written = 0
    while dropped + written < 1_000:
        text += os.read(reader, 1 << 20)
        lines = text.splitlines()
        written = sum(line.startswith(b"x" * 900) for line in lines)
        dropped = sum(int(line.split()[0]) for line in lines if line.endswith(b"in time"))
    assert 0 < written < 1_000
    logger.removeHandler(handler)
    handler.close()
    handler._writer.join(30)
    assert not handler._writer.is_alive()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("message", "arguments"), [("%d pages", ("x",)), ("%s %s", (1,)), (Unreadable(), ())]
)
def test_a_line_that_cannot_be_formatted_names_the_error_and_fails_nobody(
    message: object, arguments: tuple[object, ...]
) -> None:
    reader, writer = os.pipe()
    handler = QueuedHandler(writer)
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None))
    handler.close()
    os.close(writer)
    with open(reader) as log_file:
        assert "(its arguments do not fit: " in log_file.read()


PROGRAM = """
import logging, signal, sys, threading
from ocean_actors.actors import Actor, ActorSystem, Message
from ocean_actors.log_output.queued import QueuedHandler

logging.basicConfig(handlers=[QueuedHandler(2)])
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())


class Chatty(Actor):
    def on_start(self):
        for number in range(2_000):
            logging.getLogger("chatty").warning("%s", str(number).rjust(1_000, "x"))
        print("filled", flush=True)


system = ActorSystem()
system.spawn(Chatty)
stop.wait(60)
sys.exit(len(system.stop()))
"""


def test_a_process_whose_log_is_full_and_unread_ends_when_told() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "filled\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
