"""Whatever is wrong with a package's listener is one line that names its entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packages import write_dist_info
from pages import ROOT
from scripted import Quick
from waiting import wait_until

import ocean_actors
from ocean_actors import OceanSystem, Settings, SettingsError, plugins
from ocean_actors.check import check
from ocean_actors.cli import main
from ocean_actors.listeners.spec import TAKEN, listener_spec
from ocean_actors.settings.schema import json_schema
from ocean_actors.testing import SandboxedSystem
from ocean_actors.user_code import raised

GOOD = """
from abc import ABC, abstractmethod
from typing import Callable

from pydantic import Field, field_validator, model_validator

from ocean_actors import Actor
from ocean_actors.listeners.spec import Listener, ListenerSpec
from ocean_actors.settings import ListenerSettings


class Section(ListenerSettings):
    pass


class Ear(Actor):
    def __init__(self):
        super().__init__()


class Sketch(Actor, ABC):
    @abstractmethod
    def listen(self): ...


def build(settings, services):
    return Listener(Ear)


def fail(*_args):
    raise LookupError("no queue")


class Evil(Listener):
    def __getattribute__(self, name):
        fail()


"""
"""A module with the parts of a listener that works; what follows it makes the spec."""

ODD = "ODD (broken_listener:SPEC of odd): "
Package = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes a package with one listener, and returns its folder; pip would install the same."""

    def add(
        code: str, entry: str = "ODD = broken_listener:SPEC", name: str = "odd", start: str = GOOD
    ) -> Path:
        folder = tmp_path / name
        write_dist_info(folder, "ocean_actors.listeners", entry, name)
        (folder / f"{entry.partition('=')[2].strip().partition(':')[0]}.py").write_text(
            start + code
        )
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield add
    for name in ("broken_listener", "other_listener"):
        sys.modules.pop(name, None)


def values(**listener: object) -> dict[str, object]:
    port = {"clientId": "id", "clientSecret": "secret", "baseUrl": "http://127.0.0.1:9"}
    return {"port": port, "eventListener": {"type": "ODD", **listener}}


def refused(**listener: object) -> str:
    """Returns the line with which the settings are refused."""
    with pytest.raises(SettingsError) as error:
        Settings.from_dict(values(**listener), {})
    return str(error.value)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raise RuntimeError('broken\\n\\x1b[31mforged')", "RuntimeError: broken [31mforged ("),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0 ("),
        ("", "cannot be imported: AttributeError: module 'broken_listener' has no attribute"),
        ("def SPEC(:", "cannot be imported: SyntaxError: invalid syntax ("),
        ("SPEC = {}", "expected an instance of ListenerSpec, got dict"),
        ("SPEC = ListenerSpec", "expected an instance of ListenerSpec, got type"),
        (
            "class Like:\n    settings = Section\n    name = 'ODD'\nSPEC = Like()",
            "expected an instance of ListenerSpec, got Like",
        ),
        (
            "SPEC = ListenerSpec('OTHER', Section, build)",
            "its spec is named 'OTHER'; give the entry point and the spec the same name",
        ),
        ("SPEC = ListenerSpec(None, Section, build)", "its spec is named None; give the entry"),
        (
            "SPEC = ListenerSpec('ODD', dict, build)",
            "expected a subclass of ListenerSettings as settings, got <class 'dict'>",
        ),
        ("SPEC = ListenerSpec('ODD', None, build)", "as settings, got None"),
        (
            "class Nameless(ListenerSpec):\n    def __init__(self): pass\nSPEC = Nameless()",
            "name: AttributeError: 'Nameless' object has no attribute 'name'",
        ),
        (
            (
                "class Section(ListenerSettings):\n    queue: str = Field(alias='queueUrl')\n"
                "SPEC = ListenerSpec('ODD', Section, build)"
            ),
            "Section.queue has an alias: keys are named by their fields",
        ),
    ],
)
def test_a_package_without_a_spec_that_can_be_used_is_refused_with_the_settings(
    package: Package, code: str, line: str
) -> None:
    package(code)
    text = refused()
    assert text.startswith(f"eventListener.type: {ODD}")
    assert line in text
    assert text.isprintable()


