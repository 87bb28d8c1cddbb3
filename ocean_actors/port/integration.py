"""The integration as Port knows it: registered at start, read whenever a run needs its config."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ocean_actors.actors import (
    Backoff,
    MailboxFull,
    Message,
    OnFailure,
    Supervision,
    Timer,
    handles,
)
from ocean_actors.context import Actor
from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.log import get_logger
from ocean_actors.messages import (
    ConfigSnapshot,
    IntegrationMissing,
    IntegrationRegistered,
    PortRequest,
    RoleChanged,
)
from ocean_actors.port.background import in_background
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.ingest import ingest_addresses
from ocean_actors.port.models import Integration
from ocean_actors.port.provisioning import Provisioning
from ocean_actors.port.reports import Schedule
from ocean_actors.port.transport import LONGEST_MESSAGE
from ocean_actors.resync.commands import ConfigFetched, FetchConfig
from ocean_actors.retry import ONCE

logger = get_logger(__name__)

CONFIG_PATIENCE = 60.0
"""Seconds that a run waits for the current config; then it starts with the last known one."""

LONGEST_PAUSE = 5.0  # seconds; between two attempts while a run waits


@dataclass(frozen=True)
class Connect(Message):
    """Open a connection to Port and fetch the access token; `Register` follows."""


@dataclass(frozen=True)
class Register(Message):
    """Register the integration with Port; no effect if that is under way."""


@dataclass(frozen=True)
class RegisterAgain(Message):
    """The backoff after a failed registration is over."""


@dataclass(frozen=True)
class FetchAgain(Message):
    """The backoff after a failed attempt to get the config for run `number` is over."""

    number: int


@dataclass(frozen=True)
class CatchUp(Message):
    """Ask for the config that run `number` should have had."""

    number: int


@dataclass(frozen=True)
class ProvisionAgain(Message):
    """The backoff after a failed attempt to create blueprints is over."""


def snapshot_of(integration: Integration) -> ConfigSnapshot:
    """Returns the config that Port holds, with Port's own time."""
    return ConfigSnapshot(freeze(integration.config or {}), integration.updated_at)


def needs_patch(integration: Integration, destination: Mapping[str, str] | None) -> bool:
    """Returns whether Port sends changes elsewhere than to `destination`.

    A `destination` of None (ONCE) leaves that to another process of the same integration. Port
    may add keys of its own (`agent`), so only type and url are compared.
    """
    if destination is None:
        return False
    present = integration.changelog_destination or {}
    return any(present.get(key) != destination.get(key) for key in ("type", "url"))


def _may_be_fixed(failure: PortError) -> bool:
    """Returns whether Port may be reachable by now: a name or TLS may have been set up since."""
    return failure.lasting and failure.status is None


