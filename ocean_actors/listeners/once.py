"""ONCE: one resync, then the process ends with its result."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.spec import Listener, ListenerSpec
from ocean_actors.messages import RequestSettled, RunReported
from ocean_actors.settings import OnceSettings


@dataclass(frozen=True)
class ReportOverdue(Message):
    """To itself: Port was not told in time how the run ended."""


class OnceListener(Actor):
    """Requests one resync, and shuts the system down once Port was told how it ended.

    Port may take `seconds` to accept that report; None: no reports are sent.
    """

    subscribes_to = (RunReported,)

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds
        self._settled: RequestSettled | None = None
        self._reported: str | None = None  # the newest run whose end was reported

    def on_start(self) -> None:
        """Request the resync."""
        self.context.request_resync("once", notify=True)

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        """Shut down, now or when the run is reported."""
        self._settled = settled
        if self._seconds is None or settled.run_id in (None, self._reported):
            self._shut_down(settled)
        else:
            self.context.schedule(self._seconds, ReportOverdue())

    @handles(RunReported)
    def on_reported(self, event: RunReported) -> None:
        """Shut down if this is what was waited for."""
        self._reported = event.run_id
        if self._settled is not None and self._settled.run_id == event.run_id:
            self._shut_down(self._settled)

    @handles(ReportOverdue)
    def on_overdue(self, _message: ReportOverdue) -> None:
        """Shut down with exit code 1: Port shows the run as running."""
        if self._settled is not None:
            run = f"run {self._settled.run_id}"
            self.context.shutdown(
                1,
                f"the resync of ONCE ({run}) {self._settled.outcome}, but Port did not accept the "
                f"report of it within {self._seconds:g} s (startTimeout)",
            )

    def _shut_down(self, settled: RequestSettled) -> None:
        """Shut down: with exit code 0 if the run completed, else 1."""
        if settled.outcome == "completed":
            self.context.shutdown()
        else:
            self.context.shutdown(1, f"the resync of ONCE (run {settled.run_id}) {settled.outcome}")


SPEC = ListenerSpec(
    name="ONCE",
    settings=OnceSettings,
    build=lambda _settings, services: Listener(
        OnceListener,
        (None if services.settings.resync.dry_run else services.settings.start_timeout,),
    ),
    destination=lambda _settings: None,  # another process of the integration may use it
    job=True,
)
