"""Reads YAML and JSON files and `.env`; any problem with one is a one-line `SettingsError`."""

from __future__ import annotations

import io
import json
import os
import re
import select
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ocean_actors.settings.errors import SettingsError, describe_type, written_name
from ocean_actors.settings.sources import without_duplicates

MAX_BYTES = 1 << 20  # of a file
# Of a YAML file: keys, values, lists and mappings, which are read in about a second. An alias
# counts as often as the values that it stands for.
MAX_NODES = 20_000
MAX_ALIASES = 100
MAX_KEYS = 10_000  # of a mapping, those merged into it included
MAX_DIGITS = 1_000  # characters of a number
FIFO_SECONDS = 10.0  # to wait for whoever writes to a named pipe
QUOTED = re.compile(r"'([^']*)'")


def read_yaml(path: Path) -> Mapping[Any, Any]:
    """Returns the mapping in a YAML file, empty if the file is. Raises `SettingsError`."""
    values = _yaml(path)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise SettingsError(
            [f"{written_name(path)}: expected a mapping of settings, got {describe_type(values)}"]
        )
    return values


def read_data(path: Path) -> object:
    """Returns what a JSON file (`.json`) or a YAML file (any other) holds; None if it is empty.

    Raises `SettingsError`.
    """
    return _json(path) if path.suffix.lower() == ".json" else _yaml(path)


def _json(path: Path) -> object:
    name = written_name(path)
    text = read_text(path)
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=without_duplicates,
            parse_constant=_refuse,
            parse_int=_whole_number,
        )
    except json.JSONDecodeError as error:
        place = f"{name}:{error.lineno}:{error.colno}"
        raise SettingsError([f"{place}: not usable as JSON: {error.msg}"]) from None
    except RecursionError:
        raise SettingsError([f"{name}: nested too deeply"]) from None
    except ValueError as error:
        raise SettingsError([f"{name}: not usable as JSON: {error}"]) from None
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} characters")
    return int(digits)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a JSON number")


def _yaml(path: Path) -> object:
    name = written_name(path)
    text = read_text(path)
    try:
        values: object = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        # The parser's message may quote a part of a secret.
        problem = QUOTED.sub(_redact, error.problem or "cannot be understood")
        raise SettingsError([f"{place}: not usable as YAML: {written_name(problem)}"]) from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(
            [f"{name}: not usable as YAML: control character at {error.position}"]
        ) from None
    except RecursionError:
        raise SettingsError([f"{name}: nested too deeply"]) from None
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError):
        # PyYAML raises these for `2024-13-45` or `!!bool x`.
        raise SettingsError(
            [f"{name}: not usable as YAML: a value does not have the form that its tag requires"]
        ) from None
    return values


def _redact(quoted: re.Match[str]) -> str:
    """Keeps a quoted character or token name (`<block end>`), and hides anything longer."""
    return quoted[0] if len(quoted[1]) == 1 or quoted[1].startswith("<") else "…"


def read_dotenv(path: Path) -> dict[str, str]:
    """Returns the variables in a file of `NAME=value` lines; none if there is no such file.

    The file may be a named pipe. A `$` in a value has no special meaning. Raises `SettingsError`
    if the file cannot be read.
    """
    # `.env/` may be a virtual environment; a link to nothing is a mistake, which `read_text` tells.
    if not os.path.lexists(path) or os.path.isdir(path):
        return {}
    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO(read_text(path)), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, and small files that would take long to read or much memory.

    It is the loader in Python, since the C loader can exhaust the stack on a deeply nested file.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0
        self._nodes = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        before = self._nodes
        self._count(1)
        is_alias = self.check_event(yaml.AliasEvent)
        if is_alias:
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                raise yaml.composer.ComposerError(None, None, "too many aliases", self.get_mark())
        node = super().compose_node(parent, index)
        if is_alias:
            self._count(self._sizes.get(node, 1) - 1 if node else 0)
        elif node is not None:
            self._sizes[node] = self._nodes - before
        return node

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise yaml.composer.ComposerError(
                None, None, f"more than {MAX_NODES} values", self.get_mark()
            )

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if (key.tag, key.value) in seen:
                    problem = f"the key {written_name(key.value)} is given twice"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_KEYS:
            raise yaml.constructor.ConstructorError(None, None, "too many keys", node.start_mark)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """PyYAML takes quadratic time for a number in base 60 (`1:30:00`)."""
        if len(node.value) > MAX_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of more than {MAX_DIGITS} characters", node.start_mark
            )
        if node.tag == INTEGER:
            return int(self.construct_yaml_int(node))
        return float(self.construct_yaml_float(node))


INTEGER = "tag:yaml.org,2002:int"
_Loader.add_constructor(INTEGER, _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


def read_text(path: Path) -> str:
    """Returns the text of a file or named pipe. Raises `SettingsError`."""
    name = written_name(path)
    try:
        content = _read_fifo(path) if stat.S_ISFIFO(os.stat(path).st_mode) else _read_file(path)
    except OSError as error:
        raise SettingsError([f"{name}: cannot be read: {error.strerror or error}"]) from None
    except ValueError:  # a NUL in the path
        raise SettingsError([f"{name}: not a path"]) from None
    if len(content) > MAX_BYTES:
        raise SettingsError([f"{name}: larger than {MAX_BYTES >> 20} MiB"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError([f"{name}: not UTF-8 text (byte {error.start})"]) from None


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _read_fifo(path: Path) -> bytes:
    """Returns what is written to a pipe until its writer closes it.

    Raises TimeoutError (an OSError) if nobody writes for `FIFO_SECONDS`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else `open` waits for a writer
    try:
        content, opened = b"", False
        deadline = time.monotonic() + FIFO_SECONDS
        while len(content) <= MAX_BYTES:
            try:
                part = os.read(descriptor, MAX_BYTES)
            except BlockingIOError:  # a writer has it open and has not written yet
                pass
            else:
                content += part
                if part:
                    continue
                if content or opened:  # else nobody has opened it for writing yet
                    break
            left = max(0.0, deadline - time.monotonic())
            opened = bool(select.select([descriptor], [], [], left)[0])
            if not opened:
                raise TimeoutError(f"nothing was written to the pipe for {FIFO_SECONDS:g} s")
        return content
    finally:
        os.close(descriptor)
