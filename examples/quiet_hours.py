"""An actor that decides about requests: those of the quiet hours wait for the morning."""

from datetime import datetime, time, timedelta

from ocean_actors import Actor, Allow, Delay, ResyncRequested


class QuietHours(Actor):
    """Delays requests that come between `begin` and `end` (UTC), except those that people make."""

    def __init__(self, begin: time = time(22), end: time = time(6)) -> None:
        super().__init__()
        self.begin = begin
        self.end = end

    def decide(self, request: ResyncRequested) -> Allow | Delay:
        now = self.context.clock.now()
        if request.trigger == "manual" or not quiet(now.time(), self.begin, self.end):
            return Allow()
        return Delay(seconds_until(self.end, now))


def quiet(moment: time, begin: time, end: time) -> bool:
    """Returns whether `moment` is in the quiet hours, which may include midnight."""
    if begin <= end:
        return begin <= moment < end
    return moment >= begin or moment < end


def seconds_until(moment: time, now: datetime) -> float:
    """Returns the seconds from `now` until the clock shows `moment` next."""
    today = datetime.combine(now.date(), moment, now.tzinfo)
    due = today if today > now else today + timedelta(days=1)
    return (due - now).total_seconds()
