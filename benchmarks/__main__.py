"""Run benchmarks: `python -m benchmarks NAME…`, or `all`; without a name they are listed."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine, page
from benchmarks.peers.port_ocean_python import NotInstalled
from benchmarks.programs import ROOT
from benchmarks.report import Line, Row, as_json, lines_of, table

NAMES = (
    "actors", "control", "idle", "jq_mapping", "kafka_listener", "live_events", "metrics",
    "ocean", "resync_requests", "scale", "shard_writes", "shards", "start", "upsert", "webhook",
)  # fmt: skip
PAGE = ROOT / "docs" / "performance.md"


@dataclass
class Result:
    """What one benchmark found."""

    name: str
    machine: str
    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False

    @property
    def command(self) -> str:
        return f"python -m benchmarks {self.name}"

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "command": self.command,
            "machine": self.machine,
            "seconds": round(self.seconds, 1),
            "rows": [
                as_json(row, [line for line in self.lines if line.row == row.name])
                for row in self.rows
            ],
            "notes": self.notes,
        }


def run(name: str, rounds: int | None) -> Result:
    """Run one benchmark: a module with PACKAGES, ROUNDS and `measure(rounds)`, an iterator of rows.

    `measure` raises NotInstalled if a peer is missing, after the rows that need none, and
    RuntimeError, TimeoutError or another OSError if a program does not do what is expected of it.
    """
    module = importlib.import_module(f"benchmarks.{name}")
    result = Result(name, machine.describe(module.PACKAGES))
    begun = time.perf_counter()
    try:
        for row in module.measure(module.ROUNDS if rounds is None else min(rounds, module.ROUNDS)):
            result.rows.append(row)
            result.lines += lines_of(row, machine.busy())
    except NotInstalled as error:
        result.notes.append(f"The rest was not measured: {error}")
    except (OSError, RuntimeError) as error:  # the other benchmarks run anyway
        result.failed = True
        result.notes.append(f"FAILED: {type(error).__name__}: {error}")
    result.seconds = time.perf_counter() - begun
    return result


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="at most so many rounds of each row")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--page", action="store_true", help="write them to docs/performance.md")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    names = NAMES if "all" in options.names else options.names
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; expected all, {', '.join(NAMES)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds: expected 1 or more, got {options.rounds}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    if not names:
        for name in NAMES:
            about = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
            print(f"{name:16} {about.partition(chr(10))[0]}")
        return 0
    for logger in ("ocean_actors", "kafka", "waitress"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # runs are aborted on purpose
    results = []
    for name in names:
        result = run(name, options.rounds)
        results.append(result)
        print(f"\n{result.command}: {result.seconds:.0f} s, {result.machine}")
        print("\n".join([*table(result.lines), *result.notes]), flush=True)
        if options.page and not result.failed:
            text = PAGE.read_text(encoding="utf-8")
            part = page.part(
                result.command, result.machine, result.rows, result.lines, result.notes
            )
            PAGE.write_text(page.replaced(text, name, "\n".join(part)), encoding="utf-8")
        if options.json:  # after each, so that an interruption leaves what there is
            found = [each.as_json() for each in results]
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"\n{sum(result.seconds for result in results):.0f} s in all")
    held = all(line.held for result in results for line in result.lines)
    failed = any(result.failed for result in results)
    return 1 if failed or (options.check and not held) else 0


if __name__ == "__main__":
    sys.exit(main())
