"""`ocean-actors status|resync|abort|pause|resume`: talk to a running process.

This module imports little, as every command line builds its parser here.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ocean_actors._version import __version__
from ocean_actors.control import DEFAULT_URL
from ocean_actors.terminal import print_error, print_line
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.control.client import ControlClient

    Command = Callable[[ControlClient, argparse.Namespace], Iterator[str]]

TOKEN_VARIABLE = "OCEAN__CONTROL__TOKEN"  # noqa: S105  (a name)
DONE, FAILED = 0, 1


def add_commands(commands: Any) -> None:
    """Add the five commands to a parser's subparsers."""
    status = _add(commands, "status", "show what a running integration is doing", _status)
    status.add_argument("--json", action="store_true", help="the raw status, as JSON")

    resync = _add(commands, "resync", "request a resync", _resync)
    _add_reason(resync)
    resync.add_argument(
        "--kind", action="append", metavar="KIND",
        help="resync this kind only; may be given several times; default: all",
    )  # fmt: skip

    abort = _add(commands, "abort", "abort the run in flight", _abort)
    _add_reason(abort)
    pause = _add(commands, "pause", "start no more runs until `resume`", _pause)
    _add_reason(pause)
    resume = _add(commands, "resume", "end a pause", _resume)
    _add_reason(resume)


def _add(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.add_argument(
        "--url", default=DEFAULT_URL, help=f"of the control server; default: {DEFAULT_URL}"
    )
    parser.add_argument("--token", help=f"its control.token; default: ${TOKEN_VARIABLE}")
    parser.add_argument(
        "--integration", metavar="NAME", help="which one, where a process runs several"
    )
    parser.set_defaults(command=lambda options: _run(command, options))
    return parser


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reason", nargs="?", metavar="REASON", default="requested on the command line",
        help="for the log and the dashboard",
    )  # fmt: skip


def _run(command: Command, options: argparse.Namespace) -> int:
    from ocean_actors.control.client import ControlClient, ControlError

    token = options.token or os.environ.get(TOKEN_VARIABLE)
    client = ControlClient(options.url, token, options.integration)
    try:
        for line in command(client, options):
            print_line(line)
    except ControlError as error:
        print_error(error)
        return FAILED
    return DONE


def _status(client: ControlClient, options: argparse.Namespace) -> Iterator[str]:
    from ocean_actors.control.client import ControlError
    from ocean_actors.control.report import report

    status = client.status()
    if options.json:
        yield from json.dumps(status, indent=2).splitlines()
        return
    try:
        page = list(report(status))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ControlError(
            f"{options.url}: the status does not have the shape of ocean_actors {__version__} "
            f"({one_line(error)}); --json shows it"
        ) from None
    yield from page


def _resync(client: ControlClient, options: argparse.Namespace) -> Iterator[str]:
    body = {"reason": options.reason} | ({"kinds": options.kind} if options.kind else {})
    yield f"requested: {one_line(client.steer('resync', body).get('id'))}"


def _abort(client: ControlClient, options: argparse.Namespace) -> Iterator[str]:
    aborted = client.steer("abort", {"reason": options.reason}).get("aborted")
    yield "the run is being aborted" if aborted else "no run is in flight"


def _pause(client: ControlClient, options: argparse.Namespace) -> Iterator[str]:
    client.steer("pause", {"reason": options.reason})
    yield "paused until `ocean-actors resume` or a restart of the process"


def _resume(client: ControlClient, options: argparse.Namespace) -> Iterator[str]:
    client.steer("resume", {"reason": options.reason})
    yield "resumed"
