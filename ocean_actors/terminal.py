"""Lines for the user's terminal, with control characters escaped."""

from __future__ import annotations

import sys

from ocean_actors.text import escaped


def print_line(line: object) -> None:
    """Print a line of output, and flush it."""
    sys.stdout.write(f"{escaped(str(line))}\n")
    sys.stdout.flush()


def print_error(problem: object) -> None:
    """Print a line about a problem to the standard error."""
    sys.stderr.write(f"ocean-actors: {escaped(str(problem))}\n")
