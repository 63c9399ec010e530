"""Kubeconfig files of one cluster and one user."""

import base64
import json
from collections.abc import Mapping

from lab.certs import Pair


def kubeconfig(server: str, authority_pem: bytes, user: str, credentials: Mapping[str, str]) -> str:
    """The text of a kubeconfig; JSON is YAML, and needs no library to write.

    Args:
        credentials: of the user, as the file has them.
    """
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority_pem).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": user, "user": dict(credentials)}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    }
    return json.dumps(config, indent=1)


def certificate(pair: Pair) -> dict[str, str]:
    """The credentials of a user with a client certificate."""
    return {
        "client-certificate-data": base64.b64encode(pair.public_pem).decode(),
        "client-key-data": base64.b64encode(pair.private_pem).decode(),
    }
