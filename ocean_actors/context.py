"""What actors of an integration may use, beyond what every actor may."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ocean_actors import actors
from ocean_actors.checked import checked_kinds, checked_parameters
from ocean_actors.messages import (
    Allow,
    ConfigSnapshot,
    ConfigUpdated,
    Decision,
    Lease,
    Policy,
    ResyncRequested,
)
from ocean_actors.resync.admission import Decide, Decided, checked_decision
from ocean_actors.resync.client import ResyncClient
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.actors.cell import Cell
    from ocean_actors.session import CancellableSession


class RunningSystem(Protocol):
    """What the context needs of the system it belongs to."""

    def status(self) -> dict[str, Any]:
        """See `OceanSystem.status`."""

    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        """See `OceanSystem.shutdown`."""


class IntegrationContext(actors.Context):
    """What listeners and custom actors may do beyond other actors: above all, request resyncs."""

    def __init__(
        self,
        cell: Cell,
        resync: ResyncClient,
        integration: RunningSystem,
        *,
        strict_tls: bool = True,
    ) -> None:
        """`strict_tls`: see `ssl.thirdParty.x509.strict`."""
        super().__init__(cell)
        self._resync = resync
        self._integration = integration
        self._strict_tls = strict_tls
        self._session: CancellableSession | None = None

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` for other systems' APIs, with time-outs and retries.

        Its calls end with `Cancelled` as soon as `token` is cancelled: let it pass. Each life of
        the actor has its own.
        """
        if self._session is None:
            from ocean_actors.session import CancellableSession

            self._session = CancellableSession(
                self.token, clock=self.clock, strict=self._strict_tls
            )
            self.token.on_cancel(self._session.close)
        return self._session

    def unsettled(self) -> tuple[ResyncRequested, ...]:
        """Returns the requests of this actor that are not settled yet, the oldest first.

        The latest of several joined requests stands for all. So an actor that restarts can
        learn what it still waits for: `correlation` is what it gave to `request_resync`. Raises
        pykka.Timeout if the coordinator does not answer within 5 seconds, pykka.ActorDeadError if
        it has stopped, as in `on_stop`.
        """
        return self._resync.unsettled(self.name)

    def request_resync(
        self,
        reason: str,
        *,
        notify: bool = False,
        policy: Policy | None = None,
        correlation: str | int | None = None,
        kinds: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> str:
        """Request a resync; returns the request's id at once.

        With `notify`, this actor is told `RequestSettled` when the request needs nothing more;
        only then should a listener acknowledge it to its source. A later request of this actor
        stands for its earlier ones that wait: only its own settlement is told. `correlation`
        comes back with `RequestSettled.request`.

        `policy` says what the request does to a run in flight; default: `resync.onNewRequest`.
        `kinds` and `parameters`: see `OceanSystem.request_resync`. Raises ValueError for an
        unknown policy or kind.
        """
        request = ResyncRequested(
            reason=reason,
            trigger=self.name,
            requested_at=self.clock.now(),
            reply_to=self.ref if notify else None,
            policy=policy,
            correlation=correlation,
            kinds=checked_kinds(kinds),
            parameters=checked_parameters(parameters),
        )
        self._resync.submit(request)
        return request.id

    def config_updated(
        self,
        reason: str,
        snapshot: ConfigSnapshot | None,
        *,
        notify: bool = False,
        correlation: str | int | None = None,
    ) -> str:
        """Request a resync because the config changed.

        Give `snapshot` only if its source proved to be Port: a run may be served with it.
        """
        request = ConfigUpdated(
            reason=reason,
            trigger=self.name,
            requested_at=self.clock.now(),
            reply_to=self.ref if notify else None,
            snapshot=snapshot,
            correlation=correlation,
        )
        self._resync.submit(request)
        return request.id

    def abort(self, reason: str) -> bool:
        """See `OceanSystem.abort`."""
        return self._resync.abort(reason)

    def pause(self, reason: str, *, abort: bool = False) -> None:
        """Have no run started until this actor resumes; see `OceanSystem.pause`.

        The pause outlives a restart of this actor, and its end.
        """
        self._resync.pause(reason, owner=self.name, abort=abort)

    def resume(self, reason: str) -> None:
        """Lift the pause of this actor; see `OceanSystem.resume`."""
        self._resync.resume(reason, owner=self.name)

    def set_role(
        self, *, active: bool, lease: Lease | None = None, sources: Iterable[str] = ()
    ) -> None:
        """Say whether this instance runs the resyncs, or stands by while another one does.

        On standby, the unsettled requests of this actor and of the actors `sources` are dropped,
        as the active instance receives them; requests of other actors wait. Entities and
        reports are sent only while `lease` is valid.
        """
        self._resync.set_role(active=active, sources=(self.name, *sources), lease=lease)

    def status(self) -> dict[str, Any]:
        """See `OceanSystem.status`. Asks the coordinator, so not for the coordinator itself."""
        return self._integration.status()

    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        """Have the whole system stopped, in another thread; returns at once."""
        self._integration.shutdown(exit_code, cause)


class Actor(actors.Actor):
    """Base of listeners and custom actors; see `ocean_actors.actors.Actor` for its life."""

    context: IntegrationContext

    def decide(self, request: ResyncRequested) -> Decision:  # noqa: ARG002  (for subclasses)
        """Decide about a request before it is taken: `Allow()`, `Delay(seconds)`, `Ignore(reason)`.

        Override it in a custom actor of `OceanSystem(actors=…)` to be asked about every request.
        It runs in the actor's own thread, between its messages. If it raises, returns anything
        else, or takes longer than half a second, the request is taken.
        """
        return Allow()

    @actors.handles(Decide)
    def _answer_gatekeeper(self, question: Decide) -> None:
        """Answer the gatekeeper, whatever `decide` does."""
        decision: Decision = Allow()
        failure: str | None = None
        try:
            decision = checked_decision(self.decide(question.request))
        except BaseException as error:  # noqa: BLE001  (a user's code may raise anything)
            failure = one_line(error)
        question.reply_to.tell(Decided(question.number, self.context.name, decision, failure))


def decides(actor_class: type) -> bool:
    """Returns whether an actor of that class is to be asked about requests."""
    return issubclass(actor_class, Actor) and actor_class.decide is not Actor.decide


ActorSpec = Callable[[], Actor]
"""A custom actor: its class, or a `functools.partial` of its class that holds the arguments."""


def actor_parts(spec: ActorSpec) -> tuple[type[actors.Actor], tuple[Any, ...], dict[str, Any]]:
    """Returns the class of a custom actor and the arguments it is built from in each life.

    Raises TypeError if `spec` is neither an actor class nor a partial of one.
    """
    actor_class: Any = spec
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(spec, functools.partial):
        actor_class, args, keywords = spec.func, spec.args, spec.keywords
    if not (isinstance(actor_class, type) and issubclass(actor_class, actors.Actor)):
        raise TypeError(
            "actors: expected Actor classes, or functools.partials of them, "
            f"not {one_line(spec, 80)}"
        )
    return actor_class, args, keywords
