"""Reads the YAML file and `.env`; whatever is wrong with either is one line."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from ocean_actors.settings.errors import SettingsError, kind, line

LARGEST = 1 << 20  # bytes of a file
MOST_ALIASES = 100
MOST_KEYS = 10_000  # of a mapping, those merged into it included
QUOTED = re.compile(r"'([^']*)'")


def read_yaml(path: Path) -> Mapping[Any, Any]:
    """The mapping in a YAML file, empty if the file is; raises `SettingsError`."""
    text = _read(path)
    try:
        values = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{line(path)}:{mark.line + 1}:{mark.column + 1}" if mark else line(path)
        # What it quotes may be a part of a secret.
        what = QUOTED.sub(_shown, error.problem or "cannot be understood")
        raise SettingsError([f"{place}: not usable as YAML: {line(what)}"]) from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(
            [f"{line(path)}: not usable as YAML: control character at {error.position}"]
        ) from None
    except RecursionError:
        raise SettingsError([f"{line(path)}: nested too deeply"]) from None
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError):
        # What PyYAML lets through for `2024-13-45` or `!!bool x`.
        raise SettingsError(
            [f"{line(path)}: not usable as YAML: a value that is not what its tag or form says"]
        ) from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise SettingsError([f"{line(path)}: expected a mapping of settings, got {kind(values)}"])
    return values


def _shown(quoted: re.Match[str]) -> str:
    """A single character or the name of a token (`<block end>`), nothing longer of the file."""
    return quoted[0] if len(quoted[1]) == 1 or quoted[1].startswith("<") else "…"


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables in a file of `NAME=value` lines; none if there is no such file.

    A `$` in a value is left alone. Raises `SettingsError` if the file cannot be read.
    """
    if not os.path.isfile(path):  # a directory of this name is a virtual environment
        return {}
    values = dotenv_values(stream=io.StringIO(_read(path)), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


class _Loader(yaml.SafeLoader):
    """Refuses keys given twice, and aliases enough to make a small file a huge mapping.

    In Python, as the C loader can exhaust the stack on a deeply nested file.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MOST_ALIASES:
                raise yaml.composer.ComposerError(None, None, "too many aliases", self.get_mark())
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if (key.tag, key.value) in seen:
                    problem = f"the key {line(key.value)} is given twice"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise yaml.constructor.ConstructorError(None, None, "too many keys", node.start_mark)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SettingsError([f"{line(path)}: cannot be read: {error.strerror or error}"]) from None
    except ValueError:  # a NUL in the path
        raise SettingsError([f"{line(path)}: not a path"]) from None
    if len(content) > LARGEST:
        raise SettingsError([f"{line(path)}: larger than {LARGEST >> 20} MiB"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError([f"{line(path)}: not UTF-8 text (byte {error.start})"]) from None
