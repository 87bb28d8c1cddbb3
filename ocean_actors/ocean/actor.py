"""The actor that owns the child process of an Ocean integration."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ocean_actors.actors import (
    AtLimit,
    Backoff,
    MailboxFull,
    MailboxPolicy,
    Message,
    Supervision,
    Timer,
    handles,
)
from ocean_actors.context import Actor
from ocean_actors.errors import OceanError
from ocean_actors.log import get_logger
from ocean_actors.messages import CoordinatorStopped, IntegrationMissing, Lease, RoleChanged
from ocean_actors.ocean import protocol
from ocean_actors.ocean.address import ChildAddress
from ocean_actors.ocean.child_log import ChildLog, upstream_logger
from ocean_actors.ocean.environment import child_environment
from ocean_actors.ocean.job import AbortJob, JobEnded, OceanJob, StartJob
from ocean_actors.ocean.process import ChildProcess, Ended, Garbage, Printed
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.transport import LONGEST_MESSAGE
from ocean_actors.resync.current_lease import is_valid, remaining_seconds
from ocean_actors.retry import ONCE
from ocean_actors.settings import Settings

logger = get_logger(__name__)

PORT_BACKOFF = Backoff(initial=0.5, maximum=60.0)
EXIT_SECONDS = 0.6
"""Seconds for the child to end by itself at the stop. It was told to when the last run ended."""

KILLED_SECONDS = 0.3  # for which we wait until a killed child is gone
SHARE_OF_LEASE = 1 / 3
"""The child is told the lease's end again after this share of the remaining time."""

SHORTEST_WAIT = 0.1  # seconds between two such messages to the child
SHARE_OF_GRACE = 0.75
LONGEST_MARGIN = 2.0
"""A child that does not obey an abort is killed after `SHARE_OF_GRACE` of `resync.abortGrace`, or
this many seconds before the end of it, whichever is later.
"""


class ChildDied(OceanError):
    """The child's process ended and should not have; `str()` is one readable line."""

    explained = True


@dataclass(frozen=True)
class Installed:
    """Where the integration is, and the interpreter that runs it."""

    folder: Path
    python: str


@dataclass(frozen=True)
class ChildSaid(Message):
    """From the thread of a child's process; `process` says which child it is."""

    process: object
    event: protocol.Event | Ended


@dataclass(frozen=True)
class StartChild(Message):
    """To itself: a wait for Port is over."""


@dataclass(frozen=True)
class TellLease(Message):
    """To itself: tell the child how long `lease` is valid."""

    lease: Lease


@dataclass(frozen=True)
class StartTimeUp(Message):
    """To itself: the child has to be ready by now."""

    process: object


@dataclass(frozen=True)
class KillChild(Message):
    """To itself: the child has to have obeyed the abort of `job` by now."""

    job: OceanJob


