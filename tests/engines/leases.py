"""The Leases of a Kubernetes cluster, and the rules of the API server by which they change."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timezone
from typing import Any

from lease_events import Events

GROUP = "coordination.k8s.io"
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
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
        self.events = Events()
        self._lock = threading.Lock()
        self._version = 100
        self._leases: dict[tuple[str, str], Json] = {}

    def find(self, namespace: str, name: str) -> Json:
        """Raises Refusal if there is none."""
        with self._lock:
            return self._found(namespace, name)

    def release_all(self) -> None:
        """Have nobody hold any Lease."""
        self.edit_all(holderIdentity="", leaseDurationSeconds=None)

    def edit_all(self, **changes: Any) -> None:
        """Have somebody change all Leases, as with kubectl."""
        with self._lock:
            for (namespace, name), lease in self._leases.items():
                spec = {**lease["spec"], **changes}
                self._stored(namespace, name, {**lease, "spec": spec}, {})

    def answer(self, method: str, namespace: str, name: str | None, body: Json) -> tuple[int, Json]:
        """Returns the status and the body. Raises Refusal."""
        self.check_right(VERBS[method] if name or method == "POST" else "list", namespace, name)
        with self._lock:
            if method == "GET":
                return 200, self._found(namespace, name) if name else self._list(namespace)
            if method == "POST":
                return 201, self._created(namespace, body)
            assert name is not None
            if method == "DELETE":
                return 200, self._deleted(namespace, name)
            if method == "PATCH":  # a merge patch
                body = _merged(self._found(namespace, name), body)
            return 200, self._replaced(namespace, name, body)

    def newest(self) -> tuple[int, list[Json]]:
        """Returns the newest version, and all Leases."""
        with self._lock:
            return self._version, list(self._leases.values())

    def check_right(self, verb: str, namespace: str, name: str | None) -> None:
        """Raises Refusal if the verb is forbidden."""
        if verb in self.forbidden:
            what = f'leases.{GROUP} "{name}"' if name else f"leases.{GROUP}"
            message = (
                f'{what} is forbidden: User "{USER}" cannot {verb} resource "leases" in API group '
                f'"{GROUP}" in the namespace "{namespace}"'
            )
            raise Refusal(403, "Forbidden", message)

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

    def _deleted(self, namespace: str, name: str) -> Json:
        lease = self._found(namespace, name)
        del self._leases[namespace, name]
        self._version += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self._version)}
        self.events.add("DELETED", {**lease, "metadata": metadata})
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _stored(self, namespace: str, name: str, body: Json, metadata: Json) -> Json:
        spec = body.get("spec") or {}
        _check(name, spec)
        self._version += 1
        metadata = {
            **body["metadata"], **metadata, "namespace": namespace, "uid": f"uid-{name}",
            "resourceVersion": str(self._version),
        }  # fmt: skip
        lease = {"kind": "Lease", "apiVersion": f"{GROUP}/v1", "metadata": metadata, "spec": spec}
        kind = "MODIFIED" if (namespace, name) in self._leases else "ADDED"
        self._leases[namespace, name] = lease
        self.events.add(kind, lease)
        return lease


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
