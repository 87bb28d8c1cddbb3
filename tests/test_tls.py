"""Which certificates are trusted, with real authorities and a real TLS server."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from ocean_actors.actors import CancelToken
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.retry import ONCE
from ocean_actors.session import CancellableSession
from ocean_actors.settings import IntegrationSettings, PortSettings
from ocean_actors.testing import ManualClock
from ocean_actors.tls import UnusableAuthorities, client_context

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
VARIABLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


class Front:
    """A TLS server that answers every connection's request with an empty object."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as peer:
                    if peer.recv(65536):
                        peer.sendall(ANSWER)
                        while peer.recv(65536):  # closed with unread data, it would be reset
                            pass
            except OSError:
                pass  # a client that does not trust it

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve() -> Iterator[Callable[[ssl.SSLContext], str]]:
    """Serve with a context, until the end of the test."""
    made = []

    def make(context: ssl.SSLContext) -> str:
        made.append(Front(context))
        return made[-1].url

    yield make
    for front in made:
        front.close()


@pytest.fixture
def url(authority: trustme.CA, serve: Callable[[ssl.SSLContext], str]) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return serve(context)


def get(url: str, **options: Any) -> str:
    with CancellableSession(CancelToken(), clock=ManualClock(), retry=ONCE, **options) as session:
        return session.get(url).text


def ask_port(url: str, **options: Any) -> None:
    settings = PortSettings(client_id="id", client_secret=SecretStr("secret"), base_url=url)
    integration = IntegrationSettings(identifier="demo")
    with PortClient(settings, integration, clock=ManualClock(), **options) as client:
        client.get_organization(retry=ONCE)


@pytest.mark.parametrize("variable", VARIABLES[:3])
def test_a_file_of_authorities_that_the_environment_names_is_trusted(
    url: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    with pytest.raises(requests.exceptions.SSLError, match=r"self.signed|local issuer"):
        get(url)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    assert get(url) == "{}"


def test_folders_of_authorities_are_trusted(
    url: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    assert certificate.get_ca_certs()
    (tmp_path / "empty").mkdir()
    found = tmp_path / "found"
    found.mkdir()
    authority.cert_pem.write_to_path(found / f"{subject_hash(authority)}.0")
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'empty'}:{found}")
    assert get(url) == "{}"


def subject_hash(authority: trustme.CA) -> str:
    """As `openssl x509 -subject_hash` has it: of the canonical encoding of the name."""
    name = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    sets = b""
    for attribute in name:
        value = " ".join(str(attribute.value).lower().split()).encode()
        oid = x509.Name([attribute]).public_bytes()
        start = oid.index(b"\x06")
        identifier = oid[start : start + 2 + oid[start + 1]]
        pair = identifier + bytes([0x0C, len(value)]) + value
        sequence = bytes([0x30, len(pair)]) + pair
        sets += bytes([0x31, len(sequence)]) + sequence
    digest = hashlib.sha1(sets).digest()  # noqa: S324  (the names of files)
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def test_requests_own_variable_comes_first(
    url: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    with pytest.raises(requests.exceptions.SSLError):
        get(url)


def test_a_file_that_cannot_be_used_is_named_with_its_variable(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    with pytest.raises(UnusableAuthorities, match=r"SSL_CERT_FILE: cannot read .*nothing.pem"):
        client_context()
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(PortError, match=r"SSL_CERT_FILE: no certificates in .*empty.pem") as caught:
        ask_port(url)
    assert caught.value.lasting


def test_an_untrusted_certificate_of_port_is_a_lasting_cause(url: str) -> None:
    with pytest.raises(PortError, match=r"the certificate is not trusted.*SSL_CERT_FILE") as caught:
        ask_port(url)
    assert caught.value.lasting
    assert caught.value.temporary, "somebody may fix it without us"


def test_a_session_that_verifies_nothing_does_so_whatever_the_environment_says(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    with CancellableSession(CancelToken(), clock=ManualClock(), retry=ONCE) as session:
        session.verify = False
        with pytest.warns(match="Unverified"):
            assert session.get(url).text == "{}"


def test_a_client_certificate_stays_with_its_session(
    authority: trustme.CA,
    serve: Callable[[ssl.SSLContext], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # which refuses during the handshake
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    url = serve(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    own = authority.issue_cert("client.example")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    with CancellableSession(CancelToken(), clock=ManualClock(), retry=ONCE) as session:
        assert session.get(url, cert=str(tmp_path / "own.pem")).text == "{}"
    with pytest.raises(requests.ConnectionError):
        get(url)


# -- strictness ----------------------------------------------------------------------------------


@pytest.fixture
def inspected(
    serve: Callable[[ssl.SSLContext], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """A server whose authority is like those of proxies that inspect TLS: no key identifiers."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("proxy", "server")
    )

    def certificate(subject: Any, public_key: Any, extension: Any) -> Any:
        builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        day = datetime.timedelta(days=1)
        builder = builder.not_valid_before(now - day).not_valid_after(now + day)
        builder = builder.add_extension(extension, critical=False)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    (tmp_path / "ca.pem").write_bytes(certificate(issuer, authority_key.public_key(), constraints))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "server.pem").write_bytes(private + certificate(subject, key.public_key(), names))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return serve(context)


def test_a_lenient_session_accepts_what_an_inspecting_proxy_issues(inspected: str) -> None:
    assert get(inspected, strict=False) == "{}"
    if sys.version_info >= (3, 13):
        with pytest.raises(requests.exceptions.SSLError):
            get(inspected)


def test_so_does_a_lenient_client_of_port(inspected: str) -> None:
    with pytest.raises(PortError, match="accessToken"):  # it was answered
        ask_port(inspected, strict=False)
    if sys.version_info >= (3, 13):
        with pytest.raises(PortError, match=r"ssl\.port\.x509\.strict"):
            ask_port(inspected)


def test_a_bundle_of_the_handlers_own_can_be_lenient_too(
    inspected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with CancellableSession(
        CancelToken(), clock=ManualClock(), retry=ONCE, strict=False
    ) as session:
        assert session.get(inspected, verify=str(tmp_path / "ca.pem")).text == "{}"
