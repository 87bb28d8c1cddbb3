"""Asks Port what is new, for the listeners that hear of it by asking."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Backoff, Message
from ocean_actors.listeners.recovery import owed
from ocean_actors.listeners.watermark import Watermark
from ocean_actors.log import get_logger
from ocean_actors.messages import ConfigSnapshot, PortRequest, RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.integration import snapshot_of
from ocean_actors.retry import ONCE

logger = get_logger(__name__)


@dataclass(frozen=True)
class Observed(Message):
    """What Port answered: the config, and its newest resync request.

    `owed` is why a resync is owed to an earlier process, or None.
    """

    snapshot: ConfigSnapshot
    request: PortRequest | None
    owed: str | None


@dataclass(frozen=True)
class AskResult:
    """One question to Port: the answer, if there was one, and the seconds until the next.

    `missing`: Port does not know the integration any more.
    """

    observed: Observed | None
    next_in: float
    missing: bool = False


class PortWatcher:
    """Asks Port, and tells whether the answer calls for a resync. For the thread of one actor.

    The actor sends each answer to its own mailbox and passes it to `reason` from there. In this
    way the answer queues behind `RunStarted`, which may make it out of date.
    """

    def __init__(self, client: PortClient, backoff: Backoff, interval: float) -> None:
        """Take the seconds between two questions, and the backoff while Port fails."""
        self._client = client
        self._backoff = backoff
        self._interval = interval
        self._failures = 0
        self._watermark = Watermark()
        self._overtaken = False

    @property
    def failing(self) -> bool:
        """Whether the last question failed."""
        return self._failures > 0

    def ask(self, jitter: float) -> AskResult:
        """Ask Port once; `jitter` in [0, 1) spreads the retries. A failure is logged."""
        self._overtaken = False
        try:
            observed = self._observe()
        except PortError as error:
            backoff = self._backoff.delay(self._failures, jitter)
            delay = error.delay(backoff)
            self._failures += 1
            logger.warning("Port cannot be asked what is new; retrying in %.1f s: %s", delay, error)
            return AskResult(None, delay, missing=error.status == 404)
        if self._failures:
            logger.info("Port answers again")
        self._failures = 0
        return AskResult(observed, self._interval)

    def reason(self, observed: Observed, first: str | None) -> str | None:
        """Returns why `observed` calls for a resync, or None, and remember it.

        `first` is the reason if nothing was observed before.
        """
        request = observed.request
        if request and request.updated_at is None and request not in self._watermark.requests:
            logger.warning(
                "the time of Port's resync request %s cannot be read; its id is compared instead",
                request.id,
            )
        self._watermark, reason = self._watermark.advance(observed.snapshot.config, request, first)
        return reason

    @property
    def overtaken(self) -> bool:
        """Whether a run started after Port was asked, so that its config may be newer."""
        return self._overtaken

    def run_started(self, run: RunInfo) -> None:
        """A run answers for the config it was given, and for Port's requests up to then.

        A partial one answers for neither, as it does not do all that they ask for.
        """
        if run.partial:
            return
        self._overtaken = True
        self._watermark = self._watermark.ran(run.config, run.answers)

    def _observe(self) -> Observed:
        integration = self._client.get_integration(retry=ONCE)
        request = self._client.get_resync_request(retry=ONCE)
        return Observed(
            snapshot_of(integration),
            request,
            owed(integration, request, self._client.clock.now(), self._client.clock_skew),
        )
