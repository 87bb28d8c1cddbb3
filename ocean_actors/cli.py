"""The command line: a thin shell over `OceanSystem`."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocean_actors._version import __version__
from ocean_actors.control.command import add_commands
from ocean_actors.errors import UsageError
from ocean_actors.terminal import print_error, print_line
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.group.group import SystemGroup
    from ocean_actors.group.members import Member
    from ocean_actors.port.dry_run import DryRunResult
    from ocean_actors.system import OceanSystem

STOPPED, FAILED, UNUSABLE = 0, 1, 2
"""Exit codes: stopped as asked (or ONCE completed); a failure; unusable arguments or settings."""

STOP_SECONDS = 4.5
"""How long a stop may take besides `resync.abortGrace`; together less than Kubernetes' 30 s."""

EXIT_SECONDS = 4.0
"""How long threads and exit functions of handlers may hold up the end once all has stopped."""

SANDBOX_STOP_SECONDS = 30.0

NO_THREAD = "can't start new thread"
"""What Python says where memory or the number of threads is limited."""

LOG_FORMATS = ("auto", "text", "json")
LOG_LEVEL = "APPLICATION__LOG_LEVEL"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the process's) name; returns the exit code."""
    _open_closed_streams()
    options = _parser().parse_args(arguments)
    try:
        _search_working_folder_last()
        code: int = options.command(options)
        sys.stdout.flush()
    except UsageError as error:  # SettingsError, too
        print_error(error)
        return UNUSABLE
    except BrokenPipeError:  # whoever read the output has gone, as in `ocean-actors demo | head`
        _discard_output()
        return FAILED
    except OSError as error:  # a port in use, a broker that does not start
        print_error(error)
        return FAILED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_lack_of_threads(error):
            raise
        print_error(str(error) or "out of memory")
        return FAILED
    except KeyboardInterrupt:  # before `run` and `sandbox` handle signals themselves
        print_error("interrupted")
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ocean-actors", description="Hear Port's events and run resyncs, as actors."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run integrations until they are stopped")
    _add_config(run)
    _add_handlers(run)
    _add_ocean(run)
    run.add_argument(
        "--actor", action="append", default=[], metavar="MODULE_OR_FILE.py:CLASS",
        help="a custom actor; may be given several times; default: the setting actors",
    )  # fmt: skip
    run.add_argument(
        "--log-level", type=_log_level, metavar="LEVEL",
        help=f"one of {', '.join(LOG_LEVELS)}; default: {LOG_LEVEL}, as Port Ocean has it, else "
        "INFO",
    )  # fmt: skip
    run.add_argument(
        "--log-format", default="auto", choices=LOG_FORMATS,
        help="auto (the default): text on a terminal, else JSON",
    )  # fmt: skip
    run.add_argument(
        "--dry-run", action="store_true",
        help="run one resync without writing to Port, and print what would have changed",
    )  # fmt: skip
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="check the settings, and try Port")
    _add_config(check)
    _add_handlers(check)
    _add_ocean(check)
    check.set_defaults(command=_check)

    add_commands(commands)

    schema = commands.add_parser("schema", help="print the JSON Schema of a settings file")
    schema.set_defaults(command=_schema)

    new = commands.add_parser("new", help="make a folder with an integration that runs")
    new.add_argument("name", metavar="NAME", help="of the folder, and of the integration in Port")
    new.set_defaults(command=_new)

    sandbox = commands.add_parser("sandbox", help="run a local stand-in for Port's API")
    sandbox.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    sandbox.add_argument("--port", type=int, default=8099, help="default: 8099; 0: any free port")
    sandbox.add_argument(
        "--blueprint", action="append", default=[], metavar="NAME",
        help="create this blueprint, without properties; may be given several times",
    )  # fmt: skip
    sandbox.add_argument(
        "--blueprints", action="append", default=[], metavar="FILE",
        help="create the blueprints of a JSON or YAML file; may be given several times",
    )  # fmt: skip
    sandbox.add_argument(
        "--mapping", metavar="FILE",
        help="the mapping (JSON or YAML) of integrations that are created without one",
    )  # fmt: skip
    sandbox.add_argument(
        "--kafka", action="store_true", help="with a real Kafka (install '.[broker]')"
    )
    sandbox.add_argument(
        "--noise", type=int, default=None, metavar="N",
        help="with --kafka: N messages about entities before each message; default: 0",
    )  # fmt: skip
    sandbox.set_defaults(command=_sandbox)

    demo = commands.add_parser("demo", help="see an integration at work, in about ten seconds")
    demo.add_argument(
        "--listener", choices=("polling", "kafka", "webhook"), default="polling",
        help="how it hears Port; default: polling; kafka takes up to a minute",
    )  # fmt: skip
    demo.set_defaults(command=_demo)
    return parser


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "configs", nargs="*", metavar="CONFIG",
        help="the YAML file with the settings; default: only the environment and .env; several "
        "files: several integrations in one process, each with the handlers that its file names",
    )  # fmt: skip


