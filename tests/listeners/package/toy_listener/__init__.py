"""A listener from another package: each line that is appended to a file requests a resync."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ocean_actors import Actor, Message, RequestSettled, handles
from ocean_actors.listeners.spec import Listener, ListenerSpec, Services
from ocean_actors.settings import ListenerSettings


class FileSettings(ListenerSettings):
    """The section `eventListener` of this listener."""

    path: Path = Field(description="The file that is read.")
    interval: float = Field(default=1.0, gt=0, description="Seconds between two reads.")


@dataclass(frozen=True)
class ReadFile(Message):
    """Read the file."""


class FileListener(Actor):
    """Requests a resync for each new line, and writes a line once the request is settled."""

    def __init__(self, settings: FileSettings) -> None:
        super().__init__()
        self._settings = settings
        self._read = 0

    def on_start(self) -> None:
        """Read at once, and then at the interval."""
        self.context.schedule_every(self._settings.interval, ReadFile(), first=0.0)

    @handles(ReadFile)
    def on_read_file(self, _message: ReadFile) -> None:
        """Request a resync for each line that was not read before."""
        lines = self._settings.path.read_text().splitlines()
        for line in lines[self._read :]:
            self.context.request_resync(line, notify=True)
        self._read = len(lines)

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        """Acknowledge: this is when a queue would be told that the message is done."""
        with self._settings.path.with_suffix(".settled").open("a") as file:
            file.write(f"{settled.request.reason} {settled.outcome}\n")


def _build(settings: FileSettings, _services: Services) -> Listener:
    return Listener(FileListener, (settings,))


SPEC = ListenerSpec(
    name="FILE",
    settings=FileSettings,
    build=_build,
    describe=lambda settings: f"FILE, lines of {settings.path}",
)
