"""A bare thread pool that posts batches of entities with `requests`, once for each line it reads.

`python -m benchmarks.peers.pool URL CLIENT_ID CLIENT_SECRET ENTITIES WIDTH`
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import requests

from benchmarks.subject import entities, say

BATCH = 20


def batches(count: int) -> Iterator[list[dict[str, Any]]]:
    source = entities(count)
    while batch := list(islice(source, BATCH)):
        yield batch


def main() -> None:
    base, client, secret, count, width = sys.argv[1:]
    credentials = {"clientId": client, "clientSecret": secret}
    answer = requests.post(f"{base}/v1/auth/access_token", json=credentials, timeout=10)
    headers = {
        "Authorization": f"Bearer {answer.json()['accessToken']}",
        "Content-Type": "application/json",
    }
    url = f"{base}/v1/blueprints/package/entities/bulk?upsert=true&merge=true"
    local = threading.local()

    def send(batch: list[dict[str, Any]]) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()  # with the proxies of the environment, as ours
        answer = local.session.post(url, data=json.dumps({"entities": batch}), headers=headers)
        answer.raise_for_status()
        return len(answer.json()["entities"])

    say("ready")
    for _ in sys.stdin:
        say("called")
        with ThreadPoolExecutor(int(width)) as pool:
            written = sum(pool.map(send, batches(int(count))))
        if written != int(count):
            raise SystemExit(f"not all entities were written: {written}")
        say("written")


if __name__ == "__main__":
    main()
