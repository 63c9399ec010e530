"""Where the API server is and how we prove who we are.

The `kubernetes` package loads kubeconfig files and in-cluster credentials (it knows every way in which they
are written); this module turns what it found into what an HTTP session needs, and asks it again for the
token, since in-cluster tokens rotate.
"""

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client as _client
from kubernetes import config as _config
from kubernetes.config import kube_config as _kube_config

TOKEN_FOR_S = 10.0  # a rotated token is good for minutes after its successor appears


class NoConnection(Exception):
    """Neither a usable kubeconfig nor in-cluster credentials; says what to set."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server as our requests see it.

    Attributes:
        server: scheme, host and port, without a trailing slash.
        tls: for https servers.
        authorization: gives the current `Authorization` header, or "" with client certificates.
    """

    server: str
    tls: ssl.SSLContext | None
    authorization: Callable[[], str]


def load(kubeconfig: Path | None) -> Connection:
    """Load `kubeconfig`, or else `$KUBECONFIG`, `~/.kube/config`, or the pod's own credentials.

    Raises:
        NoConnection: with what was tried.
    """
    found = _client.Configuration()
    try:
        if kubeconfig is not None:
            _config.load_kube_config(str(kubeconfig), client_configuration=found)  # type: ignore[no-untyped-call]
        elif os.environ.get("KUBECONFIG") or (Path.home() / ".kube" / "config").exists():
            _config.load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]
        else:
            # `load_config` would choose alike, and print a line of its own among those of the log.
            _config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        return _from_configuration(found)
    except _config.ConfigException as error:
        where = (
            f"kubeconfig '{kubeconfig}'"
            if kubeconfig
            else "KUBECONFIG, ~/.kube/config and in-cluster credentials"
        )
        raise NoConnection(f"no API server to talk to: {where}: {error}") from error
    finally:
        # Keys and certificates that a kubeconfig holds in itself were written to files for `ssl` to read, and
        # would stay until the process ends; after a kill, for good.
        _kube_config._cleanup_temp_files()  # type: ignore[no-untyped-call]


def _from_configuration(found: "_client.Configuration") -> Connection:
    tls = None
    if found.host.startswith("https"):
        tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if not found.verify_ssl:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if found.cert_file:
            tls.load_cert_chain(found.cert_file, found.key_file)

    def read() -> str:
        # Runs the package's refresh hook: a service account's token file, which is rotated, is read again.
        header = found.get_api_key_with_prefix("authorization")
        return header or found.get_api_key_with_prefix("BearerToken") or ""

    return Connection(found.host.rstrip("/"), tls, _kept(read))


def _kept(read: Callable[[], str], now_s: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """`read`, at most every `TOKEN_FOR_S`: it costs as much as a tenth of a request."""
    value, until = "", 0.0

    def authorization() -> str:
        nonlocal value, until
        if now_s() >= until:
            value, until = read(), now_s() + TOKEN_FOR_S
        return value

    return authorization
