"""The integrations of a group, and what their settings have to agree on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from ocean_actors.context import ActorSpec
from ocean_actors.errors import UsageError
from ocean_actors.live.handler import LiveHandlerFactory
from ocean_actors.resync.handlers import HandlerFactory
from ocean_actors.settings import Settings
from ocean_actors.settings.errors import key_name
from ocean_actors.text import one_line

Section = Literal["http", "control"]

SHARED: tuple[Section, ...] = ("http", "control")
"""The sections that say what the process serves; a key that one member sets holds for all."""


@dataclass(frozen=True)
class Member:
    """One integration of a group: what an `OceanSystem` is made of.

    `name` says where the settings come from, for errors; by default it is the identifier.
    """

    settings: Settings
    handlers: Sequence[HandlerFactory | LiveHandlerFactory]
    actors: Sequence[ActorSpec] = ()
    name: str = ""

    @property
    def identifier(self) -> str:
        """The integration's identifier in Port."""
        return self.settings.integration.identifier

    @property
    def label(self) -> str:
        """What an error calls it."""
        return one_line(self.name or self.identifier, 200)


def agreed(members: Sequence[Member]) -> list[Member]:
    """Returns the members with the settings that they have in one process.

    All get the same sections `http` and `control`, with the keys that any of them sets. What Port
    calls, `eventListener.appHost`, is followed by the path of the integration; see `prefix`.

    Raises UsageError if there are none, if two have one identifier, or if two set a key of these
    sections differently.
    """
    if not members:
        raise UsageError("a group needs at least one integration")
    _require_distinct(members)
    shared = {
        section: {key: value for key, (value, _) in keys.items()}
        for section in SHARED
        if (keys := _united(section, members))
    }
    return [replace(each, settings=_in_group(each.settings, shared)) for each in members]


def prefix(identifier: str) -> str:
    """Returns the path below which an integration takes calls: `/shop/resync`, `/shop/live/…`."""
    return f"/{quote(identifier, safe='')}"


def _require_distinct(members: Sequence[Member]) -> None:
    seen: dict[str, Member] = {}
    for each in members:
        first = seen.setdefault(each.identifier, each)
        if first is not each:
            raise UsageError(
                f"{first.label} and {each.label}: both have the integration.identifier "
                f"{one_line(each.identifier, 100)}; give each its own, in its file "
                "(OCEAN__INTEGRATION__IDENTIFIER sets that of all)"
            )


def _united(section: Section, members: Sequence[Member]) -> dict[str, tuple[object, Member]]:
    """Returns the value of each key that a member sets, and the first who does."""
    found: dict[str, tuple[object, Member]] = {}
    for member in members:
        model = getattr(member.settings, section)
        for key in sorted(model.model_fields_set):
            value, first = found.setdefault(key, (getattr(model, key), member))
            if value != getattr(model, key):
                raise UsageError(
                    f"{first.label} and {member.label}: {key_name((section, key))} differs, but "
                    "the integrations of one process share it; set it in one of them"
                )
    return found


def _in_group(settings: Settings, shared: Mapping[Section, Mapping[str, object]]) -> Settings:
    update: dict[str, object] = {
        section: getattr(settings, section).model_copy(update=values)
        for section, values in shared.items()
    }
    listener = settings.event_listener
    host = getattr(listener, "app_host", None)  # of WEBHOOK, or of a package's listener like it
    if isinstance(host, str):
        address = f"{host}{prefix(settings.integration.identifier)}"
        update["event_listener"] = listener.model_copy(update={"app_host": address})
    return settings.model_copy(update=update)
