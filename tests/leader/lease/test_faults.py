"""KUBERNETES: what an instance says when the election cannot be held, and how it resigns."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from api_server import ApiServer, Refusal, kubeconfig_of
from kubernetes_rig import SEAT, Make, problem_of, spec_of

from ocean_actors.leader import kubernetes as engine
from ocean_actors.settings import Settings, SettingsError

pytestmark = pytest.mark.xdist_group("kubernetes")  # importing the client takes seconds


def test_a_namespace_without_permission_is_told_with_the_rights_that_are_needed(
    make: Make, server: ApiServer
) -> None:
    server.leases.forbidden = {"get"}
    problem = problem_of(make())
    assert 'system:serviceaccount:default:ocean" cannot get resource "leases"' in problem
    assert "get, create and update" in problem
    server.leases.forbidden = {"create"}
    assert "cannot create" in problem_of(make())
    server.leases.forbidden = {"update"}
    make().campaign(SEAT, 0.0)
    server.leases.release_all()
    assert "cannot update" in problem_of(make())


def test_a_namespace_that_is_missing_is_told(make: Make) -> None:
    assert 'namespaces "nowhere" not found' in problem_of(make(namespace="nowhere"))


def test_credentials_that_are_refused_are_told_with_their_source(
    make: Make, server: ApiServer, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(server.kubeconfig(token="hidden"))
    problem = problem_of(make(kubeconfig=str(wrong)))
    assert str(wrong) in problem
    assert "credentials" in problem
    assert "hidden" not in problem


def test_credentials_that_were_renewed_are_used_from_then_on(
    make: Make, server: ApiServer, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "renewed"
    kubeconfig.write_text(server.kubeconfig(token="expired"))
    election = make(kubeconfig=str(kubeconfig))
    assert "credentials" in problem_of(election)
    kubeconfig.write_text(server.kubeconfig())
    assert election.campaign(SEAT, 0.0) is not None


def test_an_answer_that_does_not_come_from_kubernetes_is_told(
    make: Make, server: ApiServer
) -> None:
    election = make()
    server.body = b"<html>log in</html>"
    server.fail_with = Refusal(404, "", "")  # a page, which is no proof that the Lease is missing
    assert "answered 404" in problem_of(election)
    assert not any(call.startswith("POST") for call in server.calls)
    server.fail_with = None
    assert server.url in problem_of(election)


def test_an_overloaded_server_is_told_and_asked_again_later(make: Make, server: ApiServer) -> None:
    election = make()
    server.fail_with = Refusal(429, "TooManyRequests", "the server has received too many requests")
    assert "answered 429: the server has received too many requests" in problem_of(election)
    server.fail_with = None
    assert election.campaign(SEAT, 0.0) is not None


def test_a_call_that_is_not_answered_can_be_interrupted(make: Make, server: ApiServer) -> None:
    election = make()
    server.hangs.set()
    with ThreadPoolExecutor(1) as pool:
        problem = pool.submit(problem_of, election)
        waited = threading.Event()
        while not problem.done():
            election.interrupt()  # again, as it has no effect before the call
            waited.wait(0.01)
        assert problem.result().endswith(
            f"no answer from the API server at {server.url}: it took too long"
        )


def test_a_call_that_is_not_answered_ends_by_itself(make: Make, server: ApiServer) -> None:
    election = make(ttl=1.0)
    server.hangs.set()
    assert problem_of(election).endswith(": timed out while waiting for the answer")


def test_a_connection_that_is_refused_is_told(make: Make, server: ApiServer) -> None:
    election = make()
    server.stop()
    assert problem_of(election).endswith(f"at {server.url}: Connection refused")


def test_an_attempt_to_connect_that_is_not_answered_is_told_in_the_same_words_each_time(
    make: Make, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # more than the kernel takes on its own
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        kubeconfig = tmp_path / "full"
        kubeconfig.write_text(kubeconfig_of(f"http://127.0.0.1:{full.getsockname()[1]}"))
        election = make(ttl=1.0, kubeconfig=str(kubeconfig))
        problem = problem_of(election)
        assert problem.endswith(": timed out while connecting")
        assert problem_of(election) == problem


def test_a_lease_that_was_taken_without_an_answer_is_released_too(
    make: Make, server: ApiServer
) -> None:
    election = make()
    assert election.campaign(SEAT, 0.0) is not None
    server.leases.release_all()
    versions = [server.leases.find("default", "lease")["metadata"]["resourceVersion"]]
    server.hang_on = "PUT"
    with ThreadPoolExecutor(1) as pool:
        problem = pool.submit(problem_of, election)
        waited = threading.Event()
        while not problem.done():
            found = server.leases.find("default", "lease")["metadata"]["resourceVersion"]
            if found not in versions:
                election.interrupt()
            waited.wait(0.01)
    server.hang_on = None
    assert spec_of(server)["holderIdentity"] != ""
    election.resign()
    assert spec_of(server)["holderIdentity"] == ""


def test_an_interruption_that_comes_late_does_not_keep_the_lease_from_being_released(
    make: Make, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RESIGN_SECONDS", 30.0)
    election = make()
    assert election.campaign(SEAT, 0.0) is not None
    held = spec_of(server)
    server.hang_on = "PUT"
    with ThreadPoolExecutor(1) as pool:
        resigned = pool.submit(election.resign)
        waited = threading.Event()
        while spec_of(server)["holderIdentity"] != "":
            waited.wait(0.001)
        server.leases.edit_all(**held)  # as if the call had not arrived
        election.interrupt()
        server.hang_on = None
        resigned.result(30.0)
    assert spec_of(server)["holderIdentity"] == ""


def test_resigning_does_not_wait_for_a_server_that_hangs(make: Make, server: ApiServer) -> None:
    election = make(ttl=600.0)  # for which other calls may take minutes
    assert election.campaign(SEAT, 0.0) is not None
    server.hangs.set()
    with ThreadPoolExecutor(1) as pool:
        resigned = pool.submit(election.resign)
        try:
            resigned.result(30.0)
        finally:
            server.hangs.clear()
    assert any(call.startswith("PUT") for call in server.calls)  # the attempt to release


@pytest.mark.parametrize("name", ["Mine", "a_b", "-a", "a/../b", "a" * 254])
def test_a_name_that_no_lease_can_have_is_refused_in_the_settings(name: str) -> None:
    leader = {"type": "KUBERNETES", "namespace": "default", "name": name}
    port = {"clientId": "id", "clientSecret": "secret"}
    with pytest.raises(SettingsError, match=r"leader\.name: expected a name of lower-case letters"):
        Settings.from_dict(
            {"port": port, "integration": {"identifier": "mine"}, "leader": leader}, {}
        )
