"""The command line: a thin shell over `OceanSystem`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from ocean_actors._version import __version__

STOPPED, FAILED, UNUSABLE = 0, 1, 2
"""Exit codes: as asked (or ONCE completed); Port refused or a fatal failure; bad arguments."""

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class UsageError(Exception):
    """Arguments that cannot be used; one readable line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: of the process) name; returns the exit code."""
    from ocean_actors.settings import SettingsError

    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except (UsageError, SettingsError) as error:
        print(f"ocean-actors: {error}", file=sys.stderr)  # noqa: T201
        return UNUSABLE
    except OSError as error:  # a port in use, a broker that does not start
        print(f"ocean-actors: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    except KeyboardInterrupt:  # `run` and `sandbox` take signals themselves, once they have begun
        print("ocean-actors: interrupted", file=sys.stderr)  # noqa: T201
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ocean-actors", description="Hear Port's events and run resyncs, as actors."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run an integration until it is stopped")
    run.add_argument("config", metavar="CONFIG", help="the YAML file with the settings")
    run.add_argument(
        "--handler", action="append", required=True, metavar="MODULE_OR_FILE.py:CLASS",
        help="a ResyncHandler; may be given several times",
    )  # fmt: skip
    run.add_argument("--log-level", default="INFO", type=_level, help="default: INFO")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="check the settings, and try Port")
    check.add_argument("config", metavar="CONFIG", help="the YAML file with the settings")
    check.set_defaults(command=_check)

    sandbox = commands.add_parser("sandbox", help="run a local stand-in of Port's API")
    sandbox.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    sandbox.add_argument("--port", type=int, default=8099, help="default: 8099; 0: any free one")
    sandbox.add_argument(
        "--kafka", action="store_true", help="with a real Kafka (extra: ocean-actors[broker])"
    )
    sandbox.add_argument(
        "--noise", type=int, default=0, metavar="N",
        help="with --kafka: N other messages before each; default: 0",
    )  # fmt: skip
    sandbox.set_defaults(command=_sandbox)

    demo = commands.add_parser("demo", help="see an integration at work, in under 20 seconds")
    demo.add_argument(
        "--listener", choices=("polling", "kafka", "webhook"), default="polling",
        help="how it hears Port; default: polling",
    )  # fmt: skip
    demo.set_defaults(command=_demo)
    return parser


def _level(name: str) -> str:
    if not isinstance(logging.getLevelName(name.upper()), int):
        raise argparse.ArgumentTypeError(f"{name!r} is no log level: DEBUG, INFO, WARNING, ERROR")
    return name.upper()


def _run(options: argparse.Namespace) -> int:
    from ocean_actors.loading import HandlerError, load_handler
    from ocean_actors.settings import Settings
    from ocean_actors.system import OceanSystem

    settings = Settings.from_file(options.config)
    try:
        handlers = [load_handler(place) for place in options.handler]
    except HandlerError as error:
        raise UsageError(f"--handler {error}") from None
    logging.basicConfig(format=LOG_FORMAT, level=options.log_level)
    # kafka-python logs ten lines for every attempt to connect; we log what matters ourselves. At
    # DEBUG it would log whole requests, and so passwords.
    debug = options.log_level == "DEBUG"
    logging.getLogger("kafka").setLevel(logging.INFO if debug else logging.CRITICAL)
    if settings.ignored:
        logging.getLogger(__name__).info("settings not used here: %s", ", ".join(settings.ignored))
    system = OceanSystem(settings, handlers)
    _stop_on_signals(system.shutdown)
    signal.signal(signal.SIGUSR1, lambda *_: system.log_state())
    system.start()
    system.wait()
    _exit_despite(system.status()["leftBehind"], system.exit_code)
    return system.exit_code


def _check(options: argparse.Namespace) -> int:
    from ocean_actors.check import check
    from ocean_actors.settings import Settings

    good = True
    for line in check(Settings.from_file(options.config), options.config):
        good = good and line.good
        print(line)  # noqa: T201
    return STOPPED if good else FAILED


def _sandbox(options: argparse.Namespace) -> int:
    from ocean_actors.sandbox.command import serve

    done = threading.Event()
    _stop_on_signals(done.set)
    for line in serve(
        options.host, options.port, kafka=options.kafka, noise=options.noise, until=done
    ):
        print(line, flush=True)  # noqa: T201
    return STOPPED


def _demo(options: argparse.Namespace) -> int:
    from ocean_actors.demo.show import show

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the sandbox, and Kafka, too
    return show(options.listener)


def _stop_on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` at the first SIGTERM or SIGINT; a second one ends the process at once."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(FAILED))
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _exit_despite(left_behind: Iterable[str], code: int) -> None:
    """End the process now if threads are left that Python would wait for at its exit.

    A handler that does not end is a daemon thread; one that it started itself may be none.
    """
    if any(left_behind):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
