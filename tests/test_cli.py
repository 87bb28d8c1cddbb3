"""The command line, as processes: what is printed, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from ocean_actors.sandbox import Sandbox

COMMAND = [sys.executable, "-c", "import sys; from ocean_actors.cli import main; sys.exit(main())"]
WITHIN = 30.0

HANDLERS = """
from ocean_actors import ResyncHandler

class Quick(ResyncHandler):
    def resync(self, run):
        pass

class Patient(ResyncHandler):
    def resync(self, run):
        run.sleep(3600)

class Deaf(ResyncHandler):
    def resync(self, run):
        import threading
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
        threading.Thread(target=threading.Event().wait, args=(3600,)).start()
        threading.Event().wait(3600)

class NoHandler:
    pass

class Unfinished(ResyncHandler):
    pass
"""


@pytest.fixture
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path, sandbox):
    (tmp_path / "work.py").write_text(HANDLERS)
    write_config(tmp_path, sandbox)
    return tmp_path


def write_config(folder, sandbox, more="eventListener: {type: POLLING, interval: 0.1}"):
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


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("OCEAN__")}


def finished(folder, *arguments):
    return subprocess.run(  # noqa: S603
        [*COMMAND, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=WITHIN, env=environment(), check=False,
    )  # fmt: skip


@pytest.fixture
def started(folder):
    running = []

    def start(*arguments):
        process = subprocess.Popen(  # noqa: S603
            [*COMMAND, *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(),
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=WITHIN)


def line_of(done):
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
        ("work.py:NoHandler", "NoHandler is no subclass of ocean_actors.ResyncHandler"),
        ("work.py:Unfinished", "has no method resync"),
        ("broken.py:Quick", "ZeroDivisionError"),
        ("garbled.py:Quick", "SyntaxError"),
    ],
)
def test_a_handler_that_cannot_be_used_is_one_line_and_exit_2(folder, handler, said):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "garbled.py").write_text("def\n")
    done = finished(folder, "run", "config.yaml", "--handler", handler)
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
def test_settings_that_cannot_be_used_are_one_line_and_exit_2(folder, sandbox, settings, said):
    write_config(folder, sandbox, settings)
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Quick")
    assert done.returncode == 2
    assert said in line_of(done)


def test_wrong_credentials_are_told_at_once_and_exit_1(folder, sandbox):
    sandbox.configure(refuse_credentials=True)
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Quick")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "/auth/access_token" in last
    assert "401" in last
    assert "Traceback" not in done.stderr
    assert sandbox.client_secret not in done.stderr


@pytest.mark.parametrize(("handler", "code"), [("Quick", 0), ("Failing", 1)])
def test_once_exits_with_the_result(folder, sandbox, handler, code):
    write_config(folder, sandbox, "eventListener: {type: ONCE}")
    done = finished(folder, "run", "config.yaml", "--handler", f"work.py:{handler}")
    assert done.returncode == code
    assert sandbox.statuses("demo") == ["running", "failed" if code else "completed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_and_exit_is_0(folder, sandbox, started, number):
    process = started("run", "config.yaml", "--handler", "work.py:Patient")
    sandbox.wait_for(lambda: sandbox.statuses("demo") == ["running"], WITHIN)
    process.send_signal(number)
    assert process.wait(WITHIN) == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]


@pytest.mark.parametrize("handler", ["Deaf", "Leaky"])
def test_a_handler_that_does_not_end_does_not_keep_the_process(folder, sandbox, started, handler):
    write_config(folder, sandbox, "resync: {abortGrace: 0.2}")
    process = started("run", "config.yaml", "--handler", f"work.py:{handler}")
    sandbox.wait_for(lambda: sandbox.statuses("demo") == ["running"], WITHIN)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]
    assert "left behind" in process.stdout.read()


def test_a_signal_that_does_not_wake_the_main_thread_is_heard_all_the_same(folder, sandbox):
    done = finished(folder, "run", "config.yaml", "--handler", "work.py:Sly")
    assert done.returncode == 0
    assert sandbox.statuses("demo") == ["running", "aborted"]


def test_a_second_signal_is_immediate(folder, sandbox, started):
    write_config(folder, sandbox, "resync: {abortGrace: 3600}")
    process = started("run", "config.yaml", "--handler", "work.py:Deaf")
    sandbox.wait_for(lambda: sandbox.statuses("demo") == ["running"], WITHIN)
    process.send_signal(signal.SIGTERM)
    for line in process.stdout:
        if "is aborted: stopping" in line:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 1


def test_check_says_what_it_found(folder, sandbox):
    sandbox.create_integration("demo")
    sandbox.request_resync("demo")
    done = finished(folder, "check", "config.yaml")
    assert done.returncode == 0
    topics = [line.split()[1] for line in done.stdout.splitlines()]
    assert topics == ["settings", "listener", "Port", "integration", "request"]


def test_check_of_an_integration_that_port_does_not_know_is_fine(folder):
    done = finished(folder, "check", "config.yaml")
    assert done.returncode == 0
    assert "not known yet" in done.stdout


def test_check_fails_if_port_refuses(folder, sandbox):
    sandbox.configure(refuse_credentials=True)
    done = finished(folder, "check", "config.yaml")
    assert done.returncode == 1
    assert "FAILED Port" in done.stdout


def test_a_sandbox_on_a_port_in_use_is_one_line_and_exit_1(folder, sandbox):
    done = finished(folder, "sandbox", "--port", str(sandbox.port))
    assert done.returncode == 1
    assert str(sandbox.port) in line_of(done)


def test_the_sandbox_command_serves_until_it_is_stopped(started):
    process = started("sandbox", "--port", "0")
    assert "http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 0
