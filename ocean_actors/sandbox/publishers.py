"""Where the sandbox sends what Port would send: here the webhooks."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import requests

from ocean_actors.actors.clock import Clock
from ocean_actors.web.signature import sign

logger = logging.getLogger(__name__)

Json = dict[str, Any]


class Publisher(Protocol):
    """Carries change-log messages (`changelog`) to whoever listens."""

    def start(self) -> None:
        """Called when the sandbox starts, or at once if it runs already."""

    def publish(self, message: Json, integration: Json) -> None:
        """Called for every message, in order, from one thread at a time. Must not block.

        `integration` is the one it is about, after the change; what it is for, its
        `changelogDestination` tells.
        """

    def stop(self) -> None:
        """Called when the sandbox stops. Leaves no thread behind."""


@dataclass(frozen=True)
class Delivery:
    """One webhook that was sent: the answer's status, or why there is none."""

    url: str
    message: Json
    status: int | None
    error: str | None

    def as_json(self) -> Json:
        """The same, to be written as JSON."""
        return asdict(self)


class WebhookPublisher:
    """POSTs to the integrations registered for WEBHOOK, once each, as Port presumably does.

    One thread sends, so deliveries keep their order. Whatever finds more than `capacity`
    waiting is recorded as not delivered.
    """

    def __init__(
        self,
        secret: str,
        signing: Callable[[], str],
        record: Callable[[Delivery], None],
        clock: Clock,
        *,
        timeout: float = 5.0,
        capacity: int = 1000,
    ) -> None:
        self._secret = secret
        self._signing = signing  # "signed", "unsigned" or "wrong"
        self._record = record
        self._clock = clock
        self._timeout = timeout
        self._waiting: queue.Queue[tuple[str, Json]] = queue.Queue(capacity)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._send_all, name="sandbox-webhooks", daemon=True)
        self._thread.start()

    def publish(self, message: Json, integration: Json) -> None:
        """Queue it if the integration wants webhooks."""
        destination = integration.get("changelogDestination") or {}
        if destination.get("type") != "WEBHOOK":
            return
        self._put(destination["url"], message)

    def stop(self) -> None:
        """End the thread; what waits is not sent, what is on its way has `timeout` left."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        self._waiting.put(("", {}))  # wakes it
        thread.join(2 * self._timeout + 1)
        if thread.is_alive():
            logger.warning("a webhook of the sandbox is still being sent")

    def headers(self, body: bytes) -> Mapping[str, str]:
        """What goes with a body, signed as the sandbox was told."""
        signing = self._signing()
        plain = {"Content-Type": "application/json", "User-Agent": "port-sandbox"}
        if signing == "unsigned":
            return plain
        timestamp = int(self._clock.now().timestamp())
        secret = self._secret if signing == "signed" else self._secret + "?"
        signed = sign(secret.encode(), timestamp, body)
        return {**plain, "x-port-timestamp": str(timestamp), "x-port-signature": signed}

    def _put(self, url: str, message: Json) -> None:
        try:
            self._waiting.put_nowait((url, message))
        except queue.Full:
            self._record(Delivery(url, message, None, "too many webhooks wait"))

    def _send_all(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                url, message = self._waiting.get()
                if self._stopping.is_set():
                    return
                self._record(self._send(session, url, message))

    def _send(self, session: requests.Session, url: str, message: Json) -> Delivery:
        body = json.dumps(message, separators=(",", ":")).encode()
        try:
            with session.post(
                url,
                data=body,
                headers=self.headers(body),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,  # the status is all that counts
            ) as answer:
                return Delivery(url, message, answer.status_code, None)
        except (requests.RequestException, ValueError) as error:
            return Delivery(url, message, None, f"{type(error).__name__}: {error}")
