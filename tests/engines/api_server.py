"""A stand-in of the Kubernetes API server: Leases, as the official client reads and writes them.

Status codes, messages and rules follow Kubernetes 1.3x for coordination.k8s.io/v1: optimistic
concurrency by resourceVersion, bearer tokens, rights by verb and namespace.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

GROUP = "coordination.k8s.io"
LEASES = re.compile(rf"/apis/{GROUP}/v1/namespaces/([^/]+)/leases(?:/([^/]+))?")
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
TOKEN = "secret-token"
USER = "system:serviceaccount:default:ocean"

Json = dict[str, Any]


class Refusal(Exception):
    """The answer is a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


class Leases:
    """What etcd has: it survives a restart of the API server."""

    def __init__(self) -> None:
        self.namespaces = {"default"}
        self.forbidden: set[str] = set()  # verbs
        self._lock = threading.Lock()
        self._version = 100
        self._leases: dict[tuple[str, str], Json] = {}

    def find(self, namespace: str, name: str) -> Json:
        """Raises Refusal if there is none."""
        with self._lock:
            return self._found(namespace, name)

    def release_all(self) -> None:
        """Have nobody hold any Lease."""
        with self._lock:
            for (namespace, name), lease in self._leases.items():
                spec = {**lease["spec"], "holderIdentity": ""}
                self._stored(namespace, name, {**lease, "spec": spec}, {})

    def answer(self, method: str, namespace: str, name: str | None, body: Json) -> tuple[int, Json]:
        """Returns the status and the body. Raises Refusal."""
        verb = VERBS[method] if name or method == "POST" else "list"
        if verb in self.forbidden:
            what = f'leases.{GROUP} "{name}"' if name else f"leases.{GROUP}"
            message = (
                f'{what} is forbidden: User "{USER}" cannot {verb} resource "leases" in API group '
                f'"{GROUP}" in the namespace "{namespace}"'
            )
            raise Refusal(403, "Forbidden", message)
        with self._lock:
            if method == "GET":
                return 200, self._found(namespace, name) if name else self._list(namespace)
            if method == "POST":
                return 201, self._created(namespace, body)
            assert name is not None
            if method == "DELETE":
                del self._leases[namespace, self._found(namespace, name)["metadata"]["name"]]
                return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            if method == "PATCH":  # a merge patch
                body = _merged(self._found(namespace, name), body)
            return 200, self._replaced(namespace, name, body)

    def _found(self, namespace: str, name: str) -> Json:
        if (namespace, name) not in self._leases:
            raise Refusal(404, "NotFound", f'leases.{GROUP} "{name}" not found')
        return self._leases[namespace, name]

    def _list(self, namespace: str) -> Json:
        items = [lease for (where, _), lease in self._leases.items() if where == namespace]
        metadata = {"resourceVersion": str(self._version)}
        return {
            "kind": "LeaseList", "apiVersion": f"{GROUP}/v1", "metadata": metadata, "items": items
        }  # fmt: skip

    def _created(self, namespace: str, body: Json) -> Json:
        name = body["metadata"]["name"]
        if namespace not in self.namespaces:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if (namespace, name) in self._leases:
            raise Refusal(409, "AlreadyExists", f'leases.{GROUP} "{name}" already exists')
        if body["metadata"].get("resourceVersion"):
            message = "resourceVersion should not be set on objects to be created"
            raise Refusal(500, "InternalError", message)
        created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._stored(namespace, name, body, {"creationTimestamp": created})

    def _replaced(self, namespace: str, name: str, body: Json) -> Json:
        old = self._found(namespace, name)["metadata"]
        if body["metadata"].get("name") != name:
            message = "the name of the object does not match the name on the URL"
            raise Refusal(400, "BadRequest", message)
        version = body["metadata"].get("resourceVersion")
        if not version:
            message = (
                f'leases.{GROUP} "{name}" is invalid: metadata.resourceVersion: Invalid value: '
                "0: must be specified for an update"
            )
            raise Refusal(422, "Invalid", message)
        if version != old["resourceVersion"]:
            message = (
                f'Operation cannot be fulfilled on leases.{GROUP} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again"
            )
            raise Refusal(409, "Conflict", message)
        return self._stored(namespace, name, body, {"creationTimestamp": old["creationTimestamp"]})

    def _stored(self, namespace: str, name: str, body: Json, metadata: Json) -> Json:
        spec = body.get("spec") or {}
        _check(name, spec)
        self._version += 1
        metadata = {
            **body["metadata"], **metadata, "namespace": namespace, "uid": f"uid-{name}",
            "resourceVersion": str(self._version),
        }  # fmt: skip
        lease = {"kind": "Lease", "apiVersion": f"{GROUP}/v1", "metadata": metadata, "spec": spec}
        self._leases[namespace, name] = lease
        return lease


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
        server = self.url if port is None else f"http://127.0.0.1:{port}"
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
        try:
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

    def _carry_out(self, api: ApiServer, body: Json) -> tuple[int, Json]:
        if api.fail_with is not None:
            raise api.fail_with
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or token != TOKEN:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        match = LEASES.fullmatch(urlsplit(self.path).path)
        if match is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return api.leases.answer(self.command, match[1], match[2], body)

    def log_message(self, *_args: object) -> None:
        pass


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    merged = {**old, **{key: _merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _check(name: str, spec: Json) -> None:
    for key in ("acquireTime", "renewTime"):
        value = spec.get(key)
        if value is not None and not MICRO_TIME.fullmatch(value):
            message = (
                f'Lease in version "v1" cannot be handled as a Lease: parsing time "{value}" as '
                '"2006-01-02T15:04:05.000000Z07:00": cannot parse'
            )
            raise Refusal(400, "BadRequest", message)
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and not isinstance(seconds, int):
        message = 'Lease in version "v1" cannot be handled as a Lease: json: cannot unmarshal'
        raise Refusal(400, "BadRequest", message)
    for key, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        if spec.get(key) is not None and spec[key] < least:
            message = f'Lease.{GROUP} "{name}" is invalid: spec.{key}: Invalid value: {spec[key]}'
            raise Refusal(422, "Invalid", message)
