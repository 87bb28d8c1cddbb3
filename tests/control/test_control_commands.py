"""`ocean-actors status|resync|abort|pause|resume`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from desk import TOKEN, Desk, busy_night

from ocean_actors.cli import main
from ocean_actors.control.report import report
from ocean_actors.control.server import ControlServer
from ocean_actors.sandbox import Sandbox

Served = Callable[..., ControlServer]


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCEAN__CONTROL__TOKEN", raising=False)


def test_the_status_is_a_readable_page(
    desk: Desk, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    busy_night(desk)
    assert main(["status", "--url", served().url]) == 0
    page = capsys.readouterr().out
    for text in (
        "my-github: running (listens by POLLING, ocean_actors 0.2.0, up 2 h)",
        "Issues                   1312 of 4100 (32 %), 61.5 per second, about 45 s left, acme/shop",
        "requests   1204 taken, 1200 covered, 3 ignored, 1 waiting",
        "174 completed, 12 failed, 14 aborted",
        "handler-Teams            2 restarts, the last failure: ValueError: no such team",
    ):
        assert text in page


def test_the_raw_status_is_json(
    desk: Desk, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json", "--url", served().url + "/"]) == 0
    assert json.loads(capsys.readouterr().out)["integration"] == desk.name


def test_the_page_has_something_to_say_in_every_state(desk: Desk) -> None:
    minimal = {"integration": "shop", "listener": "ONCE", "registered": False, "resync": None}
    page = "\n".join(report(minimal))
    assert "the coordinator does not answer" in page
    assert "not registered with Port yet" in page
    desk.begin(1)
    desk.resync["pauses"] = [{"owner": "api", "reason": "why", "since": "x"}]
    desk.facts["actors"][0] |= {"hung": True, "message": "Poll", "message_seconds": 99.0}
    page = "\n".join(report(desk.status()))
    assert "paused     by api, at an unknown time: why" in page
    assert "hung in Poll for 2 min" in page


def test_what_a_server_says_cannot_steer_a_terminal(desk: Desk) -> None:
    desk.begin(1)
    desk.resync["run"]["reason"] = desk.facts["integration"] = "\x1b]0;title\x07\nforged"
    desk.resync["run"]["progress"] = {"\x1b[2J": {"done": 1, "total": 2, "message": "\x1b[2J"}}
    assert all(line.isprintable() for line in report(desk.status()))


def test_what_a_server_says_reaches_the_terminal_escaped(
    desk: Desk, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    busy_night(desk)
    desk.resync["runs"][-1]["status"] = "\x1b[2Jforged"
    assert main(["status", "--url", served().url]) == 0
    page = capsys.readouterr().out
    assert r"\x1b[2Jforged" in page
    assert "\x1b" not in page


def test_the_integration_is_steered(
    desk: Desk, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    url = served().url
    assert main(["resync", "why", "--kind", "issue", "--kind", "team", "--url", url]) == 0
    assert main(["pause", "maintenance", "--url", url]) == 0
    assert main(["resume", "--url", url]) == 0
    assert main(["abort", "--url", url]) == 0
    assert [name for name, _ in desk.calls] == ["resync", "pause", "resume", "abort"]
    assert desk.calls[0][1]["kinds"] == ["issue", "team"]
    assert desk.calls[1][1]["reason"] == "maintenance"
    assert "no run is in flight" in capsys.readouterr().out


def test_an_id_from_a_server_cannot_steer_a_terminal(
    desk: Desk,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(desk, "request_resync", lambda *_args, **_kinds: "\x1b[2Jforged")
    assert main(["resync", "--url", served().url]) == 0
    assert capsys.readouterr().out == "requested: [2Jforged\n"


def test_the_token_is_an_argument_or_a_variable(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = served(token=TOKEN).url
    assert main(["status", "--url", url]) == 1
    assert "OCEAN__CONTROL__TOKEN" in capsys.readouterr().err
    assert main(["status", "--url", url, "--token", TOKEN]) == 0
    monkeypatch.setenv("OCEAN__CONTROL__TOKEN", TOKEN)
    assert main(["status", "--url", url]) == 0


def test_a_process_serves_its_status_and_ends_if_the_port_it_was_given_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work.py").write_text(
        "from ocean_actors import ResyncHandler\n"
        "class Idle(ResyncHandler):\n    def resync(self, run):\n        pass\n"
    )
    command = [
        sys.executable, "-m", "ocean_actors", "run", "--handler", "work.py:Idle",
        "--log-format", "text",
    ]  # fmt: skip
    with Sandbox() as sandbox:
        environment = {
            **os.environ,
            "OCEAN__PORT__CLIENT_ID": sandbox.client_id,
            "OCEAN__PORT__CLIENT_SECRET": sandbox.client_secret,
            "OCEAN__PORT__BASE_URL": sandbox.url,
            "OCEAN__INTEGRATION__IDENTIFIER": "shop",
            "OCEAN__HTTP__PORT": "0",
        }
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment | {"OCEAN__CONTROL__PORT": "0"},
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stderr is not None
                line = next(each for each in process.stderr if "the dashboard is on" in each)
                url = line.split()[-1]
                assert main(["status", "--url", url]) == 0
                assert capsys.readouterr().out.startswith("shop: ")
                second = subprocess.run(
                    command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
                    env=environment | {"OCEAN__CONTROL__PORT": url.rpartition(":")[2]},
                )  # fmt: skip
            finally:
                process.terminate()
                process.communicate(timeout=60)
        assert second.returncode == 1
        assert second.stderr.count("set control.port") == 1
        assert "Traceback" not in second.stderr
        assert process.returncode == 0


def test_an_unknown_kind_is_one_line_with_the_known_ones(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resync", "--kind", "isue", "--url", served().url]) == 1
    error = capsys.readouterr().err
    assert "repository, issue, comment, team" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["status", "resync", "abort", "pause", "resume"])
def test_nothing_that_listens_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main([command, "--url", url]) == 1
    error = capsys.readouterr().err
    assert "Connection refused: is the integration running?" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "ftp://x", "http://", "http://u:p@h", "http://h?token=x"]
)
def test_an_address_that_is_none_is_a_wrong_argument(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--url", url]) == 2
    assert "--url: expected an address" in capsys.readouterr().err


def test_another_server_is_named_as_such(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    url = served().url + "/dashboard.js#"
    assert main(["status", "--url", url[:-1]]) == 1
    assert "no such path" in capsys.readouterr().err


@pytest.fixture
def stranger() -> Iterator[Callable[[object], str]]:
    """Serves any JSON as the answer to every GET; returns the address."""
    with contextlib.ExitStack() as stack:

        def serve(answer: object) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps(answer).encode())

                def log_message(self, *_: object) -> None:
                    pass

            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


@pytest.mark.parametrize(
    "status", [{"resync": 7}, {"resync": {"runs": [{}]}}, {"resync": {"pauses": ["x"]}}]
)
def test_a_status_of_another_shape_is_one_line(
    stranger: Callable[[object], str], capsys: pytest.CaptureFixture[str], status: object
) -> None:
    url = stranger(status)
    assert main(["status", "--url", url]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{url}: the status does not have the shape of ocean_actors" in line
    assert main(["status", "--url", url, "--json"]) == 0
