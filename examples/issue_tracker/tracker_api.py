"""The API of the issue tracker."""

from collections.abc import Iterator, Mapping
from typing import Any

import requests

Item = dict[str, Any]

PAGE = 25
"""Items of a page; the tracker gives no more."""


class TrackerApi:
    """Reads projects, users and issues through a session that waits, retries and can be aborted."""

    def __init__(self, session: requests.Session, config: Mapping[str, Any]) -> None:
        """`config` is the setting `integration.config`: `url` and `token`."""
        self._session = session
        self._url = str(config["url"]).rstrip("/")
        self._headers = {"Authorization": f"Token {config['token']}"}

    def projects(self) -> Iterator[Item]:
        """Returns all projects."""
        return self._items("projects")

    def users(self) -> Iterator[Item]:
        """Returns all users."""
        return self._items("users")

    def issues(self) -> Iterator[Item]:
        """Returns the issues of all projects."""
        for project in self.projects():
            yield from self._items(f"projects/{project['key']}/issues")

    def item(self, kind: str, key: str) -> Item | None:
        """Returns one item, None if there is none (any more)."""
        answer = self._session.get(f"{self._url}/api/{kind}s/{key}", headers=self._headers)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        item: Item = answer.json()
        return item

    def _items(self, path: str) -> Iterator[Item]:
        page: int | None = 1
        while page is not None:
            answer = self._session.get(
                f"{self._url}/api/{path}",
                params={"page": page, "per_page": PAGE},
                headers=self._headers,
            )
            answer.raise_for_status()
            content = answer.json()
            yield from content["items"]
            page = content["next"]
