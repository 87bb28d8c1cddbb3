"""Creates the blueprints that handlers declare and Port lacks; changes none that Port has."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ocean_actors.blueprints import Blueprint, identifier_of
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import get_logger
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.retry import ONCE
from ocean_actors.text import one_line

logger = get_logger(__name__)

REFERENCES = ("relations", "teamInheritance", "ownership")
"""The fields of a blueprint that refer to others."""
DERIVED = ("mirrorProperties", "calculationProperties", "aggregationProperties")
"""The fields that may refer to what other blueprints refer to."""


@dataclass(frozen=True)
class Step:
    """One call: create the blueprint with these fields, or add the fields to it."""

    action: Literal["create", "add"]
    identifier: str
    fields: FrozenDict


def targets_of(blueprint: Blueprint) -> frozenset[str]:
    """Returns the identifiers of the blueprints that this one refers to."""
    sections = [blueprint.get(name) for name in ("relations", "aggregationProperties")]
    items = [item for each in sections if isinstance(each, Mapping) for item in each.values()]
    found = [item.get("target") for item in items if isinstance(item, Mapping)]
    return frozenset(target for target in found if isinstance(target, str))


def creation_steps(missing: Sequence[FrozenDict], known: Collection[str]) -> tuple[Step, ...]:
    """Returns the calls that create the `missing` blueprints, if Port has those in `known`.

    A blueprint is created after those that it refers to. Where that is not possible (a circle, a
    reference to itself or to what nobody declares), it is created without the fields that refer
    to others; these are added when all are created.
    """
    complete, waiting = set(known), list(missing)
    creating: list[Step] = []
    split: list[FrozenDict] = []
    while waiting:
        whole = next((each for each in waiting if targets_of(each) <= complete), None)
        blueprint = waiting[0] if whole is None else whole
        waiting.remove(blueprint)
        if whole is None:
            split.append(blueprint)
            fields = _without(blueprint, (*REFERENCES, *DERIVED))
        else:
            complete.add(identifier_of(blueprint))
            fields = blueprint
        creating.append(Step("create", identifier_of(blueprint), fields))
    adding = [
        Step("add", identifier_of(blueprint), fields)
        for names in (REFERENCES, DERIVED)
        for blueprint in split
        if (fields := _only(blueprint, names))
    ]
    return (*creating, *adding)


class Provisioning:
    """Creates blueprints, and remembers how far it got while Port does not answer.

    What Port refuses for good is logged as a warning and left out.
    """

    def __init__(self, client: PortClient, blueprints: Sequence[FrozenDict]) -> None:
        self._client = client
        self._blueprints = blueprints
        self._known: dict[str, bool] = {}  # whether Port has it, by identifier
        self._steps: deque[Step] | None = None  # None: Port was not asked what it has
        self._unsure: Step | None = None  # its call was sent and may have succeeded

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self._blueprints or (self._steps is not None and not self._steps)

    def advance(self) -> None:
        """Do all that is left. Raises PortError if Port is to be asked again later."""
        if not self._blueprints:
            return
        if self._steps is None:
            missing = self._missing()
            known = {identifier for identifier, has in self._known.items() if has}
            self._steps = deque(creation_steps(missing, known))
        while self._steps:
            step = self._steps[0]
            try:
                self._take(step)
            except PortError as error:
                if error.temporary:
                    self._unsure = step
                    raise
                if not (step.action == "create" and self._exists_after(step, error)):
                    self._leave_out(step, error)
            self._unsure = None
            if self._steps and self._steps[0] is step:
                self._steps.popleft()

    def _missing(self) -> list[FrozenDict]:
        """Returns the blueprints that Port lacks, once it is known which others it has."""
        missing = [each for each in self._blueprints if not self._has(identifier_of(each))]
        for blueprint in missing:
            for target in sorted(targets_of(blueprint)):
                self._has(target)
        return missing

    def _has(self, identifier: str) -> bool:
        """Returns whether Port has a blueprint. One that we may not read counts as present."""
        if identifier not in self._known:
            try:
                self._client.get_blueprint(identifier, retry=ONCE)
            except PortError as error:
                if error.temporary:
                    raise
                self._known[identifier] = error.status != 404
                if error.status != 404:
                    logger.warning(
                        "whether Port has the blueprint %s is unknown: %s",
                        one_line(identifier, 80), error,
                    )  # fmt: skip
            else:
                self._known[identifier] = True
        return self._known[identifier]

    def _take(self, step: Step) -> None:
        if step.action == "create":
            self._client.create_blueprint(step.fields)
            logger.info("created the blueprint %s", one_line(step.identifier, 80))
        else:
            self._client.patch_blueprint(step.identifier, step.fields)

    def _exists_after(self, step: Step, error: PortError) -> bool:
        """Returns whether Port refused to create a blueprint because it has it."""
        if error.status not in (409, 422):
            return False
        self._known.pop(step.identifier, None)
        if not self._has(step.identifier):
            return False
        if self._unsure is not step:  # else the call whose answer was lost has created it
            logger.info("the blueprint %s exists by now", one_line(step.identifier, 80))
            self._forget(step.identifier)
        return True

    def _leave_out(self, step: Step, error: PortError) -> None:
        if step.action == "create":
            text = "Port refused the blueprint %s; the runs go on without it: %s"
        else:
            text = f"the blueprint %s was created without its {', '.join(sorted(step.fields))}: %s"
        logger.warning(text, one_line(step.identifier, 80), error)
        self._forget(step.identifier)

    def _forget(self, identifier: str) -> None:
        """Drop all steps of a blueprint."""
        self._steps = deque(step for step in self._steps or () if step.identifier != identifier)


def _without(blueprint: FrozenDict, names: Iterable[str]) -> FrozenDict:
    dropped = frozenset(names)
    return FrozenDict({key: value for key, value in blueprint.items() if key not in dropped})


def _only(blueprint: FrozenDict, names: Iterable[str]) -> FrozenDict:
    return FrozenDict({name: blueprint[name] for name in names if blueprint.get(name)})
