"""A stand-in for the Kubernetes API server: Leases, as the official client reads and writes them.

Status codes, messages and rules follow Kubernetes 1.3x for coordination.k8s.io/v1: optimistic
concurrency by resourceVersion, watches, bearer tokens, rights by verb and namespace.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from lease_events import Selection
from leases import GROUP, Json, Leases, Refusal

__all__ = ["TOKEN", "ApiServer", "Refusal", "kubeconfig_of"]

LEASES = re.compile(rf"/apis/{GROUP}/v1/namespaces/([^/]+)/leases(?:/([^/]+))?")
TOKEN = "secret-token"


class ApiServer:
    """Serves `leases` at a port of 127.0.0.1. Stopped and started again, it keeps both."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.leases = Leases()
        self.calls: list[str] = []
        self.fail_with: Refusal | None = None
        self.body: bytes | None = None
        """What is answered to everything instead, as a proxy does."""
        self.hangs = threading.Event()
        """While it is set, requests are carried out and not answered."""
        self.hang_on: str | None = None
        """The same for one method only."""
        self.before: Callable[[str], object] = lambda _method: None
        """Is called with the method of each call before it is carried out."""
        self.tls = tls
        self._server: _Server | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = _Server(self, self.port)
        self.port = self._server.server_address[1]
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def kubeconfig(self, token: str = TOKEN, port: int | None = None) -> str:
        """Returns a file for the official client, as JSON, which is YAML."""
        return kubeconfig_of(self.url if port is None else f"http://127.0.0.1:{port}", token)


def kubeconfig_of(server: str, token: str = TOKEN) -> str:
    """Returns a file for the official client, as JSON, which is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "ocean", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "here", "user": "ocean"}}],
            "current-context": "c",
        }
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, api: ApiServer, port: int) -> None:
        self.api = api
        self.stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread."""
        with suppress(OSError):  # the peer may leave at any time
            if self.api.tls is not None:
                request = self.api.tls.wrap_socket(request, server_side=True)
            with self._lock:
                self._connections.add(request)
            super().finish_request(request, client_address)
        with self._lock:
            self._connections.discard(request)
        with suppress(OSError):
            request.close()

    def server_close(self) -> None:
        self.stopped.set()
        super().server_close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        server = cast("_Server", self.server)
        api = server.api
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:  # the peer was killed, or we are stopped
            self.close_connection = True
            return
        api.calls.append(f"{self.command} {self.path}")
        api.before(self.command)
        try:
            self._check(api)
            query = dict(parse_qsl(urlsplit(self.path).query))
            if query.get("watch") in ("1", "true", "True"):
                self._watch(api, query)
                return
            code, body = self._carry_out(api, json.loads(raw) if raw else {})
        except Refusal as refusal:
            code, body = refusal.code, refusal.body
        while (api.hangs.is_set() or api.hang_on == self.command) and not server.stopped.wait(0.01):
            pass
        if server.stopped.is_set():
            self.close_connection = True
            return
        data = api.body if api.body is not None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  (as http.server says)

    def _check(self, api: ApiServer) -> None:
        if api.fail_with is not None:
            raise api.fail_with
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or token != TOKEN:
            raise Refusal(401, "Unauthorized", "Unauthorized")

    def _carry_out(self, api: ApiServer, body: Json) -> tuple[int, Json]:
        namespace, name = self._place()
        return api.leases.answer(self.command, namespace, name, body)

    def _place(self) -> tuple[str, str | None]:
        match = LEASES.fullmatch(urlsplit(self.path).path)
        if match is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return match[1], match[2]

    def _watch(self, api: ApiServer, query: dict[str, str]) -> None:
        """Stream the events until `timeoutSeconds` are over."""
        namespace, name = self._place()
        api.leases.check_right("watch", namespace, name)
        selection = Selection.of(namespace, query)
        until = time.monotonic() + selection.seconds
        stopped = cast("_Server", self.server).stopped

        def over() -> bool:
            return stopped.is_set() or time.monotonic() >= until

        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in api.leases.events.watch(selection, api.leases.newest, over):
            if line:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_args: object) -> None:
        pass
