"""How far the kinds of a resync are, by what upstream does and counts."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from typing import Any

LONGEST_REASON = 1_000  # characters
MOST_ERRORS = 5  # that are told


class Kinds:
    """The resources of Port's mapping in one resync."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._deleted_before = self._counts()[1]  # upstream's count goes on from run to run
        self._total = 0
        self._states: dict[str, dict[str, Any]] = {}
        self._errors: list[str] = []

    def begin(self, resource: Any, index: int, total: int) -> None:
        """Note that upstream works on a resource now, one of `total`."""
        self._total = total
        blueprint = str(resource.port.entity.mappings.blueprint).strip('"')
        self._states[f"{resource.kind}-{index}"] = {
            "kind": resource.kind,
            "index": index,
            "blueprint": blueprint[:LONGEST_REASON],
            "state": "syncing",
        }

    def end(self, kind: str, index: int, state: str, errors: Iterable[BaseException]) -> None:
        """Note how a resource ended."""
        self._states[f"{kind}-{index}"]["state"] = state
        self._errors += [f"{kind}: {described(error)}" for error in errors]

    def failure(self) -> str:
        """Returns why the resync failed, as far as it can be told."""
        told, more = self._errors[:MOST_ERRORS], len(self._errors) - MOST_ERRORS
        if more > 0:
            told.append(f"and {more} more")
        return ("; ".join(told) or "upstream says that the resync failed")[:LONGEST_REASON]

    def as_data(self) -> dict[str, Any]:
        """Returns the states and upstream's counts of objects."""
        counts, deleted = self._counts()
        return {
            "total": self._total,
            "kinds": [{**each, **counts.get(name, {})} for name, each in self._states.items()],
            "deleted": deleted - self._deleted_before,
        }

    def _counts(self) -> tuple[dict[str, dict[str, int]], int]:
        """Returns what upstream counted for each kind by phase, and how many it deleted so far."""
        counts: dict[str, dict[str, int]] = {}
        deleted = 0
        for family in self._app.metrics.metrics["object_count"].collect():
            for sample in family.samples:
                labels, value = sample.labels, int(sample.value)
                if labels.get("phase") == "delete":
                    deleted += value
                else:
                    name = f"{labels.get('phase')}_{labels.get('object_count_type')}"
                    counts.setdefault(labels.get("kind", ""), {})[name] = value
        return counts, deleted


def described(error: BaseException) -> str:
    """Returns an exception as one line; of a group, also what it holds."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    held = getattr(error, "exceptions", ())
    if held:
        text += ": " + "; ".join(described(each) for each in held[:MOST_ERRORS])
    return " ".join(text.split())[:LONGEST_REASON]


def located(error: BaseException) -> str:
    """Returns an exception as one line, with the place in the integration's code."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(os.getcwd()):
            place = f" ({frame.filename}:{frame.lineno})"
    return described(error) + place
