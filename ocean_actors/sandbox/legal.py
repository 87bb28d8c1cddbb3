"""Whether a record of reports is one that Port may see (docs/port-wire.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from ocean_actors.sandbox.stamps import parse_iso

ENDS = frozenset({"completed", "failed", "aborted"})


class IllegalReports(Exception):
    """Reports that tell no story: says which one does not fit, and all statuses."""


def runs_of(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """How the runs that the reports tell of ended, oldest first; "running" for one that has not.

    Raises IllegalReports unless each run is reported running and then ended, before the next
    one begins and not before its own start. A report that comes twice in a row counts once: its
    sender did not hear that it was taken.
    """
    runs: list[str] = []
    began = ""
    told = [{key: report[key] for key in report if key != "updatedAt"} for report in reports]
    for report, _ in groupby(told):
        status = str(report.get("status"))
        is_open = bool(runs) and runs[-1] == "running"
        end = report.get("lastResyncEnd")
        if status == "running" and not is_open and end is None and report.get("lastResyncStart"):
            began = str(report["lastResyncStart"])
            runs.append(status)
        elif status in ENDS and is_open and end and parse_iso(end) >= parse_iso(began):
            runs[-1] = status
        else:
            statuses = [str(item.get("status")) for item in told]
            raise IllegalReports(f"{dict(report)} does not fit after {runs}; all: {statuses}")
    return runs
