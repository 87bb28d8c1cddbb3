"""KUBERNETES: where the cluster is, and the credentials for it."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
import trustme
from api_server import TOKEN, ApiServer
from kubernetes_rig import SEAT, Make, problem_of, spec_of

from ocean_actors.errors import UsageError
from ocean_actors.leader import kubernetes as engine

pytestmark = pytest.mark.xdist_group("kubernetes")  # importing the client takes seconds


def in_a_pod(monkeypatch: pytest.MonkeyPatch, server: ApiServer, folder: Path) -> Path:
    """Set what Kubernetes sets in a pod; returns the file of the token."""
    import kubernetes.config.incluster_config as pod

    token = folder / "token"
    token.write_text(TOKEN)
    monkeypatch.setattr(pod, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(pod, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return token


def test_in_a_pod_its_service_account_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Make
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ApiServer(context)
    try:
        token = in_a_pod(monkeypatch, server, tmp_path)
        election = make(kubeconfig=None)
        assert election.campaign(SEAT, 0.0) is not None
        assert spec_of(server)["holderIdentity"] != ""
        election.resign()
        assert spec_of(server)["holderIdentity"] == ""
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
        assert "certificate verify failed" in problem_of(make(kubeconfig=None))
        token.unlink()
        problem = problem_of(make(kubeconfig=None))
        assert "the pod's service account" in problem
        assert "Service token file does not exist" in problem
    finally:
        server.stop()


def test_without_any_cluster_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Make
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"not a pod .* set leader\.kubeconfig or KUBECONFIG"):
        make(kubeconfig=None)


def test_without_the_client_it_does_not_start(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'ocean-actors\[kubernetes\]'"):
        make()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("users: [{token: hidden", "expected a kubeconfig in YAML"),
        ("[]", "config"),
        (json.dumps({"current-context": "c", "contexts": []}), "context"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_without_what_is_in_it(
    make: Make, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "unusable"
    path.write_text(text)
    problem = problem_of(make(kubeconfig=str(path)))
    assert str(path) in problem
    assert told in problem
    assert "hidden" not in problem


def test_a_kubeconfig_that_is_missing_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    assert str(tmp_path / "missing") in problem_of(make(kubeconfig=None))
