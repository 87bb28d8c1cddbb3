"""The generated parts of docs/performance.md, one for each benchmark, between markers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.report import Line, Row, markdown


def markers(name: str) -> tuple[str, str]:
    """Returns the comments around the part of a benchmark."""
    return (
        f"<!-- begin {name}: written by python -m benchmarks {name} --page -->",
        f"<!-- end {name} -->",
    )


def replaced(page: str, name: str, part: str) -> str:
    """Returns the page with another part of a benchmark. Raises ValueError without its markers."""
    begin, end = markers(name)
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"docs/performance.md: expected the lines {begin} and {end}; add both")
    return f"{before}{begin}\n\n{part.strip()}\n\n{end}{after}"


def part(
    command: str, machine: str, rows: Iterable[Row], lines: Iterable[Line], notes: Iterable[str]
) -> Iterator[str]:
    """Yields the lines of a part: the command, the machine, what the rows mean, and the table."""
    yield f"`{command}` on {machine}."
    yield ""
    yield from markdown(lines)
    yield ""
    for row in rows:
        yield f"- {row.name}: {row.meaning}"
    for note in notes:
        yield f"- {note}"