class IntegrationActor(Actor):
    """Registers the integration, then answers with the config that Port holds.

    While Port cannot be reached it tries again. It shuts the system down with exit code 1 if
    Port refuses the registration (wrong credentials or rights).

    A run gets the config that Port holds when the run is prepared. While Port does not give it,
    the run waits up to `CONFIG_PATIENCE` seconds; then it starts with the last known config, and
    another resync is requested if Port turns out to hold a different one.

    Once the integration is registered and this instance is active, the blueprints that Port lacks
    are created. A run waits for that too, up to `CONFIG_PATIENCE` seconds.
    """

    subscribes_to = (IntegrationMissing, RoleChanged)
    supervision = Supervision(OnFailure.ESCALATE)  # the coordinator waits for an answer
    message_bound = LONGEST_MESSAGE

    def __init__(
        self,
        client: PortClient,
        destination: Mapping[str, str] | None,
        backoff: Backoff,
        *,
        requests: bool = False,
        start_timeout: float | None = None,
        blueprints: Sequence[FrozenDict] = (),
        active: bool = True,
        only_active: bool = False,
        schedule: Schedule | None = None,
        register_on_demand: bool = False,
    ) -> None:
        """Take the client to ask with.

        With `requests` it also asks which resync request the run answers. `start_timeout` is how
        many seconds the registration may take; a lasting error then ends it at once. Without it
        there is no limit. `blueprints` are created if Port lacks them, unless this instance is
        not `active`, until `RoleChanged` says that it is. With `only_active` the registration
        waits for that too, is repeated each time, and `schedule` goes on from Port's record. With
        `register_on_demand` it is registered only when this actor is told `Register`.
        """
        super().__init__()
        self._requests = requests
        self._client = client
        self._destination = destination
        self._backoff = backoff
        self._start_timeout = start_timeout
        self._began: float | None = None  # to register
        self._failures = 0
        self._registering = False  # a timer is set
        self._known: ConfigSnapshot | None = None
        self._question: FetchConfig | None = None
        self._asked_at = 0.0
        self._failed_fetches = 0
        self._provisioning = Provisioning(client, blueprints)
        self._active = active
        self._only_active = only_active
        self._schedule = schedule
        self._register_on_demand = register_on_demand
        self._connect_failure: PortError | None = None
        self._held: FetchConfig | None = None  # the question that waits for the blueprints
        self._failed_provisions = 0
        self._provision_timer: Timer | None = None

    # -- registration --------------------------------------------------------------------------

    @handles(Connect)
    def on_connect(self, _message: Connect) -> None:
        """Prepare the registration while the rest starts; a failure is the registration's."""
        self._began = self.context.clock.monotonic()
        try:
            self._client.connect()
        except PortError as error:
            self._connect_failure = error

    @handles(Register)
    def on_register(self, _message: Register) -> None:
        """Register now, unless a timer is set to do so."""
        if not self._registering:
            self._register()

    @handles(IntegrationMissing)
    def on_missing(self, _event: IntegrationMissing) -> None:
        """Register anew: somebody deleted the integration in Port."""
        if self._known is not None and self._may_register():
            self._register()

    @handles(RegisterAgain)
    def on_register_again(self, _message: RegisterAgain) -> None:
        """Register after a backoff."""
        self._register()

    def _may_register(self) -> bool:
        """Returns whether to register without being told: not if a timer is set to do so."""
        return not (self._registering or self._register_on_demand)

    def _register(self) -> None:
        """Register, or set a timer to try again, or shut down if that cannot succeed."""
        self._registering = False
        if self._only_active and not self._active:
            self._began = None
            return
        now = self.context.clock.monotonic()
        if self._began is None:
            self._began = now
        failure, self._connect_failure = self._connect_failure, None
        try:
            if failure is not None and not _may_be_fixed(failure):
                raise failure
            integration = self._fetch_integration()
        except PortError as error:
            delay = error.delay(self._backoff.delay(self._failures, self.context.jitter()))
            if self._known is None and self._is_final(error, now + delay - self._began):
                self.context.shutdown(1, str(error))
                return
            self._failures += 1
            logger.warning("cannot register with Port; retrying in %.1f s: %s", delay, error)
            self._registering = True
            self.context.schedule(delay, RegisterAgain())
            return
        finally:
            del failure  # it and its traceback, which has this frame, would keep each other alive
        self._failures = 0
        if self._only_active and self._schedule is not None and integration.resync_state:
            self._schedule.go_on(integration.resync_state.next_resync)
        self._known = snapshot_of(integration)
        self.context.publish(IntegrationRegistered(self._known))
        if self._active and self._question is None:  # else the run has them created
            self._provision(math.inf)
        if self._question is not None:
            self._fetch(self._question)

    def _is_final(self, error: PortError, elapsed: float) -> bool:
        """Returns whether a failed registration ends the system, rather than being repeated."""
        if not error.temporary:
            return True
        limit = self._start_timeout
        return limit is not None and (error.lasting or elapsed > limit)

    # -- blueprints ----------------------------------------------------------------------------

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Create what Port lacks once this instance is active; a standby creates nothing."""
        self._active = event.active
        if self._provision_timer is not None:
            self._provision_timer.cancel()
        if event.active and self._only_active:
            if self._may_register():
                self._register()
        elif event.active and self._known is not None:
            self._provision(math.inf)

    @handles(ProvisionAgain)
    def on_provision_again(self, _message: ProvisionAgain) -> None:
        """Try again, for the run that waits or for those to come."""
        if self._held is not None:
            self._fetch(self._held)
        else:
            self._provision(math.inf)

    def _provision(self, longest: float) -> bool:
        """Create what Port lacks; returns False if that is tried again in `longest` s at most."""
        if self._provision_timer is not None:
            self._provision_timer.cancel()
        try:
            self._provisioning.advance()
        except PortError as error:
            backoff = self._backoff.delay(self._failed_provisions, self.context.jitter())
            self._failed_provisions += 1
            delay = error.delay(min(backoff, longest))
            logger.warning("cannot create blueprints; retrying in %.1f s: %s", delay, error)
            self._provision_timer = self.context.schedule(delay, ProvisionAgain())
            return False
        return True

    def _is_provisioned(self, question: FetchConfig) -> bool:
        """Returns whether the run need not wait for its blueprints, or not any longer."""
        self._held = None
        if self._provisioning.done or self._provision(LONGEST_PAUSE):
            return True
        if self.context.clock.monotonic() - self._asked_at < CONFIG_PATIENCE:
            self._held = question
            return False
        logger.warning(
            "run %s starts although its blueprints may be missing in Port; creating them is tried "
            "again", question.run_id,
        )  # fmt: skip
        return True

    # -- the config of a run -------------------------------------------------------------------

    @handles(FetchConfig)
    def on_fetch_config(self, question: FetchConfig) -> None:
        """Answer with Port's config, once the integration is registered."""
        self._question = question
        self._asked_at = self.context.clock.monotonic()
        self._failed_fetches = 0
        if self._known is not None:
            self._fetch(question)
        elif self._may_register():
            self._register()

    @handles(FetchAgain)
    def on_fetch_again(self, again: FetchAgain) -> None:
        """Try again, unless another run is prepared meanwhile."""
        if self._question is not None and self._question.number == again.number:
            self._fetch(self._question)

    @handles(CatchUp)
    def on_catch_up(self, message: CatchUp) -> None:
        """Request a resync if the run started with a config that Port has replaced."""
        if self._known is None or self._question is None or self._question.number != message.number:
            return  # a later run has asked for itself
        try:
            snapshot = snapshot_of(self._fetch_integration())
        except PortError as error:
            self.context.schedule(self._next_fetch(error), message)
            return
        if snapshot.config != self._known.config:
            self._known = snapshot
            with contextlib.suppress(MailboxFull):  # then many requests wait already
                self.context.config_updated("the config changed while Port was away", snapshot)

    def _fetch(self, question: FetchConfig) -> None:
        """Answer with Port's config, or set a timer, or answer with the last known config."""
        if not self._is_provisioned(question):
            return
        try:
            integration, answers = self._fetch_both(question)
        except PortError as error:
            delay = self._next_fetch(error, LONGEST_PAUSE)
            waited = self.context.clock.monotonic() - self._asked_at
            if error.temporary and waited + delay <= CONFIG_PATIENCE:
                logger.warning(
                    "run %s waits for its config; Port is asked again in %.1f s: %s",
                    question.run_id, delay, error,
                )  # fmt: skip
                self.context.schedule(delay, FetchAgain(question.number))
                return
            logger.warning(
                "run %s starts with the last known config; Port is asked again in %.1f s, and "
                "another run follows if it holds a different one: %s",
                question.run_id, delay, error,
            )  # fmt: skip
            self._answer(question, fresh=False)
            self.context.schedule(delay, CatchUp(question.number))
            return
        self._known = snapshot_of(integration)
        self._answer(question, fresh=True, answers=answers)

    def _answer(
        self, question: FetchConfig, *, fresh: bool, answers: PortRequest | None = None
    ) -> None:
        assert self._known is not None  # noqa: S101  (the integration is registered)
        question.reply_to.tell(ConfigFetched(question.number, self._known, answers, fresh))

    def _next_fetch(self, error: PortError, longest: float = math.inf) -> float:
        backoff = self._backoff.delay(self._failed_fetches, self.context.jitter())
        self._failed_fetches += 1
        return error.delay(min(backoff, longest))

    def _fetch_both(self, question: FetchConfig) -> tuple[Integration, PortRequest | None]:
        """Returns the integration, and Port's newest resync request if a listener needs it.

        Both are asked for at the same time, so a run waits for one round trip. Raises PortError.
        """
        if not self._requests:
            return self._fetch_integration(), None
        newest_request = in_background(lambda: self._newest_request(question))
        try:
            integration = self._fetch_integration()
        except PortError:
            newest_request()  # at most one such call is under way
            raise
        return integration, newest_request()

    def _newest_request(self, question: FetchConfig) -> PortRequest | None:
        """Returns Port's newest resync request; None if there is none or Port does not answer."""
        try:
            return self._client.get_resync_request(retry=ONCE)
        except PortError as error:
            logger.info(
                "Port did not return its newest resync request; run %s does not wait for it, and "
                "the requests that it answers may be served once more: %s",
                question.run_id, error,
            )  # fmt: skip
            return None

    def _fetch_integration(self) -> Integration:
        """Returns the integration, registered and with its destination set. Raises PortError."""
        try:
            integration = self._client.get_integration(retry=ONCE)
        except PortError as error:
            if error.status != 404:
                raise
            logger.info("registering the integration with Port")
            return self._client.create_integration(self._destination or {})
        self.context.publish(ingest_addresses(integration, self._client.base_url))
        if needs_patch(integration, self._destination):
            logger.info("telling Port where to send changes: %s", self._destination or "nowhere")
            return self._client.patch_integration(
                retry=ONCE, changelogDestination=self._destination
            )
        return integration
