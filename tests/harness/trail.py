"""What our controllers wrote, and what others wrote about our objects, as the API server's audit log tells
it.

The judge of what happened on the way is `conduct`; here the log becomes exchanges, each line read once. The
log says who wrote, so what a test does by hand is never taken for a controller's doing.

The server notes the end of a request after it has answered, so that an end may seem to come after what the
client did next. An exchange therefore has one time only: when the server received it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.controlplane import ControlPlane
from tests.harness.audit import leave_marker
from tests.harness.history import READS, Exchange, Target
from tests.harness.wait import eventually

SOURCE_USER = "the-source-controller"
KUSTOMIZE_USER = "the-kustomize-controller"
USERS = (SOURCE_USER, KUSTOMIZE_USER)

_OUR_GROUPS = b".toolkit.fluxcd.io"
_UNTOLD = frozenset({"events", "leases"})
_METHODS = {
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_LATE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One request to the API server, and the user who made it (not whom it impersonated)."""

    writer: str
    exchange: Exchange

    @property
    def is_ours(self) -> bool:
        return self.writer in USERS


@dataclass(slots=True)
class Trail:
    """Writes of USERS from the moment of creation on, with what they found missing (404), and everybody's
    writes to objects of ours. For a control plane that keeps the bodies of USERS' writes in its audit log.
    """

    cluster: ControlPlane
    _written: list[Written] = field(default_factory=list)
    _position: int = 0
    _marker: str = ""

    def __post_init__(self) -> None:
        log = self.cluster.audit_log
        self._position = log.stat().st_size if log.exists() else 0

    def mark(self) -> None:
        """Make a request that the log will show after all that was answered so far; `read` waits for it."""
        self._marker = leave_marker(self.cluster)

    def read(self) -> list[Written]:
        """All up to the last `mark`, oldest first."""
        if self._marker:
            eventually(self._has_marker, _LATE_S, "the audit log has all requests so far")
        self._written.sort(key=lambda one: one.exchange.began_s)
        return list(self._written)

    def _has_marker(self) -> bool:
        with self.cluster.audit_log.open("rb") as log:
            log.seek(self._position)
            content = log.read()
        content = content[: content.rfind(b"\n") + 1]
        self._position += len(content)
        self._written += _written(content.splitlines())
        if self._marker.encode() in content:
            self._marker = ""
        return not self._marker


def _written(lines: list[bytes]) -> Iterator[Written]:
    for line in lines:
        if _OUR_GROUPS not in line and not any(user.encode() in line for user in USERS):
            continue
        entry = json.loads(line)
        if entry.get("stage") != "ResponseComplete" or "objectRef" not in entry:
            continue
        writer, status = entry["user"].get("username", ""), entry.get("responseStatus", {}).get("code", 0)
        exchange = _exchange(entry, status)
        target = exchange.target
        if target.resource in _UNTOLD or target.dry_run:
            continue
        if target.verb not in READS or (writer in USERS and status == 404):
            yield Written(writer=writer, exchange=exchange)


def _exchange(entry: dict[str, Any], status: int) -> Exchange:
    uri, verb = entry["requestURI"], entry["verb"]
    applied = verb == "patch" and "force=" in uri  # a parameter that server-side apply alone may have
    target = Target.of(_METHODS.get(verb, "GET"), uri, "application/apply-patch+yaml" if applied else "")
    at_s = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
    return Exchange(
        target=target,
        began_s=at_s,
        ended_s=at_s,
        agent=entry.get("userAgent", ""),
        user=entry.get("impersonatedUser", {}).get("username", ""),
        body=json.dumps(entry["requestObject"]).encode() if "requestObject" in entry else b"",
        status=status,
        answer=entry.get("responseObject"),
        answered=True,
    )