def test_the_line_says_where_in_the_package_the_error_was_raised(package: Package) -> None:
    folder = package("\n\nraise RuntimeError('broken')\n", start="")
    assert refused().endswith(
        f"cannot be imported: RuntimeError: broken ({folder / 'broken_listener.py'}:3)"
    )


@pytest.mark.parametrize(
    ("entry", "module"),
    [("ODD = broken listener", "broken listener"), ("ODD = broken:", "broken:")],
)
def test_an_entry_point_that_names_no_attribute_is_refused(
    package: Package, entry: str, module: str
) -> None:
    package("", entry)
    assert refused().startswith(f"eventListener.type: ODD ({module} of odd): expected")


SECTION = """
class Broken(BaseException): pass
class Section(ListenerSettings):
    region: str = ''
    token: str = Field(default='', repr=False, min_length=3)
    share: float = Field(default=1.0, gt=0.5)
    {validator}{body}
SPEC = ListenerSpec('ODD', Section, build)
"""
ALL = "@model_validator(mode='after')\n    def check(self): "
REGION, TOKEN, TYPE = (
    f"@field_validator('{name}')\n    @classmethod\n    def check(cls, value): "
    for name in ("region", "token", "type")
)


@pytest.mark.parametrize(
    ("validator", "body", "line"),
    [
        (REGION, "raise KeyError('x')", f"eventListener: {ODD}settings: KeyError ("),
        (REGION, "raise Broken('x')", f"eventListener: {ODD}settings: Broken ("),
        (REGION, "exit(0)", f"eventListener: {ODD}settings: SystemExit ("),
        (TOKEN, "raise KeyError(value)", f"eventListener: {ODD}settings: KeyError ("),
        (ALL, "pass", f"eventListener: {ODD}settings: expected a Section of the type ODD from"),
        (
            ALL, "from ocean_actors.settings import PollingSettings as P; return P()",
            f"eventListener: {ODD}settings: expected a Section of the type ODD from",
        ),
        (TYPE, "return 'POLLING'", f"eventListener: {ODD}settings: expected a Section of the ty"),
        (REGION, "raise ValueError", 'eventListener.region: cannot be used, got "eu"'),
        (REGION, "raise ValueError('x' * 999)", f"eventListener.region: {'x' * 299}…, got"),
    ],
)  # fmt: skip
def test_a_validator_that_fails_is_a_line_of_the_settings(
    package: Package, validator: str, body: str, line: str
) -> None:
    package(SECTION.format(validator=validator, body=body))
    assert refused(region="eu", token="se-cret").startswith(line)


def test_bounds_are_quoted_as_the_package_has_them(package: Package) -> None:
    package(SECTION.format(validator=REGION, body="return value"))
    assert refused(token="ab", share=0.2) == (
        "eventListener.token: expected a length of 3 or more; "
        "eventListener.share: expected more than 0.5, got 0.2"
    )


BUILDS = [
    ("fail", "build: LookupError: no queue ("),
    ("lambda s, v: exit(0)", "build: SystemExit: 0 ("),
    ("lambda s: Listener(Ear)", "build: TypeError: <lambda>() takes 1 positional argument"),
    ("None", "build: TypeError: 'NoneType' object is not callable"),
    ("lambda s, v: None", "build: expected a Listener, got None"),
    ("lambda s, v: Ear", "build: expected a Listener, got <class 'broken_listener.Ear'>"),
    ("lambda s, v: Evil(Ear)", "build: LookupError: no queue ("),
    ("lambda s, v: Listener(Sketch)", "build: the actor Sketch is abstract"),
    ("lambda s, v: Listener(dict)", "build: expected a subclass of Actor as actor, got <class"),
    ("lambda s, v: Listener(Ear, s)", "build: expected a tuple as args, got type='ODD'"),
    (
        "lambda s, v: Listener(Ear, (s,))",
        "build: the args do not fit Ear.__init__: too many positional arguments",
    ),
    ("lambda s, v: Listener(Ear, app=5)", "build: expected a callable as app, got 5"),
    ("lambda s, v: Listener(Ear, details={})", "build: expected a callable as details, got {}"),
    ("build, lambda s: 'https://x'", "destination: expected a mapping of texts or None, got https"),
    ("build, lambda s: {'url': 5}", "destination: expected a mapping of texts or None, got {'url'"),
    ("build, fail", "destination: LookupError: no queue ("),
]


