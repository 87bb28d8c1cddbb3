"""The stand-in for the API server, with the official client: it watches as with a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_server import TOKEN, ApiServer

pytestmark = pytest.mark.xdist_group("kubernetes")  # importing the client takes seconds

WITHIN = 30


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()


@pytest.fixture
def leases(server: ApiServer) -> Any:
    """Returns the client's calls."""
    from kubernetes import client

    configuration = client.Configuration(host=server.url)
    configuration.api_key["authorization"] = f"Bearer {TOKEN}"
    return client.CoordinationV1Api(client.ApiClient(configuration))


def create(leases: Any, name: str) -> Any:
    from kubernetes import client

    body = client.V1Lease(metadata=client.V1ObjectMeta(name=name), spec=client.V1LeaseSpec())
    return leases.create_namespaced_lease("default", body)


def watch(
    leases: Any, count: int, after_first: Callable[[], object] = lambda: None, **query: Any
) -> list[tuple[str, str, str]]:
    """Returns the first events: type, name and version. `after_first` is called after the first."""
    from kubernetes.watch import Watch

    watching, seen = Watch(), []
    calls = watching.stream(
        leases.list_namespaced_lease, "default", **{"timeout_seconds": WITHIN, **query}
    )
    for event in calls:
        metadata = event["object"].metadata
        seen.append((event["type"], metadata.name, metadata.resource_version))
        if len(seen) == 1:
            after_first()
        if len(seen) == count:
            watching.stop()
    return seen


def test_a_watch_begins_with_what_there_is_and_goes_on_with_changes(leases: Any) -> None:
    lease = create(leases, "mine")
    first = lease.metadata.resource_version

    def change() -> None:
        lease.spec.holder_identity = "me"
        leases.replace_namespaced_lease("mine", "default", lease)
        create(leases, "other")
        leases.delete_namespaced_lease("mine", "default")

    seen = watch(leases, 4, change)
    assert [(kind, name) for kind, name, _ in seen] == [
        ("ADDED", "mine"), ("MODIFIED", "mine"), ("ADDED", "other"), ("DELETED", "mine"),
    ]  # fmt: skip
    versions = [int(version) for _, _, version in seen]
    assert versions[0] == int(first)
    assert versions == sorted(set(versions))


def test_a_watch_since_a_version_tells_what_came_later(leases: Any) -> None:
    first = create(leases, "first")
    create(leases, "second")
    create(leases, "third")
    since = first.metadata.resource_version
    assert [name for _, name, _ in watch(leases, 2, resource_version=since)] == ["second", "third"]
    chosen = {"resource_version": since, "field_selector": "metadata.name=third"}
    assert [name for _, name, _ in watch(leases, 1, **chosen)] == ["third"]


def test_a_watch_ends_by_itself_and_since_a_forgotten_version_it_is_refused(
    leases: Any, server: ApiServer
) -> None:
    from kubernetes.client.exceptions import ApiException

    first = create(leases, "first")
    create(leases, "second")
    assert len(watch(leases, 3, timeout_seconds=1)) == 2
    server.leases.events.forget()
    with pytest.raises(ApiException, match="Expired: too old resource version") as caught:
        watch(leases, 1, resource_version=first.metadata.resource_version)
    assert caught.value.status == 410
    server.leases.forbidden = {"watch"}
    with pytest.raises(ApiException, match="cannot watch resource"):
        watch(leases, 1)
