"""The actor that has this instance campaign for the lead, and gives it the role that it wins."""

from __future__ import annotations

from collections.abc import Callable

from ocean_actors.actors import handles
from ocean_actors.leader.campaign import Campaign, CampaignEnded, Stood
from ocean_actors.leader.role import RoleActor
from ocean_actors.leader.spec import Election, Seat
from ocean_actors.log import get_logger
from ocean_actors.port.client import PortClient
from ocean_actors.retry import ONCE

logger = get_logger(__name__)

LONGEST_STOP = 60.0  # seconds
SHOWN = {True: "leading", False: "standby"}


class LeaderActor(RoleActor):
    """Keeps a campaign going; `status()["leader"]` is what it shows.

    `listeners` are the names of the actors that listen only while this instance leads.
    `build` makes this instance's part in the election of `engine`. If the engine gives no answer
    for `start_timeout` seconds while this instance stands by, the system ends with exit code 1.
    None: there is no limit.
    """

    def __init__(
        self,
        engine: str,
        build: Callable[[], Election],
        client: PortClient,
        integration: str,
        listeners: tuple[str, ...],
        start_timeout: float | None = None,
    ) -> None:
        super().__init__(listeners)
        self._engine = engine
        self._build = build
        self._client = client
        self._integration = integration
        self._start_timeout = start_timeout
        self._campaign: Campaign | None = None
        self._stood: Stood | None = None
        self._failing_since: float | None = None

    def on_start(self) -> None:
        """Stand by, and start the campaign."""
        self._set_role(None)
        self._show("campaigning", None)
        self._campaign = Campaign(
            self._build(),
            self._find_seat,
            tell=self.context.ref.tell,
            clock=self.context.clock,
            jitter=self.context.jitter,
        )
        self._campaign.start()

    def on_stop(self) -> None:
        """Resign, so that another instance takes over at once.

        If the thread does not end, because the engine's client cannot be interrupted, neither does
        this actor. So it counts as left behind, and Python does not exit while the thread is at
        work, which can crash the process.
        """
        if self._campaign is not None:
            self._campaign.stop(LONGEST_STOP)

    def on_failure(self, *_exc_info: object) -> None:
        """Do the same: the next life has a campaign of its own."""
        self.on_stop()

    @handles(Stood)
    def on_stood(self, stood: Stood) -> None:
        """Show and log what has changed; under ONCE, give up on an engine that does not answer."""
        before, self._stood = self._stood, stood
        if stood.error is None:
            self._failing_since = None
        if before is None or (before.leads, before.error) != (stood.leads, stood.error):
            self._log(before, stood)
            self._show(SHOWN[stood.leads], stood.error)
        if stood.final:
            self.context.shutdown(1, stood.error)
        elif stood.error is not None and not stood.leads:
            self._limit(stood.error)

    @handles(CampaignEnded)
    def on_campaign_ended(self, ended: CampaignEnded) -> None:
        """Fail with the same error, so that supervision decides."""
        raise ended.error

    def _log(self, before: Stood | None, stood: Stood) -> None:
        if stood.error is not None:
            until = "leads until its lease ends" if stood.leads else "stands by"
            logger.warning(
                "%s: the election cannot be held, so this instance %s; retrying in %.1f s: %s",
                self._engine, until, stood.seconds, stood.error,
            )  # fmt: skip
            return
        if before is not None and before.error is not None:
            logger.info("%s: the election works again", self._engine)
        if before is None or before.leads != stood.leads:
            standing = (
                "this instance leads: it runs the resyncs from now on" if stood.leads
                else "this instance stands by: another one leads"
            )  # fmt: skip
            logger.info("%s: %s", self._engine, standing)

    def _limit(self, error: str) -> None:
        now = self.context.clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        limit = self._start_timeout
        if limit is not None and now - self._failing_since >= limit:
            self.context.shutdown(
                1,
                f"{self._engine}: no election was held for {limit:g} s (startTimeout): {error}",
            )

    def _show(self, state: str, error: str | None) -> None:
        self.context.show(
            engine=self._engine,
            state=state,
            error=error,
            since=self.context.clock.now().isoformat(),
        )

    def _find_seat(self) -> Seat:
        """Ask Port for the organisation, in the campaign's thread. Raises PortError."""
        return Seat(self._client.get_organization(ONCE).id, self._integration)