@pytest.mark.parametrize(("spec", "line"), BUILDS)
def test_a_listener_that_cannot_be_used_is_refused_before_anything_starts(
    package: Package, spec: str, line: str
) -> None:
    package(f"SPEC = ListenerSpec('ODD', Section, {spec})")
    settings = Settings.from_dict(values(), {})
    with pytest.raises(plugins.PluginError) as error:
        OceanSystem(settings, [Quick])
    assert str(error.value).startswith(f"{ODD}{line}")
    (found,) = [each for each in check(settings, "here") if each.topic == "listener"]
    assert (found.good, found.text) == (False, str(error.value))


def test_the_page_quotes_such_a_line() -> None:
    page = (ROOT / "docs" / "listeners.md").read_text()
    line = f"{ODD}{BUILDS[0][1]}".replace("broken_listener", "odd_listener")
    assert f"```\n{line}/srv/odd_listener.py:12)\n```\n" in page


def test_an_error_tells_no_secret_of_a_section_within(package: Package) -> None:
    package(
        "from ocean_actors.settings.models import Section as Part\n"
        "class Login(Part):\n"
        "    password: str = Field(default='', repr=False)\n"
        "class Section(ListenerSettings):\n"
        "    login: Login = Login()\n"
        "    @field_validator('login')\n"
        "    @classmethod\n"
        "    def check(cls, login): raise KeyError(login.password)\n"
        "SPEC = ListenerSpec('ODD', Section, build)"
    )
    assert refused(login={"password": "hunter2"}).startswith(
        f"eventListener: {ODD}settings: KeyError ("
    )


def test_aliases_besides_the_names_of_fields_do_no_harm(package: Package) -> None:
    package(
        "from pydantic import ConfigDict\n"
        "from pydantic.alias_generators import to_camel\n"
        "class Section(ListenerSettings):\n"
        "    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)\n"
        "    queue_url: str\n"
        "SPEC = ListenerSpec('ODD', Section, build)"
    )
    settings = Settings.from_dict(values(queueUrl="amqp://here"), {})
    assert settings.masked()["eventListener"]["queueUrl"] == "amqp://here"


def test_an_init_whose_arguments_a_decorator_supplies_can_be_used(package: Package) -> None:
    package(
        "import functools\n"
        "def supplied(init):\n"
        "    @functools.wraps(init)\n"
        "    def wrapped(self): init(self, 'database')\n"
        "    return wrapped\n"
        "class Fed(Actor):\n"
        "    @supplied\n"
        "    def __init__(self, database): super().__init__()\n"
        "SPEC = ListenerSpec('ODD', Section, lambda s, v: Listener(Fed))"
    )
    lines = check(Settings.from_dict(values(), {}), "here")
    assert [each.good for each in lines if each.topic == "listener"] == [True]


def test_the_place_is_told_of_a_package_whose_name_begins_like_ours() -> None:
    file = f"{Path(ocean_actors.__file__).parent}_odd/queue.py"
    with pytest.raises(RuntimeError) as error:
        exec(compile("raise RuntimeError('x')", file, "exec"))  # noqa: S102
    assert raised(error.value).endswith(f"RuntimeError: x ({file}:1)")


