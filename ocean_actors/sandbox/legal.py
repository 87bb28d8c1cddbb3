"""Checks that reports of resyncs come in a legal order (docs/port-wire.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from ocean_actors.errors import OceanError
from ocean_actors.port_time import parse_time

ENDS = frozenset({"completed", "failed", "aborted"})


class IllegalReports(OceanError):
    """Reports in an illegal order; the text names the first wrong report, and all statuses."""


def runs_of(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns how each reported run ended, oldest first; "running" for a run that has not ended.

    Raises IllegalReports unless each run is first reported as running and then as ended, before
    the next run starts and not before its own start. Two equal reports in a row count as one: a
    sender that gets no answer sends its report again.
    """
    runs: list[str] = []
    began: object = None
    sent = [{key: report[key] for key in report if key != "updatedAt"} for report in reports]
    for report, _ in groupby(sent):
        status = str(report.get("status"))
        is_open = bool(runs) and runs[-1] == "running"
        end = report.get("lastResyncEnd")
        if status == "running" and not is_open and end is None and report.get("lastResyncStart"):
            began = report["lastResyncStart"]
            runs.append(status)
        elif status in ENDS and is_open and _in_order(began, end):
            runs[-1] = status
        else:
            statuses = [str(item.get("status")) for item in sent]
            raise IllegalReports(f"{dict(report)} does not fit after {runs}; all: {statuses}")
    return runs


def _in_order(began: object, ended: object) -> bool:
    start, end = parse_time(began), parse_time(ended)
    return start is not None and end is not None and start <= end
