"""The calls to the API server about one Lease, through the official client."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ocean_actors.leader.spec import ElectionError
from ocean_actors.settings import KubernetesLeaderSettings
from ocean_actors.text import one_line

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets this variable in every pod."""

RIGHTS = "a Role has to allow get, create and update of leases in coordination.k8s.io"


def find_kubeconfig(settings: KubernetesLeaderSettings, env: Mapping[str, str]) -> str | None:
    """Returns the kubeconfig to use, None in a pod, or "" if there is neither.

    A kubeconfig that is named by the settings or by `KUBECONFIG` comes before the pod's
    configuration, the default one after it.
    """
    named = settings.kubeconfig or env.get("KUBECONFIG")
    if named or IN_CLUSTER in env:
        return named or None
    default = Path("~/.kube/config").expanduser()
    return str(default) if default.exists() else ""


class LeaseApi:
    """Reads and writes the Lease. One thread calls the methods, except `interrupt`.

    A call takes up to `timeout` seconds, of which a quarter is for the connection. All calls raise
    ElectionError if there is no answer, or if the API server refuses.
    """

    def __init__(self, settings: KubernetesLeaderSettings, timeout: float) -> None:
        """Connect to nothing yet, and read no configuration."""
        self.namespace = settings.namespace
        self.name = settings.name
        self.timeout = timeout
        self._settings = settings
        self._source = self._host = ""  # of the configuration, and of the cluster
        self._client: Any = None
        self._socket: socket.socket | None = None
        self._asks = self._interrupted = False

    def read(self) -> Any:
        """Returns the Lease as a V1Lease; None if there is none."""
        return self._call(self._leases().read_namespaced_lease, (404,), self.name)

    def create(self, lease: Any) -> Any:
        """Returns the Lease as it was created; None if there is one already."""
        return self._call(self._leases().create_namespaced_lease, (409,), body=lease)

    def replace(self, lease: Any) -> Any:
        """Returns the Lease as it was replaced; None if it was changed or deleted since."""
        return self._call(
            self._leases().replace_namespaced_lease, (404, 409), self.name, body=lease
        )

    def interrupt(self) -> None:
        """End the call that is under way, from any thread; no effect if there is none."""
        connected = self._socket
        if self._asks and connected is not None:
            self._interrupted = True
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # beneath TLS

    def close(self) -> None:
        """Close the connections. The next call reads the configuration and makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.rest_client.pool_manager.clear()

    def _leases(self) -> Any:
        """Returns the client's calls. Raises ElectionError if the configuration is unusable."""
        from kubernetes import client

        if self._client is None:
            configuration = client.Configuration()
            self._source = _load(configuration, find_kubeconfig(self._settings, os.environ))
            self._host = configuration.host
            configuration.retries = False  # the campaign repeats what fails
            self._client = client.ApiClient(configuration)
            pool = self._client.rest_client.pool_manager.connection_from_url(self._host)
            pool.ConnectionCls = self._tracked(pool.ConnectionCls)
        return client.CoordinationV1Api(self._client)

    def _call(
        self, method: Callable[..., Any], unless: tuple[int, ...], *args: str, **body: Any
    ) -> Any:
        """Returns the answer, or None if its status is one of `unless`."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        self._asks, self._interrupted = True, False
        try:
            return method(
                *args,
                namespace=self.namespace,
                _request_timeout=(self.timeout / 4, self.timeout * 3 / 4),
                **body,
            )
        except ApiException as error:
            told = _message_of(error)
            if error.status in unless and told is not None:
                return None
            raise self._refused(error, told) from None
        except (HTTPError, OSError) as error:
            cause = "it took too long" if self._interrupted else _cause_of(error)
            problem = f"no answer from the API server at {self._host}: {cause}"
            raise ElectionError(problem) from None
        except ConfigException as error:  # the token is read again now and then
            raise ElectionError(f"{self._source}: {one_line(error)}") from None
        except ValueError as error:  # among others pydantic's
            problem = f"{self._host} does not answer like an API server: {type(error).__name__}"
            raise ElectionError(problem) from None
        finally:
            self._asks = False

    def _refused(self, error: Any, told: str | None) -> ElectionError:
        lease = f"the Lease {self.namespace}/{self.name}"
        if error.status == 401:
            self.close()  # so that credentials that were renewed since are read
            return ElectionError(
                f"the API server at {self._host} does not accept the credentials of {self._source}"
            )
        if error.status == 403:
            return ElectionError(f"{lease}: {told or 'forbidden'}; {RIGHTS}")
        if not error.status:  # TLS
            return ElectionError(
                f"no answer from the API server at {self._host}: {one_line(error.reason)}"
            )
        return ElectionError(
            f"{lease}: the API server at {self._host} answered {error.status}: "
            f"{told or one_line(error.reason)}"
        )

    def _tracked(self, base: Any) -> Any:
        def connect(connection: Any) -> None:
            base.connect(connection)
            self._socket = connection.sock

        return type(base.__name__, (base,), {"connect": connect})


def _load(configuration: Any, kubeconfig: str | None) -> str:
    """Read the pod's configuration, or the kubeconfig, and return its name for errors."""
    from kubernetes import config
    from yaml import YAMLError

    source = kubeconfig or "the pod's service account"
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(kubeconfig, client_configuration=configuration)
    except YAMLError:  # which may quote a token
        raise ElectionError(f"{source}: expected a kubeconfig in YAML") from None
    except (config.ConfigException, OSError, ValueError, TypeError) as error:
        raise ElectionError(f"{source}: {one_line(error)}") from None
    return source


def _cause_of(error: Exception) -> str:
    """Returns why there was no answer, in words that do not differ from one call to the next."""
    from urllib3.exceptions import ConnectTimeoutError, ReadTimeoutError

    innermost: BaseException = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    if isinstance(error, ConnectTimeoutError):
        return "timed out while connecting"
    if isinstance(error, ReadTimeoutError):
        return "timed out while waiting for the answer"
    return one_line(innermost)


def _message_of(error: Any) -> str | None:
    """Returns the message of the API server; None if something else answered, such as a proxy."""
    try:
        status = json.loads(error.body)
        return one_line(status["message"]) if status["kind"] == "Status" else None
    except (ValueError, TypeError, KeyError):
        return None
