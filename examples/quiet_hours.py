"""An actor like cron: it requests a resync every full hour, except in the quiet hours."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from ocean_actors import Actor, Message, handles


@dataclass(frozen=True)
class Hour(Message):
    """A full hour has come."""


class QuietHours(Actor):
    """Requests a resync at every full hour (UTC) that is not between `begin` and `end`."""

    def __init__(self, begin: time = time(22), end: time = time(6)) -> None:
        super().__init__()
        self.begin = begin
        self.end = end

    def on_start(self) -> None:
        self.wait_for_the_hour()

    @handles(Hour)
    def on_hour(self, _message: Hour) -> None:
        if not quiet(self.context.clock.now().time(), self.begin, self.end):
            self.context.request_resync("hourly")
        self.wait_for_the_hour()

    def wait_for_the_hour(self) -> None:
        now = self.context.clock.now()
        self.context.schedule((next_hour(now) - now).total_seconds(), Hour())


def next_hour(now: datetime) -> datetime:
    """Returns the first full hour after `now`."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def quiet(moment: time, begin: time, end: time) -> bool:
    """Returns whether `moment` is in the quiet hours, which may include midnight."""
    if begin <= end:
        return begin <= moment < end
    return moment >= begin or moment < end
