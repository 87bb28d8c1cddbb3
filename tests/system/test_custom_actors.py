"""What may be handed to `OceanSystem(actors=[…])`, and what it is built from."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ocean_actors import Actor, OceanSystem, ResyncHandler, Settings
from ocean_actors.testing import SandboxedSystem


class Greeter(Actor):
    def __init__(self, built: Any, name: str, parent: Any = None) -> None:
        super().__init__()
        built.append((name, parent))


def test_a_custom_actor_is_given_all_its_arguments_whatever_they_are_called(
    quick: type[ResyncHandler],
) -> None:
    built: list[tuple[str, str]] = []
    greeter = functools.partial(Greeter, built, name="Ada", parent="Annabella")
    with SandboxedSystem([quick], [greeter, greeter]) as rig:
        names = [
            each["name"] for each in rig.system.status()["actors"] if each["type"] == "Greeter"
        ]
        assert names == ["Greeter", "Greeter-2"]
    assert built == [("Ada", "Annabella")] * 2


@pytest.mark.parametrize("wrong", [lambda: Greeter([], "Ada"), ResyncHandler, 7])
def test_what_is_no_class_of_actors_is_refused_before_anything_starts(
    quick: type[ResyncHandler], wrong: Any
) -> None:
    port = {"clientId": "id", "clientSecret": "secret", "baseUrl": "http://127.0.0.1:9"}
    settings = Settings.from_dict({"port": port, "integration": {"identifier": "demo"}}, {})
    with pytest.raises(TypeError, match="expected Actor classes"):
        OceanSystem(settings, [quick], [wrong])
