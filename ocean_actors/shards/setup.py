"""What a worker in another interpreter is told, so that it can do tasks and import user code."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from ocean_actors import loading
from ocean_actors.actors import Clock
from ocean_actors.resync.handlers import HandlerFactory, ResyncHandler
from ocean_actors.settings import Settings
from ocean_actors.shards.errors import ShardError
from ocean_actors.shards.executor import ExecutorContext
from ocean_actors.shards.worker import Workplace
from ocean_actors.text import one_line


@dataclass(frozen=True)
class WorkerSetup:
    """It can be pickled. The settings hold secrets: it must not travel in arguments.

    `factories` are the handlers, pickled, or why they cannot be. `files` are the modules that were
    loaded from a file, by name. `main` is the file of the program if a handler is defined in it.
    `share` is the number of workers that share a rate limit, `log_levels` are the levels that were
    set, by the loggers' names.
    """

    settings: Settings = field(repr=False)
    factories: Mapping[str, bytes]
    path: tuple[str, ...]
    files: Mapping[str, str]
    main: str | None
    share: int
    log_levels: Mapping[str, int]

    def workplace(self, clock: Clock) -> Workplace:
        """Prepare this interpreter; returns where its tasks are done. Imports no user code yet."""
        sys.path[:] = self.path
        if self.files:
            sys.meta_path.append(_FilesFinder(self.files))
        factories: dict[str, HandlerFactory] = {
            name: _Unpickled(blob, self.main) for name, blob in self.factories.items()
        }
        return Workplace(self.settings, clock, factories)


def worker_setup(context: ExecutorContext) -> WorkerSetup:
    """Returns the setup of the workers of a system."""
    blobs, in_main = {}, False
    for name, factory in context.factories.items():
        try:
            blob = pickle.dumps(factory)
        except Exception:  # noqa: BLE001, S112  (`require_picklable` tells, if it is needed)
            continue
        blobs[name] = blob
        in_main = in_main or b"__main__" in blob
    main = getattr(sys.modules.get("__main__"), "__file__", None) if in_main else None
    return WorkerSetup(
        context.settings, blobs, tuple(sys.path), dict(loading.loaded_files()), main,
        context.settings.resync.workers, _log_levels(),
    )  # fmt: skip


def require_picklable(name: str, factory: HandlerFactory) -> None:
    """Raises ShardError, one line, if a handler cannot be sent to another interpreter."""
    try:
        pickle.dumps(factory)
    except Exception as error:  # noqa: BLE001  (a class of the user's)
        raise ShardError(
            f"{name} cannot be sent to a worker process: {one_line(error, 120)}; give a class of a "
            "module or a functools.partial of one, or set resync.executor: threads"
        ) from None


def _log_levels() -> dict[str, int]:
    loggers = [*logging.Logger.manager.loggerDict.values(), logging.getLogger()]
    return {
        "" if isinstance(each, logging.RootLogger) else each.name: each.level
        for each in loggers
        if isinstance(each, logging.Logger) and each.level != logging.NOTSET
    }


class _Unpickled:
    """Builds a handler of a pickled factory, which is imported when it is first needed."""

    def __init__(self, blob: bytes, main: str | None) -> None:
        self._blob = blob
        self._main = main
        self._factory: HandlerFactory | None = None

    def __call__(self) -> ResyncHandler:
        if self._factory is None:
            if self._main is not None:
                _run_main(self._main)
            self._factory = pickle.loads(self._blob)  # noqa: S301  (made by the run's process)
        return self._factory()


def _run_main(file: str) -> None:
    """Run the program's file under another name, so that pickle finds what it defines.

    As in `multiprocessing`, what stands below `if __name__ == "__main__":` is not run.
    """
    if sys.modules["__main__"].__name__ == "__mp_main__":
        return  # for another handler
    import runpy

    module = ModuleType("__mp_main__")
    module.__dict__.update(runpy.run_path(file, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


class _FilesFinder(MetaPathFinder):
    """Finds the modules that the parent has loaded from files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002  (the protocol's)
    ) -> ModuleSpec | None:
        """Returns how to load a module; None for all others."""
        file = self._files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)
