"""How the sandbox sends change-log messages, as Port does: here by webhook."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import requests

from ocean_actors.actors.clock import Clock
from ocean_actors.log import get_logger
from ocean_actors.web.signature import sign

logger = get_logger(__name__)

Json = dict[str, Any]

_Waiting = queue.Queue[tuple[str, Json]]
"""Addresses, and the messages that are to be sent there."""


class Publisher(Protocol):
    """Sends change-log messages (`changelog`) to listeners."""

    def start(self) -> None:
        """Called when the sandbox starts, at once if it is running."""

    def publish(self, message: Json, integration: Json) -> None:
        """Called for every message, in order, from one thread at a time. Must not block.

        `integration` is the changed integration; its `changelogDestination` says where the message
        is to go.
        """

    def stop(self) -> None:
        """Called when the sandbox stops. Must end all threads."""


@dataclass(frozen=True)
class Delivery:
    """A webhook that was sent, with the status of the answer or the error."""

    url: str
    message: Json
    status: int | None
    error: str | None

    def as_json(self) -> Json:
        """Returns the record as JSON-able data."""
        return asdict(self)


class WebhookPublisher:
    """POSTs messages to integrations that are registered for WEBHOOK, each once, as Port seems to.

    One thread sends, which keeps the order. A message that finds `capacity` others waiting is
    recorded as not delivered.
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
        self._capacity = capacity
        self._waiting: _Waiting = queue.Queue(capacity)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to send."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._send_all,
            args=(self._waiting, self._stopping),
            name="sandbox-webhooks",
            daemon=True,
        )
        self._thread.start()

    def publish(self, message: Json, integration: Json) -> None:
        """Queue the message if the integration is registered for webhooks."""
        destination = integration.get("changelogDestination") or {}
        if destination.get("type") != "WEBHOOK":
            return
        self._put(destination["url"], message)

    def stop(self) -> None:
        """End the thread: a call in flight has `timeout` left, queued messages are not sent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        waiting, self._waiting = self._waiting, queue.Queue(self._capacity)
        self._stopping.set()
        with contextlib.suppress(queue.Full):  # then the thread does not wait for a message
            waiting.put_nowait(("", {}))  # wakes it
        thread.join(2 * self._timeout + 1)
        if thread.is_alive():
            logger.warning("the sandbox stopped while a webhook was being sent")

    def headers(self, body: bytes) -> Mapping[str, str]:
        """Returns the headers of a body, signed as `webhook_signing` says."""
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

    def _send_all(self, waiting: _Waiting, stopping: threading.Event) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                url, message = waiting.get()
                if stopping.is_set():
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
                stream=True,  # only the status matters
            ) as answer:
                return Delivery(url, message, answer.status_code, None)
        except (requests.RequestException, ValueError) as error:
            return Delivery(url, message, None, f"{type(error).__name__}: {error}")
