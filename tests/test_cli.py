"""The command line: what is printed, and how it ends.

As processes, save for what ends before anything is started: that is called in the tests' process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import requests
from waiting import wait_for

from ocean_actors.cli import main
from ocean_actors.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "ocean_actors"]
MAIN = "import sys; from ocean_actors.cli import main; sys.exit(main())"
WITHIN = 60.0

HANDLERS = """
import pathlib
from ocean_actors import Actor, ResyncHandler

class Quick(ResyncHandler):
    def resync(self, run):
        pass

def at_work():
    pathlib.Path("at work").touch()

class Patient(ResyncHandler):
    def resync(self, run):
        at_work()
        run.sleep(3600)

class Deaf(ResyncHandler):
    def resync(self, run):
        import threading
        at_work()
        threading.Event().wait(3600)

class Sly(ResyncHandler):
    def resync(self, run):
        import signal, threading
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        run.sleep(3600)

class Failing(ResyncHandler):
    def resync(self, run):
        raise ValueError("broken on purpose")

class Leaky(ResyncHandler):
    def resync(self, run):
        import threading
        at_work()
        threading.Thread(target=threading.Event().wait, args=(3600,)).start()
        threading.Event().wait(3600)

class Forking(ResyncHandler):
    def resync(self, run):
        import multiprocessing, time
        for _ in range(20):  # a signal may come before the worker's first line of code
            worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
            worker.start()
            worker.terminate()
            worker.join(20)
            code = worker.exitcode
            worker.kill()
            if code != -15:
                raise ValueError(f"the worker's exit code is {code}")

class Talkative(ResyncHandler):
    def resync(self, run):
        import itertools, logging, select
        for number in itertools.count():
            logging.getLogger("talk").warning("%s", str(number).rjust(1000, "x"))
            if not select.select([], [2], [], 0)[1]:  # the pipe is full
                at_work()

class Unbuildable(Actor):
    def __init__(self):
        raise ValueError("broken on purpose")

class NoHandler:
    pass

class Unfinished(ResyncHandler):
    pass
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Path:
    (tmp_path / "work.py").write_text(HANDLERS)
    write_config(tmp_path, sandbox)
    return tmp_path


def write_config(
    folder: Path, sandbox: Sandbox, more: str = "eventListener: {type: POLLING, interval: 0.1}"
) -> None:
    (folder / "config.yaml").write_text(
        textwrap.dedent(f"""
        port:
          clientId: {sandbox.client_id}
          clientSecret: {sandbox.client_secret}
          baseUrl: {sandbox.url}
        integration: {{identifier: demo}}
        {more}
        """)
    )


def environment() -> Any:
    return {name: value for name, value in os.environ.items() if not name.startswith("OCEAN__")}


