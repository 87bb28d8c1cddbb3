"""What a benchmark reports: rows of samples, compared pair by pair, as table, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

OURS = "ocean_actors"
HEADERS = ("row", OURS, "beside", "ratio", "target", "reason")
COUNTS = ("%", "KiB", "MiB", "runs", "threads")  # units of what a busy machine hardly changes
Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Target:
    """A limit for the ratio ours / `beside`, or for our own values if `beside` is None.

    The median has to hold, or with `each` every round. `reason` is shown if the target is missed.
    """

    limit: float
    beside: str | None = None
    at_most: bool = False
    each: bool = False
    reason: str = ""

    def held(self, values: Sequence[float]) -> bool:
        """Returns whether the values hold the target."""
        if self.at_most:
            return (max(values) if self.each else median(values)) <= self.limit
        return (min(values) if self.each else median(values)) >= self.limit

    def __str__(self) -> str:
        sign, each = "<=" if self.at_most else ">=", " in each round" if self.each else ""
        return f"{sign} {number(self.limit)}{each}"


@dataclass(frozen=True)
class Row:
    """One thing that was measured: for each candidate a value per round. Ours comes first."""

    name: str
    meaning: str
    unit: str
    samples: Samples
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row beside one peer or against one target, as it is shown."""

    row: str
    ours: str
    beside: str = ""
    ratio: str = ""
    target: str = ""
    held: bool = True
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        """Returns the texts of the table's columns."""
        verdict = "" if not self.target or self.held else " MISSED"
        target = f"{self.target}{verdict}"
        return (self.row, self.ours, self.beside, self.ratio, target, self.reason)


def alternate(
    candidates: Mapping[str, Callable[[], float]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Returns the values of each candidate, which take turns: A B A B … The first `warm` rounds
    do not count.
    """
    values: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warm + rounds):
        for name, measure in candidates.items():
            value = measure()
            if turn >= warm:
                values[name].append(value)
    return values


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Returns ours / theirs for each pair of rounds that followed each other."""
    return [
        mine / other if other else float("inf") for mine, other in zip(ours, theirs, strict=True)
    ]


def number(value: float) -> str:
    """Returns three digits, or all of an integer's."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float], unit: str = "") -> str:
    """Returns `median [min..max] unit`; one value stands alone."""
    text = number(median(values))
    if len(values) > 1:
        text += f" [{number(min(values))}..{number(max(values))}]"
    return f"{text} {unit}".strip()


def lines_of(row: Row, busy: str = "") -> list[Line]:
    """Returns a line for each peer and each target of a row.

    `busy` is the reason for a missed target that gives none itself, unless the unit is one of
    `COUNTS`.
    """
    if row.unit in COUNTS:
        busy = ""
    ours, *peers = row.samples
    mine = row.samples[ours]
    first = Line(row.name, spread(mine, row.unit))
    lines = []
    for target in row.targets:
        if target.beside is None:
            lines.append(_with_target(first, target, mine, busy))
    for peer in peers:
        theirs = row.samples[peer]
        each = ratios(mine, theirs)
        beside = f"{peer}: {spread(theirs, row.unit)}"
        line = replace(first, beside=beside, ratio=spread(each))
        wanted = [target for target in row.targets if target.beside == peer]
        lines += [_with_target(line, target, each, busy) for target in wanted] or [line]
    return lines or [first]


def _with_target(line: Line, target: Target, values: Sequence[float], busy: str) -> Line:
    held = target.held(values)
    reason = "" if held else target.reason or busy or "not known"
    return replace(line, target=str(target), held=held, reason=reason)


def table(lines: Iterable[Line]) -> Iterator[str]:
    """Yields the lines of a table for a terminal."""
    cells = [HEADERS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADERS))]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(padded).rstrip()


def markdown(lines: Iterable[Line]) -> Iterator[str]:
    """Yields the lines of a table in Markdown."""
    yield f"| {' | '.join(HEADERS)} |"
    yield "|---" * len(HEADERS) + "|"
    for line in lines:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line.cells())} |"


def as_json(row: Row, lines: Iterable[Line]) -> dict[str, object]:
    """Returns a row as JSON has it: samples and the lines that were made of them."""
    return {
        "name": row.name,
        "meaning": row.meaning,
        "unit": row.unit,
        "samples": {name: list(values) for name, values in row.samples.items()},
        "lines": [
            {"beside": line.beside, "ratio": line.ratio, "target": line.target, "held": line.held,
             "reason": line.reason}
            for line in lines
        ],
    }  # fmt: skip
