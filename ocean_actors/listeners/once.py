"""ONCE: one resync, then the process ends with its result."""

from __future__ import annotations

from ocean_actors.actors import handles
from ocean_actors.context import Actor
from ocean_actors.listeners.spec import Listener, ListenerSpec
from ocean_actors.messages import RequestSettled
from ocean_actors.settings import OnceSettings


class OnceListener(Actor):
    """Requests one resync and shuts the system down when it is settled."""

    def on_start(self) -> None:
        """Request the resync."""
        self.context.request_resync("once", notify=True)

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        """Shut down: with exit code 0 if the run completed, else 1."""
        if settled.outcome == "completed":
            self.context.shutdown()
        else:
            self.context.shutdown(1, f"the resync of ONCE (run {settled.run_id}) {settled.outcome}")


SPEC = ListenerSpec(
    name="ONCE",
    settings=OnceSettings,
    build=lambda _settings, _services: Listener(OnceListener),
    destination=lambda _settings: None,  # another process of the integration may use it
    job=True,
)
