"""A custom listener that requests a resync when a file changes."""

import functools
from dataclasses import dataclass
from pathlib import Path

from ocean_actors import Actor, Message, OceanSystem, ResyncHandler, Settings, handles


@dataclass(frozen=True)
class CheckFile(Message):
    """Check the file."""


class FileWatcher(Actor):
    """Checks a file every `seconds`, and compares it with its state at the start."""

    def __init__(self, path: Path, seconds: float = 1.0) -> None:
        super().__init__()
        self.path = path
        self.seconds = seconds
        self.seen: tuple[int, int] | None = None

    def on_start(self) -> None:
        self.seen = fingerprint(self.path)
        self.context.schedule_every(self.seconds, CheckFile())

    @handles(CheckFile)
    def on_check_file(self, _message: CheckFile) -> None:
        now = fingerprint(self.path)
        if now != self.seen:
            self.seen = now
            self.context.request_resync(f"{self.path.name} changed")


def fingerprint(path: Path) -> tuple[int, int] | None:
    """Returns the time and size of a file, None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def watching(settings: Settings, handler: type[ResyncHandler], path: Path) -> OceanSystem:
    """Returns a system that also resyncs when the file at `path` changes."""
    return OceanSystem(settings, [handler], actors=[functools.partial(FileWatcher, path)])