def _add_handlers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--handler", action="append", default=[], metavar="MODULE_OR_FILE.py:CLASS",
        help="a ResyncHandler or LiveHandler; may be given several times; default: the setting "
        "handlers",
    )  # fmt: skip


def _add_ocean(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ocean", metavar="FOLDER",
        help="the folder of an integration of Port Ocean, which runs inside; default: the setting "
        "ocean.path",
    )  # fmt: skip
    command.add_argument(
        "--ocean-python", metavar="PATH",
        help="the Python that has its dependencies; default: the setting ocean.python, else "
        ".venv/bin/python in FOLDER, else python3",
    )  # fmt: skip


def _ocean(options: argparse.Namespace) -> dict[str, str]:
    """Returns the settings of the section `ocean` that the command line gives."""
    given = {"path": options.ocean, "python": options.ocean_python}
    return {key: value for key, value in given.items() if value is not None}


def _log_level(name: str) -> str:
    if name.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(LOG_LEVELS)}, got {name!r}")
    return name.upper()


def _log_level_of_environment() -> str:
    """Returns the level that the variable of Port Ocean says. Raises UsageError."""
    level = os.environ.get(LOG_LEVEL) or "INFO"
    try:
        return _log_level(level.strip())
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{LOG_LEVEL}: {error}") from None


def _run(options: argparse.Namespace) -> int:
    from ocean_actors.group.load import load_members
    from ocean_actors.log_output.setup import LogSetup
    from ocean_actors.signals import SignalHandlers

    members = load_members(
        options.configs, options.handler, options.actor, dry_run=options.dry_run,
        ocean=_ocean(options),
    )  # fmt: skip
    only = members[0].identifier if len(members) == 1 else None
    log_level = options.log_level or _log_level_of_environment()
    log = LogSetup(log_level, options.log_format, only)
    # kafka-python logs ten lines for each attempt to connect, and passwords at DEBUG; we log
    # what matters ourselves.
    kafka_level = logging.INFO if log_level == "DEBUG" else logging.CRITICAL
    logging.getLogger("kafka").setLevel(kafka_level)
    _log_unused_settings(members)
    _warn_of_unusable_authorities()
    results: list[DryRunResult] = []
    running, systems = _made(members, options, results)
    seconds = max(each.settings.resync.abort_grace for each in systems) + STOP_SECONDS
    signals = SignalHandlers()
    signals.call_on(signal.SIGUSR1, running.log_state)
    signals.stop_on_signals(
        running.shutdown, seconds, lambda name: _stopping(systems, name, seconds)
    )
    threading.Thread(target=_end_after, args=(running,), name="exit", daemon=True).start()
    with log.showing(*(each.status for each in systems)):
        _start(running)
        running.wait()
    for line in results[-1].lines() if results else ():
        print_line(line)
    code = running.exit_code
    if options.dry_run and not (results and results[-1].complete):  # also if it was stopped
        code = code or FAILED
    _exit_despite(running.left_behind, code)
    return code


def _made(
    members: Sequence[Member], options: argparse.Namespace, results: list[DryRunResult]
) -> tuple[OceanSystem | SystemGroup, Sequence[OceanSystem]]:
    """Returns what is to run, and its systems; `results` gets those of a dry run."""
    from ocean_actors.system import OceanSystem

    if len(members) > 1:
        from ocean_actors.group.group import SystemGroup

        group = SystemGroup(members, serve_http=True, serve_control=True)
        return group, group.systems
    (member,) = members
    system = OceanSystem(  # another process may use the ports during a dry run
        member.settings, member.handlers, member.actors,
        serve_http=not options.dry_run, serve_control=not options.dry_run,
        show_dry_run=results.append if options.dry_run else None,
    )  # fmt: skip
    return system, [system]


def _start(running: OceanSystem | SystemGroup) -> None:
    """Start, and log what a custom actor raises in `__init__`; that has ended the integration."""
    try:
        running.start()
    except (MemoryError, OSError, UsageError):  # for which `main` has a line
        raise
    except Exception as error:
        if _is_lack_of_threads(error):
            raise
        logging.getLogger(__name__).exception("the integration cannot start")