def test_what_a_package_raised_stays_the_cause(package: Package) -> None:
    package("SPEC = ListenerSpec('ODD', Section, fail)")
    with pytest.raises(plugins.PluginError) as error:
        OceanSystem(Settings.from_dict(values(), {}), [Quick])
    assert isinstance(error.value.__cause__, LookupError)


def test_a_line_that_a_package_wrote_for_its_user_is_left_as_it_is(package: Package) -> None:
    package(
        "from ocean_actors import SettingsError\n"
        "def build(s, v): raise SettingsError(['eventListener.queue: there is no such queue'])\n"
        "SPEC = ListenerSpec('ODD', Section, build)"
    )
    with pytest.raises(SettingsError, match=r"^eventListener.queue: there is no such queue$"):
        OceanSystem(Settings.from_dict(values(), {}), [Quick])


@pytest.mark.parametrize(
    ("describe", "line"),
    [
        ("fail", "LookupError: no queue ("),
        ("lambda s: None", "expected a text, got None"),
    ],
)
def test_a_description_that_fails_is_a_failed_line_and_the_check_goes_on(
    package: Package, describe: str, line: str
) -> None:
    package(f"SPEC = ListenerSpec('ODD', Section, build, describe={describe})")
    lines = list(check(Settings.from_dict(values(), {}), "here"))
    assert [each.topic for each in lines] == ["settings", "listener", "Port"]
    assert not lines[1].good
    assert lines[1].text.startswith(f"{ODD}describe: {line}")


@pytest.mark.parametrize("name", [*sorted(TAKEN), "handler-pages", "live-pages"])
def test_a_listener_may_not_have_the_name_of_another_actor(package: Package, name: str) -> None:
    upper = name.upper()
    package(f"SPEC = ListenerSpec('{upper}', Section, build)", f"{upper} = broken_listener:SPEC")
    with pytest.raises(plugins.PluginError, match=r"its name is that of another actor or trigger"):
        OceanSystem(Settings.from_dict(values(type=name), {}), [Quick])


def test_the_names_of_all_our_actors_are_taken() -> None:
    with SandboxedSystem(
        [Quick],
        control={"enabled": True, "port": 0},
        scheduledResyncInterval=60,
        port={"shipLogs": True},
    ) as rig:
        ours = {str(each["name"]) for each in rig.system.status()["actors"]} - {"polling"}
        assert len(ours) > 8
        assert {each for each in ours if each.islower()} <= TAKEN


def test_two_packages_with_one_name_are_named(package: Package) -> None:
    package("SPEC = ListenerSpec('ODD', Section, build)")
    package("SPEC = ListenerSpec('odd', Section, build)", "odd = other_listener:SPEC", "other")
    assert refused() == (
        "eventListener.type: ODD is registered by broken_listener:SPEC of odd and "
        "other_listener:SPEC of other: uninstall all packages but one"
    )


def test_a_package_that_is_found_twice_is_one(package: Package) -> None:
    for name in ("odd", "odd_copy"):
        package("SPEC = ListenerSpec('ODD', Section, build)", name=name)
    assert Settings.from_dict(values(), {}).event_listener.type == "ODD"