class OceanChild(Actor):
    """Keeps a child process while this instance is active, and has it run resyncs.

    A child that ends unasked is an incident: its run fails, and supervision starts another child
    within its budget. A child that is killed as it did not obey an abort is replaced at once.
    While Port cannot be reached, none is started, as it would fail. On standby there is none: it
    would register the integration and serve its live events and actions. While this instance leads
    by a lease, the child is told again and again how long that is valid, and ends by itself when
    it runs out: this process may be frozen while another instance takes over.
    """

    subscribes_to = (RoleChanged, CoordinatorStopped, IntegrationMissing)
    supervision = Supervision(backoff=Backoff(initial=1.0, maximum=30.0), window=300.0)
    mailbox = MailboxPolicy(limit=10_000, at_limit={Message: AtLimit.ADMIT})
    message_bound = LONGEST_MESSAGE

    def __init__(
        self,
        settings: Settings,
        installed: Installed,
        client: PortClient,
        address: ChildAddress,
        on_ready: Callable[[], object],
    ) -> None:
        """Take what a child is started with.

        `address` is told where each child serves HTTP, and `on_ready` is called when one is ready.
        """
        super().__init__()
        self._settings = settings
        self._installed = installed
        self._client = client
        self._address = address
        self._on_ready = on_ready
        self._active = False
        self._lease: Lease | None = None
        self._stopping = False
        self._process: ChildProcess | None = None
        self._ready: protocol.Ready | None = None
        self._expected_end = False  # we killed it, or told it to exit
        self._failed: protocol.Failed | None = None
        self._job: OceanJob | None = None
        self._sent = False  # the job was given to the child
        self._next: OceanJob | None = None  # waits for the child to end the one before
        self._key: object = None  # of the process
        self._abort_timer: Timer | None = None
        self._start_timer: Timer | None = None
        self._failures = 0  # to reach Port
        self._counts = protocol.RunCounts()
        self._began = 0.0

    def on_start(self) -> None:
        """Wait for the role."""
        self._log = ChildLog(self.context.clock, lambda: self._job)
        self._show("standby")

    # -- the role, and the end -------------------------------------------------------------------

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Start a child once this instance is active; kill it at once when it stands by."""
        self._active, self._lease = event.active, event.lease
        if event.active:
            self._start()
            if event.lease is not None:
                self.context.ref.tell(TellLease(event.lease))
        elif self._process is not None:
            self._kill("this instance stands by")
        else:  # a job that waits for a process is about to be aborted
            self._show("standby")

    @handles(TellLease)
    def on_tell_lease(self, message: TellLease) -> None:
        """Tell the child anew before the time that it knows is over."""
        if message.lease is self._lease:
            seconds = self._tell_lease()
            if seconds is not None:
                delay = max(seconds * SHARE_OF_LEASE, SHORTEST_WAIT)
                self.context.schedule(delay, TellLease(message.lease))

    def _tell_lease(self) -> float | None:
        """Tell the child for how many seconds the lease is valid, and return them.

        Returns None if there is no lease, or one that cannot say.
        """
        seconds = None if self._lease is None else remaining_seconds(self._lease)
        if seconds is not None and self._process is not None:
            self._process.tell(protocol.command("lease", until=time.monotonic() + seconds))
        return seconds

    @handles(IntegrationMissing)
    def on_missing(self, _event: IntegrationMissing) -> None:
        """Start anew, as upstream creates the integration and its mapping only at its start."""
        if self._ready is not None and self._job is None:
            self._kill("the integration was deleted in Port, and is created anew")

    @handles(CoordinatorStopped)
    def on_coordinator_stopped(self, _event: CoordinatorStopped) -> None:
        """Have the child end by itself, as the last run has ended."""
        self._stopping = self._expected_end = True
        if self._process is not None:
            self._process.tell(protocol.command("exit"))

    def on_stop(self) -> None:
        """End the child."""
        self._stopping = True
        process = self._process
        if process is not None:
            process.tell(protocol.command("exit"))
            if not process.join(EXIT_SECONDS):
                self._end("the system stops")
        self._address.url = None
        self._process = None
        while self._job is not None:
            self._end_job(JobEnded("failed", "the system stopped"))

    def on_failure(self, *_: object) -> None:
        """Kill the child: the next life starts another one, for the job that had not begun, too."""
        self._end("its actor failed")
        self._address.url = None
        if self._sent:
            self._end_job(JobEnded("failed", "the actor of the Ocean process failed"))
        waiting = self._next or self._job
        if waiting is None:
            return
        if self.context.stopping.is_set():
            waiting.events.put(JobEnded("failed", "the system stopped"))
        else:
            self.context.ref.tell(StartJob(waiting))

    def _end(self, why: str) -> None:
        if self._process is not None:
            self._process.kill(why)
            if not self._process.join(KILLED_SECONDS):
                logger.warning("the Ocean process (pid %d) did not end", self._process.pid)
            self._process = None

    # -- the child -------------------------------------------------------------------------------

    @handles(StartChild)
    def on_start_child(self, _message: StartChild) -> None:
        """Try again."""
        self._start()

    def _start(self) -> None:
        if self._process is not None or not self._active or self._stopping:
            return
        if not self._is_port_there():
            return
        installed, settings = self._installed, self._settings
        level = logging.getLevelName(upstream_logger.getEffectiveLevel())
        level = level if level in protocol.LEVELS else "INFO"  # upstream knows no others
        environment = child_environment(settings, os.environ)
        tell, log, key = self.context.ref.tell, self._log.take, object()

        def listen(event: protocol.Event | Printed | Garbage | Ended) -> None:
            if isinstance(event, protocol.Logged | Printed | Garbage):
                log(event)
            else:
                tell(ChildSaid(key, event))

        try:
            self._process = ChildProcess(
                installed.python, installed.folder, environment, level, listen
            )
        except OSError as error:
            raise ChildDied(
                f"ocean.python: {installed.python} cannot be executed: {error.strerror or error}"
            ) from None
        self._key, self._ready, self._failed, self._expected_end = key, None, None, False
        self._tell_lease()
        self._began = self.context.clock.monotonic()
        seconds = settings.ocean.start_timeout
        self._start_timer = self.context.schedule(seconds, StartTimeUp(key))
        self._show("starting")
        logger.info(
            "the Ocean process starts: %s in %s (pid %d)",
            installed.python, installed.folder, self._process.pid,
        )  # fmt: skip

    def _is_port_there(self) -> bool:
        """Returns whether Port answers; else sets a timer to try again, or ends the system."""
        try:
            self._client.get_integration(retry=ONCE)
        except PortError as error:
            if error.status == 404:
                return True
            if not error.temporary:
                self.context.shutdown(1, str(error))
                return False
            delay = error.delay(PORT_BACKOFF.delay(self._failures, self.context.jitter()))
            self._failures += 1
            logger.warning(
                "the Ocean process is started once Port answers; retrying in %.1f s: %s",
                delay, error,
            )  # fmt: skip
            self._show("waiting for Port")
            self.context.schedule(delay, StartChild())
            return False
        self._failures = 0
        return True

    @handles(StartTimeUp)
    def on_start_time_up(self, message: StartTimeUp) -> None:
        """End the system if the child does not get ready: another attempt would not, either."""
        if self._process is None or message.process is not self._key or self._ready is not None:
            return
        self._kill("it did not get ready in time")
        self.context.shutdown(
            1,
            "the Ocean process did not get ready within "
            f"{self._settings.ocean.start_timeout:g} s (ocean.startTimeout)",
        )

    @handles(ChildSaid)
    def on_child_said(self, message: ChildSaid) -> None:
        """Go on with what the present child says."""
        if self._process is None or message.process is not self._key:
            return
        match message.event:
            case protocol.Ready() as ready:
                self._on_child_ready(ready)
            case protocol.Requested():
                self._request()
            case protocol.Progressed(run, counts):
                if self._job is not None and self._job.number == run:
                    self._note(counts)
            case protocol.Finished(run, status, failure, counts):
                if self._job is not None and self._job.number == run:
                    self._note(counts)
                    self._end_job(JobEnded(status, failure))
            case protocol.Failed() as failed:
                self._failed = failed
            case Ended() as ended:
                self._on_ended(ended)

    def _on_child_ready(self, ready: protocol.Ready) -> None:
        if self._ready is not None or self._process is None:
            return
        self._ready = ready
        if self._start_timer is not None:
            self._start_timer.cancel()
        self._address.url = f"http://127.0.0.1:{ready.port}"
        logger.info(
            "the Ocean process is ready after %.1f s: port-ocean %s, kinds: %s",
            self.context.clock.monotonic() - self._began, ready.version,
            ", ".join(ready.kinds) or "any",
        )  # fmt: skip
        self._show("ready")
        self._on_ready()
        self._send()

    def _request(self) -> None:
        try:
            self.context.request_resync("the integration asked for a resync")
        except MailboxFull:  # many requests wait already
            logger.info("the integration asked for a resync, but too many requests wait")

    def _on_ended(self, ended: Ended) -> None:
        expected, failed, ready = self._expected_end, self._failed, self._ready
        process, self._process, self._ready = self._process, None, None
        self._address.url = None
        if self._start_timer is not None:
            self._start_timer.cancel()
        if process is not None:
            process.join(KILLED_SECONDS)
        text = f"the Ocean process ended: {ended.text}"
        if failed is not None:
            what = "integration cannot start" if ready is None else "process ended"
            text = f"the Ocean {what}: {failed.reason}"
        if not is_valid(self._lease):  # it ended by itself; the job is about to be aborted
            self._active = self._sent = False
            self._show("standby")
            logger.info("the Ocean process ended, as the lease of this instance ran out")
            return
        if expected:
            if self._sent or not self._active:
                self._end_job(JobEnded("aborted", text))
            self._show("standby" if not self._active else "ended")
            logger.info("%s", text)
            self._start()
            return
        if self._sent or (failed is not None and failed.lasting):
            self._end_job(JobEnded("failed", text))
        self._show("ended")
        if failed is not None and failed.lasting:
            self.context.shutdown(1, text)
            return
        raise ChildDied(text)

    def _kill(self, why: str) -> None:
        """Have the child killed; what follows is done when it has ended."""
        if self._process is not None:
            self._expected_end = True
            self._address.url = None
            self._process.kill(why)

    # -- resyncs ---------------------------------------------------------------------------------

    @handles(StartJob)
    def on_start_job(self, message: StartJob) -> None:
        """Give the resync to the child, once there is one that has ended the one before."""
        if self._job is not None and self._sent:  # its handler was fenced off
            self._next = message.job
            self._abort(self._job)
            return
        self._job = message.job
        self._send()

    def _send(self) -> None:
        job, process = self._job, self._process
        if job is None or self._sent or process is None or self._ready is None:
            return
        if self._expected_end:  # the next child gets it
            return
        self._sent = True
        self._counts = protocol.RunCounts()
        if not process.tell(protocol.command("run", run=job.number, id=job.run_id)):
            process.kill("it does not read its commands")

    @handles(AbortJob)
    def on_abort_job(self, message: AbortJob) -> None:
        """Have the child cancel the resync; kill the child before the grace is over."""
        job = message.job
        if job is self._next:
            self._next = None
            job.events.put(JobEnded("aborted"))
        elif job is self._job and self._sent:
            self._abort(job)
        elif job is self._job:
            self._end_job(JobEnded("aborted"))

    def _abort(self, job: OceanJob) -> None:
        if self._process is None or self._abort_timer is not None:
            return
        self._process.tell(protocol.command("abort", run=job.number))
        grace = self._settings.resync.abort_grace
        seconds = max(grace * SHARE_OF_GRACE, grace - LONGEST_MARGIN)
        self._abort_timer = self.context.schedule(seconds, KillChild(job))

    @handles(KillChild)
    def on_kill_child(self, message: KillChild) -> None:
        """Kill the child if it is still at work."""
        if message.job is self._job and self._process is not None:
            logger.warning(
                "the integration did not end run %s within its grace; its process is killed and "
                "started again", message.job.run_id,
            )  # fmt: skip
            self._kill(f"it did not end run {message.job.run_id} when that was aborted")

    def _note(self, counts: protocol.RunCounts) -> None:
        self._counts = counts
        self._show("ready")
        if self._job is not None:
            self._job.events.put(counts)

    def _end_job(self, ended: JobEnded) -> None:
        """Tell the handler that its resync is over, and go on with the one that waits."""
        job, self._job, self._sent = self._job, self._next, False
        self._next = None
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        if job is not None:
            job.events.put(ended)
        self._send()

    # -- what is shown ---------------------------------------------------------------------------

    def _show(self, state: str) -> None:
        process, ready = self._process, self._ready
        self.context.show(
            state=state,
            path=str(self._installed.folder),
            pid=None if process is None else process.pid,
            version=None if ready is None else ready.version,
            url=self._address.url,
            kinds=[asdict(each) for each in self._counts.kinds],
        )