def _is_lack_of_threads(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and NO_THREAD in str(error)


def _check(options: argparse.Namespace) -> int:
    from ocean_actors.check import check
    from ocean_actors.group.load import load_members
    from ocean_actors.group.members import agreed

    good = True
    members = load_members(
        options.configs, options.handler, need_handlers=False, ocean=_ocean(options)
    )
    for member in agreed(members) if len(members) > 1 else members:
        classes = [each for each in member.handlers if isinstance(each, type)]
        for line in check(member.settings, member.name, classes):
            good = good and line.good
            print_line(line)
    return STOPPED if good else FAILED


def _new(options: argparse.Namespace) -> int:
    from ocean_actors.scaffold.new import new

    for line in new(options.name, Path()):
        print_line(line)
    return STOPPED


def _schema(_options: argparse.Namespace) -> int:
    from ocean_actors.settings.schema import json_schema

    for line in json.dumps(json_schema(print_error), indent=2).splitlines():
        print_line(line)
    return STOPPED


def _sandbox(options: argparse.Namespace) -> int:
    from ocean_actors.sandbox.command import serve
    from ocean_actors.signals import SignalHandlers

    if options.noise is not None and not options.kafka:
        raise UsageError("--noise needs --kafka: it precedes the messages on Kafka")
    bare = [{"identifier": name} for name in dict.fromkeys(options.blueprint)]
    done = threading.Event()
    SignalHandlers().stop_on_signals(done.set, SANDBOX_STOP_SECONDS, lambda _name: None)
    for line in serve(
        options.host, options.port, kafka=options.kafka, noise=options.noise or 0,
        blueprints=[*bare, *options.blueprints], mapping=options.mapping, until=done,
    ):  # fmt: skip
        print_line(line)
    return STOPPED


def _demo(options: argparse.Namespace) -> int:
    from ocean_actors.demo.show import show

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)  # ends the sandbox and Kafka, too
    return show(options.listener)


def _stopping(systems: Sequence[OceanSystem], name: str, seconds: float) -> str:
    """Returns a line that says what a stop waits for, and for how long at most."""
    waits = ""
    for system in systems:
        whose = f" of {system.settings.integration.identifier}" if len(systems) > 1 else ""
        grace = system.settings.resync.abort_grace
        run = (system.status()["resync"] or {}).get("run")
        if run is not None:
            waits += (
                f" run {run['id']}{whose} is aborted and has {grace:g} s to end "
                "(resync.abortGrace), "
                f"handlers: {', '.join(run['handlers']) or 'none'};"
            )
    return (
        f"{name}: stopping;{waits} the process ends within {seconds:g} s, "
        "or at once on a second signal"
    )


def _log_unused_settings(members: Sequence[Member]) -> None:
    from ocean_actors.log import LogContext, logging_context

    for member in members:
        if member.settings.ignored:
            with logging_context(LogContext(member.identifier)):
                if member.settings.ocean.path is None:
                    text = "settings not used here: %s"
                else:
                    text = "settings that only the integration inside may use: %s"
                logging.getLogger(__name__).info(text, ", ".join(member.settings.ignored))


def _warn_of_unusable_authorities() -> None:
    """Log at the start why calls over TLS will fail: the first one may come much later.

    What the environment names may be unusable; the authorities of certifi are read when needed.
    """
    from ocean_actors import tls

    if not tls.authorities(os.environ):
        return
    try:
        tls.client_context()
    except tls.UnusableAuthorities as error:
        logging.getLogger(__name__).warning("no connection over TLS can be made: %s", error)


def _search_working_folder_last() -> None:
    """`python -m ocean_actors` behaves as `ocean-actors` does: see `loading.search_last`."""
    from ocean_actors.loading import search_last

    if sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
        search_last(Path.cwd())


def _open_closed_streams() -> None:
    """Open what was closed when the process started, as by `2>&-`, on the null device.

    Else Python has no such stream, and the next socket gets its number, and what is written to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (until the process ends)


def _discard_output() -> None:
    """Have what is left in the buffer of standard output go nowhere when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_after(running: OceanSystem | SystemGroup) -> None:
    """End the process `EXIT_SECONDS` after all has stopped, if it has not ended by then.

    Python waits at its exit for the threads of every ThreadPoolExecutor, for exit functions and
    for a pipe to take the output, without a limit. This thread is started early, as it may be
    impossible to start one later.
    """
    from ocean_actors.signals import end_now

    running.wait()
    threading.Event().wait(EXIT_SECONDS)
    ours = {"MainThread", "exit", "signals", "stop", "log-writer"}
    held = sorted(each.name for each in threading.enumerate() if each.name not in ours)
    end_now(
        f"the process did not end within {EXIT_SECONDS:g} s of the stop and is ended; "
        f"threads at work: {one_line(', '.join(held), 500) or 'none'}",
        running.exit_code,
    )


def _exit_despite(left_behind: Iterable[str], code: int) -> None:
    """End the process now if threads are left that Python would wait for at its exit.

    The thread of a handler is a daemon; a thread that the handler started may not be one.
    """
    if any(left_behind):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
