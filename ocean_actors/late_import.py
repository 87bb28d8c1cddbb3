"""A dependency of a dependency that most processes never use, imported at its first use."""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_taking_out = threading.Lock()


class LateModule(ModuleType):
    """Stands in `sys.modules` for a package; the first use of it imports the package.

    Asking for the version is no use: it is read from what the installer has written. Whoever has
    imported the stand-in may keep it, as it passes everything on to the package.
    """

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        # Imports, and whoever looks at all modules, ask for these.
        self.__path__ = list(spec.submodule_search_locations or ())
        self.__file__ = spec.origin

    def __getattr__(self, name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            self.__version__ = version(self.__name__)
            return self.__version__
        with _taking_out:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def import_late(package: str, *, needed_by: str) -> None:
    """Have `package` imported when it is used, although `needed_by` imports it at once.

    Does nothing if either is imported already, or if `package` is not installed.
    """
    if package in sys.modules or needed_by in sys.modules:
        return
    spec = find_spec(package)
    if spec is not None:
        sys.modules[package] = LateModule(spec)
