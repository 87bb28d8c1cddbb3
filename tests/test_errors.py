"""The package's exceptions: one root, and all of them survive pickling."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import ocean_actors
from ocean_actors import OceanError, ResyncAborted
from ocean_actors.actors import Cancelled
from ocean_actors.errors import UsageError
from ocean_actors.loading import HandlerError
from ocean_actors.sandbox.errors import ApiError, BrokerError
from ocean_actors.sandbox.legal import IllegalReports
from ocean_actors.settings import SettingsError

ROOM = ("ocean_actors.sandbox", "ocean_actors.settings", "ocean_actors.loading")
INTERNAL = {"UnusableError"}  # a ValueError for pydantic, which turns it into a SettingsError


def exceptions() -> Iterator[type[BaseException]]:
    for info in pkgutil.walk_packages(ocean_actors.__path__, "ocean_actors."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            if error.name != "ray":  # which has an environment of its own
                raise
            continue
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, BaseException) and found.__module__ == info.name:
                yield found


def test_every_exception_of_the_shell_has_the_root() -> None:
    ours = [each for each in exceptions() if each.__module__.startswith(ROOM)]
    assert len(ours) >= 5
    strangers = {
        each.__name__
        for each in ours
        if not issubclass(each, OceanError) and each.__name__ not in INTERNAL
    }
    assert not strangers


def test_an_abort_is_not_caught_as_an_error() -> None:
    assert not issubclass(ResyncAborted, Exception)
    assert issubclass(ResyncAborted, Cancelled)


@pytest.mark.parametrize(
    "error",
    [
        OceanError("one line"),
        UsageError("one line"),
        SettingsError(["port.clientId: missing", "two", "three", "four"]),
        HandlerError("work.py:Quick: there is no file work.py"),
        ApiError(404, "not_found", "no such blueprint"),
        BrokerError("the broker did not start"),
        IllegalReports("completed does not fit"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling(error: OceanError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert isinstance(copy, OceanError)


def test_the_exit_code_of_unusable_arguments_covers_settings_and_handlers() -> None:
    assert issubclass(SettingsError, UsageError)
    assert issubclass(HandlerError, UsageError)
    assert issubclass(BrokerError, OSError)