def test_the_case_of_an_entry_point_does_not_matter(package: Package) -> None:
    package("SPEC = ListenerSpec('odd', Section, build)", "odd = broken_listener:SPEC")
    assert plugins.known(plugins.LISTENERS)[-1] == "odd"
    for written in ("odd", "ODD"):
        settings = Settings.from_dict(values(type=written), {})
        assert listener_spec(settings.event_listener.type).name == "odd"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('broken')", "cannot be imported: RuntimeError: broken ("),
        (
            (
                "class Section(ListenerSettings):\n    hook: Callable[[], None]\n"
                "SPEC = ListenerSpec('ODD', Section, build)"
            ),
            "settings: PydanticInvalidForJsonSchema: ",
        ),
        (
            (
                "class Section(ListenerSettings):\n"
                "    q: str = Field(default='', json_schema_extra={'properties': [1]})\n"
                "SPEC = ListenerSpec('ODD', Section, build)"
            ),
            "settings: AttributeError: 'list' object has no attribute 'items'",
        ),
    ],
)
def test_the_schema_leaves_out_what_cannot_be_used_and_says_so(
    package: Package, capsys: pytest.CaptureFixture[str], code: str, reason: str
) -> None:
    whole = json_schema()
    package(code)
    assert main(["schema"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == whole
    assert printed.err.startswith(
        f"ocean-actors: eventListener.type: left out of the schema: {ODD}{reason}"
    )
    assert printed.err.count("\n") == 1


def test_the_schema_leaves_out_a_package_that_refuses_to_be_imported(
    package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    package("from ocean_actors import SettingsError\nraise SettingsError(['set QUEUE_HOME'])\n")
    assert main(["schema"]) == 0
    assert capsys.readouterr().err == (
        "ocean-actors: eventListener.type: left out of the schema: set QUEUE_HOME\n"
    )
    assert refused() == "eventListener.type: set QUEUE_HOME"


@pytest.mark.parametrize(
    ("body", "reason"),
    [("fail()", "LookupError: no queue ("), ("exit(3)", "SystemExit: 3 (")],
)
def test_a_listener_whose_init_raises_is_named_in_the_cause(
    package: Package, body: str, reason: str
) -> None:
    package(
        "class Deaf(Actor):\n"
        f"    def __init__(self): {body}\n"
        "SPEC = ListenerSpec('ODD', Section, lambda s, v: Listener(Deaf))"
    )
    with SandboxedSystem([Quick], eventListener={"type": "ODD"}) as rig:
        wait_until(lambda: rig.system.cause is not None, "the end of the system")
    assert rig.system.exit_code == 1
    cause = str(rig.system.cause)
    assert f"the listener odd cannot be made: {reason}" in cause


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ("fail", r"'error': 'ODD \(.*\): details: LookupError: no queue \("),
        ("lambda: 5", r"'error': 'ODD \(.*\): details: expected a mapping, got 5'"),
        ("lambda: exit(4)", r"'error': 'ODD \(.*\): details: SystemExit: 4 \("),
        ("lambda: {(1, 2): 3}", r"'\(1, 2\)': 3"),
        ("lambda: {'lag': object()}", r"'lag': '<object object at "),
    ],
)
def test_details_never_break_the_status(package: Package, details: str, shown: str) -> None:
    package(f"SPEC = ListenerSpec('ODD', Section, lambda s, v: Listener(Ear, details={details}))\n")
    system = OceanSystem(Settings.from_dict(values(), {}), [Quick])
    listening = system.status()["listening"]
    json.dumps(listening)
    assert re.search(shown, str(listening)), listening
    system.shutdown()


def test_the_command_ends_with_one_line_and_a_group_names_the_file(
    package: Package, tmp_path: Path
) -> None:
    folder = package("SPEC = ListenerSpec('ODD', Section, fail)")
    (tmp_path / "quick.py").write_text(
        "from ocean_actors import ResyncHandler\n"
        "class Quick(ResyncHandler):\n    def resync(self, run): pass\n"
    )
    for name, kind in (("good", "POLLING"), ("bad", "ODD")):
        own = {"integration": {"identifier": name}, "handlers": ["quick.py:Quick"]}
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**values(type=kind), **own}))

    def run(*configs: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "ocean_actors", "run", *configs],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), *sys.path))},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    number = GOOD.splitlines().index('    raise LookupError("no queue")') + 1
    line = f"{ODD}build: LookupError: no queue ({folder}/broken_listener.py:{number})\n"
    assert run("bad.yaml") == (2, f"ocean-actors: {line}")
    assert run("good.yaml", "bad.yaml") == (2, f"ocean-actors: bad.yaml: {line}")
