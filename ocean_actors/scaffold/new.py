"""Makes the folder of a new integration from the files in `template/`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ocean_actors._version import __version__
from ocean_actors.errors import UsageError

TEMPLATE = Path(__file__).parent / "template"
SUFFIX = ".template"
"""The end of each file name in it, so that tools do not take the files for our own."""

MAX_NAME = 60  # characters
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

NEXT = """
next:
  cd {name}
  cp .env.example .env
  ocean-actors sandbox              # in a second terminal
  ocean-actors check config.yaml
  ocean-actors run config.yaml"""


def new(name: str, parent: Path) -> Iterator[str]:
    """Make the folder `name` in `parent`; yields the lines to print.

    Raises UsageError for an unusable name and for a folder that is not empty, and OSError if the
    folder cannot be written. Nothing is left behind then.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise UsageError(
            f"NAME: expected at most {MAX_NAME} letters (a-z), digits, - and _, beginning with a "
            f"letter, got {name[: MAX_NAME + 1]!r}"
        )
    folder = parent / name
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"NAME: {name} exists and is not a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"NAME: the folder {name} exists and is not empty")
    try:
        made = _make(name, folder)
    except OSError as error:
        raise OSError(f"{name}: cannot be made: {error.strerror or error}") from None
    yield f"made {name}:"
    yield from (f"  {file}" for file in made)
    yield from NEXT.format(name=name).splitlines()


def files(name: str) -> dict[str, str]:
    """Returns the files of the integration `name`: the text of each by its path in the folder."""
    return {
        str(file.relative_to(TEMPLATE)).removesuffix(SUFFIX): _filled(file.read_text("utf-8"), name)
        for file in sorted(TEMPLATE.rglob(f"*{SUFFIX}"))
    }


def _filled(text: str, name: str) -> str:
    return text.replace("__NAME__", name).replace("__VERSION__", __version__)


def _make(name: str, folder: Path) -> list[str]:
    """Write the files beside `folder`, and move them there once all are written."""
    texts = files(name)
    with tempfile.TemporaryDirectory(prefix=".ocean-actors-", dir=folder.parent) as scratch:
        made = Path(scratch) / name
        for path, text in texts.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, "utf-8")
        made.rename(folder)  # replaces an empty folder
    return list(texts)
