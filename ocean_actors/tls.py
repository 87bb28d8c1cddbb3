"""Which certificate authorities are trusted, and how strictly certificates are checked.

The same for Port, for `run.session` and for Kafka:

1. `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, a file or a folder, replaces all others;
2. else `SSL_CERT_FILE` (a file) and `SSL_CERT_DIR` (folders), as OpenSSL reads them;
3. else the authorities of the package certifi and those of the operating system.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import certifi

from ocean_actors.errors import OceanError


class UnusableAuthorities(OceanError, OSError):
    """A file or folder of certificates that the environment names cannot be used."""


@dataclass(frozen=True)
class Authorities:
    """A file or folder of trusted certificates. `source` is the variable that names it."""

    source: str
    path: str

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have `context` trust them. Raises UnusableAuthorities, naming the variable."""
        try:
            os.stat(self.path)  # OpenSSL takes a missing folder for an empty one
            if os.path.isdir(self.path):
                context.load_verify_locations(capath=self.path)
            else:
                context.load_verify_locations(cafile=self.path)
        except ssl.SSLError as error:
            problem = f"no certificates in {self.path}: {error.reason}"
        except OSError as error:
            problem = f"cannot read {self.path}: {error.strerror}"
        else:
            return
        raise UnusableAuthorities(f"{self.source}: {problem}")


def client_context(*, strict: bool = True, trust: bool = True) -> ssl.SSLContext:
    """Returns a new context for connections to servers; it trusts what the environment names.

    `strict=False` also accepts certificates that do not follow RFC 5280 to the letter, as Python
    did before 3.13: proxies that inspect TLS often issue such certificates. True is the default
    of the Python in use. With `trust=False` no authority is trusted yet: the caller loads its
    own. Raises UnusableAuthorities if a file or folder that the environment names cannot be
    read or is not made of certificates.
    """
    # A folder that is not there trusts nobody: without any argument the system's are loaded.
    context = ssl.create_default_context(capath=os.devnull)
    if not strict:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not trust:
        return context
    named = authorities(os.environ)
    for place in named or (Authorities("certifi", certifi.where()),):
        place.load_into(context)
    if not named:
        context.load_default_certs()
    return context


def authorities(environ: Mapping[str, str]) -> tuple[Authorities, ...]:
    """Returns what `environ` names, in the order of the module's docstring; empty if nothing."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environ.get(variable):
            return (Authorities(variable, path),)
    files = [environ.get("SSL_CERT_FILE", "")]
    folders = environ.get("SSL_CERT_DIR", "").split(os.pathsep)
    return (
        *(Authorities("SSL_CERT_FILE", path) for path in files if path),
        *(Authorities("SSL_CERT_DIR", path) for path in folders if path),
    )
