"""A small application of one's own: routes, errors and limits come from `web/`."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ocean_actors.errors import OceanError
from ocean_actors.testing import ManualClock
from ocean_actors.web.answers import Answer, Refusal
from ocean_actors.web.app import JsonApp
from ocean_actors.web.body import read_body, require_json
from ocean_actors.web.channel import Channel, limits
from ocean_actors.web.log import WebLog
from ocean_actors.web.server import HttpServer
from ocean_actors.web.signature import BadSignature


def page(environ: dict[str, Any]) -> Any:
    return Answer(200, b"<p>hello", {"ETag": '"1"'}, "text/html")


def echo(environ: dict[str, Any]) -> Any:
    require_json(environ)
    return Answer(200, {"said": json.loads(read_body(environ, 100))})


def quiet(environ: dict[str, Any]) -> None:
    raise Refusal(503, "not now", {"Retry-After": "1"}, noteworthy=False)


def broken(environ: dict[str, Any]) -> None:
    try:
        raise ValueError("the cause\n\x1b[31m")
    except ValueError as error:
        raise RuntimeError("secret inside") from error


@pytest.fixture
def url() -> Iterator[str]:
    log = WebLog(ManualClock())
    routes: dict[str, dict[str, Any]] = {
        "/": {"GET": page},
        "/echo": {"POST": echo},
        "/quiet": {"GET": quiet},
        "/broken": {"GET": broken},
    }
    server = HttpServer(JsonApp(routes, log), "127.0.0.1", 0, **limits(1000, log.refused))
    server.start()
    yield server.url
    server.stop()


def test_a_handler_answers_json_or_bytes_of_its_own_type(url: str) -> None:
    answer = requests.get(url + "/", timeout=10)
    assert (answer.content, answer.headers["Content-Type"]) == (b"<p>hello", "text/html")
    assert answer.headers["ETag"] == '"1"'
    assert requests.post(url + "/echo", json=[1], timeout=10).json() == {"said": [1]}


def test_head_is_served_where_get_is(url: str) -> None:
    answer = requests.head(url + "/", timeout=10)
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "8")
    assert requests.head(url + "/echo", timeout=10).status_code == 405


def test_what_is_not_served_is_an_error_in_json_that_names_what_is(url: str) -> None:
    lost = requests.get(url + "/nowhere", timeout=10)
    assert (lost.status_code, lost.json()["error"]) == (404, "not_found")
    assert "GET /, POST /echo" in lost.json()["message"]
    wrong = requests.put(url + "/echo", timeout=10)
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    assert requests.post(url + "/echo", data=b"x" * 101, timeout=10).status_code == 415
    assert requests.post(url + "/echo", json="x" * 100, timeout=10).status_code == 413


def test_a_refusal_that_is_not_noteworthy_is_not_logged(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ocean_actors")
    answer = requests.get(url + "/quiet", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert caplog.records == []


def test_a_handler_that_fails_is_logged_with_its_cause_and_frames_and_shows_neither(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = requests.get(url + "/broken", timeout=10)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    (record,) = (item for item in caplog.records if item.levelno == logging.ERROR)
    said = record.getMessage()
    assert said.startswith("GET /broken failed: RuntimeError: secret inside\n")
    assert "ValueError: the cause [31m\nwhich led to:" in said
    assert said.count("in broken") == 2
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "error", [Refusal(401, "no", {"a": "b"}, noteworthy=False), BadSignature("no")]
)
def test_errors_have_one_root_and_survive_pickling(error: Any) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(copy, OceanError)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    return Answer(200, b"hello").send(start_response)


@pytest.mark.parametrize("error", [OSError("reset"), ValueError("a bug")])
def test_a_connection_that_cannot_be_served_does_not_end_the_server(error: Any) -> None:
    troubles = [error]

    def channel(*arguments: Any, **keywords: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return Channel(*arguments, **keywords)

    server = HttpServer(hello, "127.0.0.1", 0, channel=channel)
    server.start()
    try:
        with pytest.raises(requests.RequestException):
            requests.get(server.url, timeout=0.5)
        assert requests.get(server.url, timeout=10).text == "hello"
    finally:
        server.stop()


def test_a_loop_that_fails_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = [MemoryError("no more")]

    def readable(self: Channel) -> bool:
        if troubles:
            raise troubles.pop()
        return real(self)

    server = HttpServer(hello, "127.0.0.1", 0)
    server.start()
    try:
        real = Channel.readable
        monkeypatch.setattr(Channel, "readable", readable)
        with pytest.raises(requests.RequestException):
            requests.get(server.url, timeout=0.1)
        assert requests.get(server.url, timeout=10).text == "hello"
    finally:
        server.stop()
    assert troubles == []
    assert "MemoryError: no more" in caplog.text


def test_a_server_whose_threads_cannot_be_started_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    before = set(threading.enumerate())
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def failing(self: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", failing)
    server = HttpServer(hello, "127.0.0.1", 0)
    with pytest.raises(RuntimeError, match="new thread"):
        server.start()
    monkeypatch.undo()
    assert set(threading.enumerate()) <= before
    server.start()
    server.stop()
