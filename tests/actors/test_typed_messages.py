"""Messages have types, and nothing in them can be changed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, handles
from ocean_actors.testing import ManualClock


@dataclass(frozen=True)
class Base(Message):
    pass


@dataclass(frozen=True)
class Derived(Base):
    pass


@dataclass(frozen=True)
class Furthest(Derived):
    pass


class Sorter(Actor):
    @handles(Base)
    def on_base(self, _message: Base) -> str:
        return "base"

    @handles(Derived)
    def on_derived(self, _message: Derived) -> str:
        return "derived"


class Heir(Sorter):
    def on_base(self, _message: Base) -> str:
        return "heir's base"

    @handles(Furthest)
    def on_furthest(self, _message: Furthest) -> str:
        return "furthest"


def test_the_method_for_the_nearest_class_of_a_message_receives_it(system: ActorSystem) -> None:
    ref = system.spawn(Sorter)
    assert [ref.ask(kind()) for kind in (Base, Derived, Furthest)] == ["base", "derived", "derived"]


def test_a_subclass_overrides_methods_and_adds_some(system: ActorSystem) -> None:
    ref = system.spawn(Heir)
    answers = [ref.ask(kind()) for kind in (Base, Derived, Furthest)]
    assert answers == ["heir's base", "derived", "furthest"]
    assert system.spawn(Sorter).ask(Furthest()) == "derived"


def test_a_method_has_one_type() -> None:
    with pytest.raises(TypeError, match=r"both handles two types"):

        class Both(Actor):
            @handles(Base)  # type: ignore[arg-type]  # mypy sees that two types do not fit
            @handles(Derived)
            def both(self, _message: Base) -> None: ...


def test_a_message_class_that_is_not_frozen_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @dataclass
        class Loose(Message):  # type: ignore[misc]  # what the test is about
            number: int


@dataclass(frozen=True)
class Bag(Message):
    items: Any = field(default_factory=list)


@pytest.mark.parametrize("mutable", [[], {}, set(), bytearray(), ([],)])
def test_under_debug_a_message_of_mutable_parts_is_refused_when_sent(
    system: ActorSystem, mutable: Any
) -> None:
    ref = system.spawn(Sorter)
    for send in (ref.tell, ref.ask):
        with pytest.raises(TypeError, match="the message Bag is mutable: unhashable type"):
            send(Bag(mutable))


def test_under_debug_only_messages_are_sent(system: ActorSystem) -> None:
    with pytest.raises(TypeError, match=r"subclass Message with @dataclass\(frozen=True\)"):
        system.spawn(Sorter).tell("hello")  # type: ignore[arg-type]


def test_pykkas_own_stop_passes_under_debug(system: ActorSystem) -> None:
    assert system.spawn(Sorter).stop(timeout=30)


def test_without_debug_the_check_costs_nothing(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock)
    system.spawn(Sorter).tell(Bag())
    assert system.stop() == []


SNIPPET = """
from dataclasses import dataclass
import pykka
from ocean_actors.actors import Actor, ActorSystem, Message, Query, handles


@dataclass(frozen=True)
class Good(Message):
    number: int


@dataclass(frozen=True)
class Better(Good):
    pass


@dataclass
class Loose(Message):  # error: misc
    number: int


class Receiver(Actor):
    @handles(Good)
    def on_good(self, message: Good) -> int:
        return message.number

    @handles(Better)
    def on_better(self, message: Good) -> int:
        return message.number

    @handles(Good)  # error: arg-type
    def on_wrong(self, message: Better) -> int:
        return message.number

    @handles(int)  # error: type-var
    def on_int(self, message: int) -> int:
        return message


def send(system: ActorSystem) -> None:
    ref = system.spawn(Receiver)
    ref.tell(Good(1))
    ref.tell({"number": 1})  # error: arg-type
    ref.ask([1])  # error: call-overload
    Good(1).number = 2  # error: misc


@dataclass(frozen=True)
class GetMean(Query[float]):
    pass


class Sized(Actor):
    def __init__(self, size: int) -> None:
        super().__init__()

    @handles(GetMean)
    def on_get_mean(self, _query: GetMean) -> float:
        return 1.0


def spawn(system: ActorSystem) -> None:
    ref = system.spawn(Sized, 1)
    system.spawn(Sized, "1")  # error: call-overload
    system.spawn(Sized)  # error: call-overload
    system.spawn(Sized, 1, name="one")
    system.spawn(int)  # error: call-overload
    mean: float = ref.ask(GetMean(), timeout=1)
    wrong: str = ref.ask(GetMean())  # error: assignment
    future: pykka.Future[float] = ref.ask(GetMean(), block=False)
    untyped: str = ref.ask(Good(1))
"""


def test_mypy_finds_wrong_types_and_mutable_messages(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """The comments in the snippet are the errors expected, and no others come."""
    snippet = tmp_path / "snippet.py"
    snippet.write_text(textwrap.dedent(SNIPPET))
    expected = {
        (number, line.rpartition("# error: ")[2])
        for number, line in enumerate(snippet.read_text().splitlines(), 1)
        if "# error: " in line
    }
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("mypy")  # of the library: it takes most of the time
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports"]
    found = subprocess.run(
        [*command, "silent", "--cache-dir", str(cache), str(snippet)],
        capture_output=True,
        check=False,
        text=True,
        timeout=110,
    )
    errors = {
        (int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]"))
        for line in found.stdout.splitlines()
        if ": error: " in line
    }
    assert errors == expected, found.stdout + found.stderr
