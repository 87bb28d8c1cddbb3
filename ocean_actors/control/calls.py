"""The bodies of the calls that steer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ocean_actors.messages import Policy
from ocean_actors.text import one_line
from ocean_actors.web.answers import Refusal
from ocean_actors.web.body import read_body, require_json

MAX_BODY_BYTES = 64 * 1024

OWNER = "api"
"""The owner of a pause whose call names none."""

Reason = Annotated[str, Field(min_length=1, max_length=300)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class SteeringCall(BaseModel):
    """The keys that every body may have."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        defer_build=True,  # most processes are never steered
    )

    reason: Reason = "requested through the control server"


class ResyncCall(SteeringCall):
    """`POST /api/resync`; `kinds` of None stands for all."""

    kinds: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    parameters: dict[str, JsonValue] | None = None
    policy: Policy | None = None


class PauseCall(SteeringCall):
    """`POST /api/pause`."""

    owner: Name = OWNER
    abort: bool = False


class ResumeCall(SteeringCall):
    """`POST /api/resume`."""

    owner: Name = OWNER


CallT = TypeVar("CallT", bound=SteeringCall)


def read_call(environ: Mapping[str, Any], model: type[CallT]) -> CallT:
    """Returns the body of a call; an empty one has the defaults.

    Raises Refusal: 411, 413, 415 or 400.
    """
    require_json(environ)
    body = read_body(environ, MAX_BODY_BYTES)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in detail["loc"]) or "the body"
        raise Refusal(400, one_line(f"{place}: {detail['msg']}")) from None
