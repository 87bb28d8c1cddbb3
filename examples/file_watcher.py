"""A custom listener: a resync is requested when a file changes."""

import functools
from dataclasses import dataclass
from pathlib import Path

from ocean_actors import Actor, Message, OceanSystem, ResyncHandler, Settings, handles


@dataclass(frozen=True)
class Look(Message):
    """Look at the file."""


class FileWatcher(Actor):
    """Looks at a file every `seconds`; what it looked like at the start is no change."""

    def __init__(self, path: Path, seconds: float = 1.0) -> None:
        super().__init__()
        self.path = path
        self.seconds = seconds
        self.seen: tuple[int, int] | None = None

    def on_start(self) -> None:
        self.seen = fingerprint(self.path)
        self.context.schedule_every(self.seconds, Look())

    @handles(Look)
    def on_look(self, _message: Look) -> None:
        now = fingerprint(self.path)
        if now != self.seen:
            self.seen = now
            self.context.request_resync(f"{self.path.name} changed")


def fingerprint(path: Path) -> tuple[int, int] | None:
    """What tells two states of a file apart; None while there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def watching(settings: Settings, handler: type[ResyncHandler], path: Path) -> OceanSystem:
    """A system that also resyncs when the file at `path` changes."""
    return OceanSystem(settings, [handler], actors=[functools.partial(FileWatcher, path)])
