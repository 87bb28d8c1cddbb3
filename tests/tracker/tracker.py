"""A fake issue tracker: a REST API with pages and a rate limit, and webhooks for its changes.

    python tests/tracker/tracker.py --port 9100 --projects 5 --issues 40 --users 12 --limit 20

`GET /api/projects`, `/api/users`, `/api/projects/<key>/issues` are paged (`page`, `per_page`);
`GET /api/issues/<id>`, `/api/projects/<key>` and `/api/users/<login>` give one item. All need the
header `Authorization: Token tracker-token`. `POST /` changes something, as people do in the
tracker's own pages; the webhook is then called with a signature in `X-Tracker-Signature`.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "tracker-token"
HOOK_SECRET = "hook-secret"
LARGEST_PAGE = 25

Item = dict[str, Any]


def signature_of(body: bytes, secret: str = HOOK_SECRET) -> str:
    """Returns the value of `X-Tracker-Signature` for a body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Tracker:
    """Projects, users and issues; a rate limit per second; and who hears of changes.

    `hook` is the address that is called for each change, None for nobody. `latency` are the
    seconds that each GET takes. `calls` and `refused` count GETs.
    """

    def __init__(
        self, projects: int = 5, issues: int = 40, users: int = 12, limit: int = 20
    ) -> None:
        self.limit = limit
        self.calls = self.refused = 0
        self.hook: str | None = None
        self.latency = 0.0
        self._lock = threading.Lock()
        self._window = self._used = 0
        self.users: dict[str, Item] = {
            f"u{n}": {"login": f"u{n}", "name": f"User {n}", "email": f"u{n}@x.io"}
            for n in range(users)
        }
        self.projects: dict[str, Item] = {
            f"P{n}": {
                "key": f"P{n}", "name": f"Project {n}", "lead": f"u{n % users}",
                "archived": n % 4 == 3,
            }
            for n in range(projects)
        }  # fmt: skip
        self.issues: dict[str, Item] = {
            f"P{p}-{n}": {
                "id": f"P{p}-{n}", "project": f"P{p}", "title": f"Issue {n} of P{p}",
                "status": "open" if n % 3 else "closed", "assignee": f"u{n % users}",
                "labels": ["bug"] if n % 2 else [],
            }
            for p in range(projects)
            for n in range(issues)
        }  # fmt: skip

    def admits(self) -> bool:
        """Returns whether one more GET is within the limit of this second."""
        with self._lock:
            now = int(time.monotonic())
            self.calls += 1
            if now != self._window:
                self._window, self._used = now, 0
            self._used += 1
            if self._used > self.limit:
                self.refused += 1
                return False
            return True

    def change(self, kind: str, action: str, item: Mapping[str, Any]) -> str:
        """Change (`created`, `updated`) or remove (`deleted`) an item, and call the webhook.

        `kind` is `issue`, `project` or `user`. Returns the item's key. Raises
        urllib.error.HTTPError if the webhook answers with an error.
        """
        store = {"issue": self.issues, "project": self.projects, "user": self.users}[kind]
        key = str(item.get("id") or item.get("key") or item.get("login"))
        if action == "deleted":
            store.pop(key, None)
        else:
            store[key] = {**store.get(key, {}), **item}
        if self.hook is not None:
            body = json.dumps({"kind": kind, "action": action, "id": key}).encode()
            headers = {
                "X-Tracker-Signature": signature_of(body),
                "Content-Type": "application/json",
            }
            request = urllib.request.Request(self.hook, body, headers)  # noqa: S310  (of the test)
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                answer.read()
        return key


def serve(tracker: Tracker, port: int = 0) -> ThreadingHTTPServer:
    """Serve in a thread; `server.server_address[1]` is the port, `server.shutdown()` the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if self.headers.get("Authorization") != f"Token {TOKEN}":
                return self._answer(401, {"error": "bad token"})
            if not tracker.admits():
                return self._answer(429, {"error": "slow down"}, {"Retry-After": "1"})
            time.sleep(tracker.latency)
            return self._get(url.path.strip("/").split("/")[1:], query)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = tracker.change(body["kind"], body["action"], body["item"])
            self._answer(200, {"ok": True, "id": key})

        def _get(self, parts: list[str], query: Mapping[str, str]) -> None:
            if parts == ["projects"]:
                return self._page(list(tracker.projects.values()), query)
            if parts == ["users"]:
                return self._page(list(tracker.users.values()), query)
            if len(parts) == 3 and parts[0] == "projects" and parts[2] == "issues":
                issues = list(tracker.issues.values())
                return self._page([each for each in issues if each["project"] == parts[1]], query)
            stores = {
                "issues": tracker.issues, "projects": tracker.projects, "users": tracker.users,
            }  # fmt: skip
            item = stores.get(parts[0], {}).get(parts[1]) if len(parts) == 2 else None
            if item is None:
                return self._answer(404, {"error": "not found"})
            return self._answer(200, item)

        def _page(self, items: list[Item], query: Mapping[str, str]) -> None:
            page = int(query.get("page", 1))
            size = min(int(query.get("per_page", 10)), LARGEST_PAGE)
            self._answer(
                200,
                {
                    "items": items[(page - 1) * size : page * size],
                    "total": len(items),
                    "next": page + 1 if page * size < len(items) else None,
                },
            )

        def _answer(
            self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
        ) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), name="tracker", daemon=True).start()
    return server


@contextmanager
def serving(tracker: Tracker) -> Iterator[str]:
    """Serve while the block runs; yields the tracker's address."""
    server = serve(tracker)
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    numbers = {"port": 9100, "projects": 5, "issues": 40, "users": 12, "limit": 20}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--hook")
    options = parser.parse_args()
    tracker = Tracker(options.projects, options.issues, options.users, options.limit)
    tracker.hook = options.hook
    serve(tracker, options.port)
    print(f"tracker at http://127.0.0.1:{options.port}", flush=True)  # noqa: T201  (a program)
    threading.Event().wait()


if __name__ == "__main__":
    main()