def finished(
    folder: Path, *arguments: Any, env: Any = None, command: Sequence[str] = ("-m", "ocean_actors")
) -> Any:
    return subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=WITHIN, check=False,
        env={**environment(), **(env or {})},
    )  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What `subprocess.run` tells, of a call."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def called(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Calls the command line in this process, in `folder`."""
    modules = {*sys.modules}

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> Done:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "path", [*sys.path])
            for name in os.environ.keys() - environment().keys():
                patch.delenv(name)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as error:  # of argparse
                code = int(error.code or 0)
        for name in sys.modules.keys() - modules:  # the next process would import them anew
            if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
                del sys.modules[name]
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running = []

    def start(*arguments: Any, nohup: bool = False) -> Any:
        ignoring = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if nohup else []
        process = subprocess.Popen(
            [*ignoring, *COMMAND, *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(),
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=WITHIN)


def wait_until_at_work(folder: Path, sandbox: Sandbox) -> None:
    """Wait until the handler's work has begun, and Port knows of the run."""
    sandbox.wait_for(lambda: sandbox.statuses("demo") == ["running"], WITHIN)
    wait_for(folder / "at work")


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def line_of(done: Any) -> Any:
    """The one line that is printed for a user's mistake."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("work.py", "expected module:Class or file.py:Class"),
        ("absent.py:Quick", "there is no file absent.py"),
        ("absent:Quick", "No module named 'absent'"),
        ("work.py:Absent", "there is no Absent in work.py"),
        ("work.py:NoHandler", "NoHandler is not a subclass of ocean_actors.ResyncHandler"),
        ("work.py:Unfinished", "has no method resync"),
        ("broken.py:Quick", "ZeroDivisionError"),
        ("garbled.py:Quick", "SyntaxError"),
    ],
)
def test_a_handler_that_cannot_be_used_is_one_line_and_exit_2(
    folder: Path, called: Callable[..., Done], handler: str, said: str
) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "garbled.py").write_text("def\n")
    done = called("run", "config.yaml", "--handler", handler)
    assert done.returncode == 2
    assert said in line_of(done)
    assert handler in line_of(done)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("eventListener: {type: POLLING, interval: 0}", "eventListener.interval"),
        ("resync: {onNewRequests: abort}", "resync.onNewRequests"),
        ("eventListener: {type: WEBHOOK}", "eventListener.appHost"),
        ("eventListener: [", "config.yaml:"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_and_exit_2(
    folder: Path, sandbox: Sandbox, called: Callable[..., Done], settings: str, said: str
) -> None:
    write_config(folder, sandbox, settings)
    done = called("run", "config.yaml", "--handler", "work.py:Quick")
    assert done.returncode == 2
    assert said in line_of(done)


def test_wrong_credentials_are_told_at_once_and_exit_1(folder: Path, sandbox: Sandbox) -> None:
    sandbox.configure(refuse_credentials=True)
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Quick")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "/auth/access_token" in last
    assert "401" in last
    assert "Traceback" not in done.stderr
    assert sandbox.client_secret not in done.stderr


def test_an_actor_that_cannot_be_made_ends_the_process_with_exit_1_and_a_log_of_json(
    folder: Path, sandbox: Sandbox
) -> None:
    actor = ("--actor", "work.py:Unbuildable")
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Quick", *actor)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]  # no bare traceback
    said = {line["message"]: line.get("exc", "") for line in lines}
    assert "integration demo stopped: cannot start: ValueError: broken on purpose" in said
    assert "work.py" in said["the integration cannot start"]  # where it was raised


@pytest.mark.parametrize(("handler", "code"), [("Quick", 0), ("Failing", 1)])
def test_once_exits_with_the_result(
    folder: Path, sandbox: Sandbox, handler: str, code: int
) -> None:
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    done = finished(folder, "run", "config.yaml", "--handler", f"work.py:{handler}")
    assert done.returncode == code
    assert sandbox.statuses("demo") == ["running", "failed" if code else "completed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_cleanly_and_exit_is_0(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]], number: Any
) -> None:
    process = started("run", "config.yaml", "--handler", "work.py:Patient")
    wait_until_at_work(folder, sandbox)
    process.send_signal(number)
    assert process.wait(WITHIN) == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]


@pytest.mark.parametrize("handler", ["Deaf", "Leaky"])
def test_a_handler_that_does_not_end_does_not_keep_the_process(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]], handler: str
) -> None:
    write_config(folder, sandbox, "resync: {abortGrace: 0.2}")
    process = started("run", "config.yaml", "--handler", f"work.py:{handler}")
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]
    assert "left behind" in output_of(process).read()


def test_a_signal_that_does_not_wake_the_main_thread_is_heard_all_the_same(
    folder: Path, sandbox: Sandbox
) -> None:
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Sly")
    assert done.returncode == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]


def test_a_second_signal_is_immediate(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    write_config(folder, sandbox, "resync: {abortGrace: 3600}")
    process = started("run", "config.yaml", "--handler", "work.py:Deaf")
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGTERM)
    for line in output_of(process):
        if "SIGTERM: stopping" in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN) == 1
    assert output_of(process).read().endswith("SIGINT again: the process ends at once\n")


def test_a_stop_says_what_it_waits_for_and_for_how_long(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    write_config(folder, sandbox, "resync: {abortGrace: 0.5}")
    process = started("run", "config.yaml", "--handler", "work.py:Deaf")
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=WITHIN)
    (line,) = (line for line in output.splitlines() if "SIGTERM: stopping" in line)
    assert "has 0.5 s to end (resync.abortGrace), handlers: Deaf" in line
    assert "the process ends within 5 s, or at once on a second signal" in line


def test_by_default_a_stop_takes_less_than_25_seconds(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    """Kubernetes kills the process after 30 s."""
    process = started("run", "config.yaml", "--handler", "work.py:Patient")
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=WITHIN)
    (line,) = (line for line in output.splitlines() if "SIGTERM: stopping" in line)
    assert "has 20 s to end (resync.abortGrace)" in line
    (most,) = re.findall(r"the process ends within ([\d.]+) s", line)
    assert float(most) < 25.0


def test_under_nohup_a_hangup_is_ignored(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("run", "config.yaml", "--handler", "work.py:Patient", nohup=True)
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)  # handled after it
    assert any("handler-Patient" in line for line in output_of(process))
    assert process.poll() is None


def test_a_log_that_nobody_reads_does_not_keep_the_process(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    write_config(folder, sandbox, "resync: {abortGrace: 0.2}")
    process = started("run", "config.yaml", "--handler", "work.py:Talkative")
    wait_until_at_work(folder, sandbox)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) in (0, 1)  # 1 on a machine that is too busy to stop in time


def test_a_worker_that_a_handler_forks_can_be_terminated(folder: Path, sandbox: Sandbox) -> None:
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Forking")
    assert done.returncode == 0, done.stderr


# --- what runs, and from where --------------------------------------------------------------------

USES_LIBRARIES = """
from ocean_actors import ResyncHandler

class Uses{name}(ResyncHandler):
    def resync(self, run):
        import helper, kafka, bottle
        from ocean_actors.listeners.kafka import listener
        assert helper.FOUND and kafka.KafkaConsumer and bottle.Bottle
"""


@pytest.mark.parametrize("command", [["-m", "ocean_actors"], ["-c", MAIN]], ids=["-m", "-c"])
def test_a_handlers_file_shadows_no_package(folder: Path, sandbox: Sandbox, command: Any) -> None:
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    (folder / "helper.py").write_text("FOUND = True")
    handlers = []
    for name in ("kafka", "bottle", "yaml", "pydantic", "handlers"):
        (folder / f"{name}.py").write_text(USES_LIBRARIES.format(name=name))
        handlers += ["--handler", f"{name}.py:Uses{name}"]
    done = finished(folder, "run", "config.yaml", *handlers, command=command)
    assert done.returncode == 0, done.stderr


def test_two_handlers_of_one_file_share_its_module(folder: Path, sandbox: Sandbox) -> None:
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    handlers = ["--handler", "work.py:Quick", "--handler", "work.py:Patient"]
    (folder / "work.py").write_text("print('imported')" + HANDLERS.replace("3600", "0"))
    done = finished(folder, "run", "config.yaml", *handlers)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "imported\n"


def test_the_file_may_be_left_out_if_the_environment_says_everything(
    folder: Path, sandbox: Sandbox
) -> None:
    env = {
        "OCEAN__PORT__CLIENT_ID": sandbox.client_id,
        "OCEAN__PORT__CLIENT_SECRET": sandbox.client_secret,
        "OCEAN__PORT__BASE_URL": sandbox.url,
        "OCEAN__EVENT_LISTENER__TYPE": "ONCE",
        "OCEAN__EVENT_LISTENER__INTERVAL": "",
    }
    (folder / ".env").write_text("OCEAN__INTEGRATION__IDENTIFIER=by-environment")
    done = finished(folder, "check", env=env)
    assert done.returncode == 0, done.stdout
    done = finished(folder, "run", "--handler", "work.py:Quick", env=env)
    assert done.returncode == 0, done.stderr
    assert sandbox.statuses("by-environment") == ["running", "completed"]


def test_without_a_file_the_environment_is_named(called: Callable[..., Done]) -> None:
    done = called("run", "--handler", "work.py:Quick")
    assert done.returncode == 2
    assert "OCEAN__PORT__CLIENT_ID" in line_of(done)


def logged_by(folder: Path, sandbox: Sandbox, body: str, *options: str) -> str:
    """The log of a run under ONCE, whose handler does `body`."""
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    (folder / "logs.py").write_text(
        "import logging\n"
        "from ocean_actors import ResyncHandler\n\n"
        "class Logs(ResyncHandler):\n"
        f"    def resync(self, run):\n{textwrap.indent(textwrap.dedent(body), ' ' * 8)}\n"
    )
    done = finished(folder, "run", "config.yaml", "--handler", "logs.py:Logs", *options)
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


def test_a_log_line_cannot_be_forged_and_steers_no_terminal(folder: Path, sandbox: Sandbox) -> None:
    body = r"""
    logging.getLogger('other').warning('\x1b[2J\r\nforged %s', '\u202eline')
    logging.getLogger('other').error('x', exc_info=ValueError('\x1b[31mred'))
    """
    log = logged_by(folder, sandbox, body, "--log-format", "text")
    assert r"WARNING other: \x1b[2J\r\nforged \u202eline" in log
    assert r"ValueError: \x1b[31mred" in log
    assert "\x1b" not in log


@pytest.mark.parametrize("level", ["loud", "17", "notset", ""])
def test_a_wrong_log_level_is_told_with_the_right_ones(
    called: Callable[..., Done], level: str
) -> None:
    done = called("run", "config.yaml", "--handler", "work.py:Quick", "--log-level", level)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert f"expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, got {level!r}" in last


def test_at_debug_kafkas_own_loggers_do_not_log_what_is_on_the_wire(
    folder: Path, sandbox: Sandbox
) -> None:
    body = """
    assert logging.getLogger('ocean_actors').isEnabledFor(logging.DEBUG)
    assert not logging.getLogger('kafka.protocol').isEnabledFor(logging.DEBUG)
    """
    logged_by(folder, sandbox, body, "--log-level", "debug")


CERTIFICATES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]


@pytest.mark.parametrize("variable", CERTIFICATES)
def test_certificates_that_are_not_there_are_told_at_once(
    folder: Path, sandbox: Sandbox, called: Callable[..., Done], variable: str
) -> None:
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    env = {**dict.fromkeys(CERTIFICATES, ""), variable: "absent"}
    said = f"{variable}: cannot read absent: No such file or directory"
    check = called("check", "config.yaml", env=env)
    assert check.returncode == 1
    assert f"FAILED certificates {said}" in check.stdout
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Quick", env=env)
    assert done.returncode == 0
    assert done.stderr.count(said) == 1


def test_a_process_that_gets_no_thread_is_one_line_and_exit_1(folder: Path) -> None:
    limited = f"import threading; threading.stack_size(1 << 47); {MAIN}"
    done = finished(
        folder, "run", "config.yaml", "--handler", "work.py:Quick", command=["-c", limited]
    )
    assert done.returncode == 1
    assert line_of(done) == "ocean-actors: can't start new thread"


def test_check_says_what_it_found(sandbox: Sandbox, called: Callable[..., Done]) -> None:
    sandbox.create_integration("demo")
    sandbox.request_resync("demo")
    done = called("check", "config.yaml")
    assert done.returncode == 0
    topics = [line.split()[1] for line in done.stdout.splitlines()]
    assert topics == ["settings", "listener", "Port", "integration", "request"]


BLUEPRINTS = """
class Declaring(Quick):
    blueprints = "blueprints.yaml"
"""
REPOSITORY = """
identifier: repository
schema: {properties: {stars: {type: number}, url: {type: string}}}
relations: {team: {target: team}}
"""


def declared(folder: Path, blueprints: str = REPOSITORY) -> list[str]:
    """Write a handler that declares a blueprint; returns the arguments that name it."""
    (folder / "work.py").write_text(f"{HANDLERS}\n{BLUEPRINTS}")
    (folder / "blueprints.yaml").write_text(blueprints)
    return ["--handler", "work.py:Declaring"]


def found(done: Done) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.split()[1] == "blueprint"]


def test_check_tells_that_run_will_create_a_blueprint(
    folder: Path, sandbox: Sandbox, called: Callable[..., Done]
) -> None:
    done = called("check", "config.yaml", *declared(folder))
    assert done.returncode == 0
    assert found(done) == ["ok     blueprint    repository is missing in Port: `run` creates it"]
    off = {"OCEAN__INITIALIZE_PORT_RESOURCES": "false"}
    done = called("check", "config.yaml", *declared(folder), env=off)
    assert done.returncode == 1
    assert found(done)[0].startswith("FAILED blueprint    repository is missing in Port, and init")


def test_check_tells_what_a_blueprint_lacks(
    folder: Path, sandbox: Sandbox, called: Callable[..., Done]
) -> None:
    sandbox.create_blueprint("repository", schema={"properties": {"url": {"type": "string"}}})
    done = called("check", "config.yaml", *declared(folder))
    assert done.returncode == 1
    assert found(done)[0].endswith(
        "repository exists in Port without the properties stars and the relations team: add them "
        "there"
    )
    sandbox.create_blueprint("team")
    done = called("check", "config.yaml", *declared(folder, "identifier: team"))
    assert done.returncode == 0
    assert found(done) == ["ok     blueprint    team exists in Port"]


@pytest.mark.usefixtures("sandbox")
def test_check_looks_at_every_handler_of_several_with_one_name(
    folder: Path, called: Callable[..., Done]
) -> None:
    first = declared(folder, "identifier: team")
    (folder / "more.py").write_text(
        f"{HANDLERS}\nclass Declaring(Quick):\n    blueprints = {{'identifier': 'user'}}\n"
    )
    done = called("check", "config.yaml", *first, "--handler", "more.py:Declaring")
    assert [line.split()[2] for line in found(done)] == ["team", "user"]


def test_a_blueprint_that_cannot_be_used_is_one_line(
    folder: Path, sandbox: Sandbox, called: Callable[..., Done]
) -> None:
    handler = declared(folder, "- identifier: team\n- identifier: 7\n")
    said = f"Declaring.blueprints: {folder / 'blueprints.yaml'}[1]: identifier: expected a name"
    done = called("check", "config.yaml", *handler)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "settings", "listener", "blueprint", "Port", "integration",
    ]  # fmt: skip
    assert found(done) == [f"FAILED blueprint    {said}, got 7"]
    done = called("run", "config.yaml", *handler)
    assert done.returncode == 2
    assert line_of(done) == f"ocean-actors: {said}, got 7"
    assert sandbox.integration("demo") is None


def test_check_of_an_integration_that_port_does_not_know_is_fine(
    called: Callable[..., Done],
) -> None:
    done = called("check", "config.yaml")
    assert done.returncode == 0
    assert "not known yet" in done.stdout


def test_what_is_printed_steers_no_terminal(folder: Path) -> None:
    name = "\x1b[2J\n.yaml"
    (folder / "config.yaml").rename(folder / name)
    done = finished(folder, "check", name)
    assert done.returncode == 0
    assert r"\x1b[2J\n.yaml: integration demo" in done.stdout
    assert "\x1b" not in done.stdout
    done = finished(folder, "run", name, "--handler", f"{name}:Quick")
    assert done.returncode == 2
    assert r"\x1b[2J\n.yaml:Quick" in line_of(done)
    assert "\x1b" not in done.stderr


def test_check_fails_if_port_refuses(sandbox: Sandbox, called: Callable[..., Done]) -> None:
    sandbox.configure(refuse_credentials=True)
    done = called("check", "config.yaml")
    assert done.returncode == 1
    assert "FAILED Port" in done.stdout


def test_a_sandbox_on_a_port_in_use_is_one_line_and_exit_1(folder: Path, sandbox: Sandbox) -> None:
    done = finished(folder, "sandbox", "--port", str(sandbox.port))
    assert done.returncode == 1
    assert str(sandbox.port) in line_of(done)


def test_the_sandbox_command_serves_until_it_is_stopped(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    process = started("sandbox", "--port", "0")
    assert "http://127.0.0.1:" in output_of(process).readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 0


def test_noise_without_kafka_is_refused(called: Callable[..., Done]) -> None:
    done = called("sandbox", "--port", "0", "--noise", "3")
    assert done.returncode == 2
    assert "--noise needs --kafka" in line_of(done)


def test_the_sandbox_command_creates_blueprints(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    process = started("sandbox", "--port", "0", "--blueprint", "repository", "--blueprint", "team")
    match = re.search(r"http://[\d.:]+", output_of(process).readline())
    assert match is not None
    state = requests.get(f"{match[0]}/sandbox/state", timeout=WITHIN, proxies={"no_proxy": "*"})
    assert state.json()["blueprints"] == ["repository", "team"]


MAPPED = """
from ocean_actors import ResyncHandler

class Mapped(ResyncHandler):
    def resync(self, run):
        assert run.config == {"resources": [{"kind": "issue"}]}, run.config
"""


def test_the_sandbox_command_is_seeded_from_files(
    folder: Path, sandbox: Sandbox, started: Callable[..., subprocess.Popen[str]]
) -> None:
    (folder / "blueprints.yaml").write_text("- identifier: issue\n- identifier: project\n")
    (folder / "mapping.yaml").write_text("resources: [{kind: issue}]\n")
    seeds = ["--blueprints", "blueprints.yaml", "--mapping", "mapping.yaml"]
    process = started("sandbox", "--port", "0", "--blueprint", "team", *seeds)
    match = re.search(r"http://127\.0\.0\.1:\d+", output_of(process).readline())
    assert match is not None
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    at = {"OCEAN__PORT__BASE_URL": match[0]}
    (folder / "work.py").write_text(MAPPED)
    run = finished(folder, "run", "config.yaml", "--handler", "work.py:Mapped", env=at)
    assert run.returncode == 0, run.stderr
    state = requests.get(f"{match[0]}/sandbox/state", timeout=WITHIN, proxies={"no_proxy": "*"})
    assert sorted(state.json()["blueprints"]) == ["issue", "project", "team"]


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--blueprints", "- 7", "blueprints[0]: seeds.yaml[0]: expected a blueprint (a mapping)"),
        ("--blueprints", "[", "blueprints[0]: "),
        ("--mapping", "- 7", "mapping: seeds.yaml: expected a mapping with resources, got a list"),
        ("--mapping", "a: 2026-01-01", "mapping: seeds.yaml: expected JSON-like data: TypeError"),
    ],
)
def test_a_seed_that_cannot_be_used_is_one_line_and_exit_2(
    folder: Path, option: str, content: str, said: str
) -> None:
    (folder / "seeds.yaml").write_text(content)
    done = finished(folder, "sandbox", "--port", "0", option, "seeds.yaml")
    assert done.returncode == 2
    assert line_of(done).replace(f"{folder}/", "").startswith(f"ocean-actors: {said}")


@pytest.mark.parametrize("command", ["demo", "check config.yaml"])
def test_a_reader_that_goes_away_makes_no_noise(folder: Path, command: str) -> None:
    program = f"{shlex.quote(sys.executable)} -m ocean_actors"
    done = subprocess.run(  # noqa: S602  (a pipe, as users write it)
        f"{program} {command} | head -n 1", shell=True,
        cwd=folder, capture_output=True, text=True, timeout=WITHIN, env=environment(), check=False,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
