"""The API server's audit log as a list of requests, to count what a steady state costs and who asked.

The log is up to 0.2 s late, so a reader that wants everything so far makes a request of its own and waits
until that one appears.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.apiclient import ApiRefused
from lab.controlplane import ControlPlane
from tests.harness.wait import eventually


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was answered."""

    user: str
    impersonated: str  # "" when the user acted as itself
    verb: str  # get, list, watch, create, patch, update, delete
    resource: str  # configmaps
    subresource: str
    namespace: str
    name: str
    status: int

    @property
    def is_write(self) -> bool:
        return self.verb not in ("get", "list", "watch")


class Audit:
    """Requests from the moment of creation, or of the last `restart`."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._from = 0
        self.restart()

    def restart(self) -> None:
        """Forget all requests so far."""
        self._read_to_marker()
        self._from = self._cluster.audit_log.stat().st_size

    def entries(self, users: Iterable[str]) -> list[Entry]:
        """All requests of these users that were answered before this call."""
        wanted = set(users)
        return [entry for entry in map(_entry, self._read_to_marker()) if entry.user in wanted]

    def _read_to_marker(self) -> list[dict[str, Any]]:
        marker = leave_marker(self._cluster)
        return eventually(lambda: self._lines_with(marker), 10.0, "the audit log has all requests so far")

    def _lines_with(self, marker: str) -> list[dict[str, Any]]:
        with self._cluster.audit_log.open("rb") as log:
            log.seek(self._from)
            content = log.read()
        if marker.encode() not in content:
            return []
        lines = content[: content.rindex(b"\n")].splitlines()
        return [json.loads(line) for line in lines]


def leave_marker(cluster: ControlPlane) -> str:
    """Make a request that the log will show, by the text returned, after all that was answered so far."""
    marker = f"marker-{secrets.token_hex(8)}"
    try:
        cluster.client.get(f"/api/v1/namespaces/default/configmaps/{marker}")
    except ApiRefused as refusal:
        if refusal.status != 404:
            raise
    return marker


def _entry(raw: dict[str, Any]) -> Entry:
    what = raw.get("objectRef", {})
    return Entry(
        user=raw["user"].get("username", ""),
        impersonated=raw.get("impersonatedUser", {}).get("username", ""),
        verb=raw["verb"],
        resource=what.get("resource", ""),
        subresource=what.get("subresource", ""),
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        status=raw.get("responseStatus", {}).get("code", 0),
    )
