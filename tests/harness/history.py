"""What a controller and an API server said to each other, request by request.

The fault proxy writes it down; `replay` judges it. An exchange knows two outcomes, since they may differ:
what the server did (`status`) and whether the client got to know (`answered`).
"""

import json
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

READS = frozenset({"get", "list", "watch"})
WRITES = frozenset({"create", "update", "patch", "apply", "delete", "deletecollection"})
_APPLY = "application/apply-patch"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about, as the path and query of the Kubernetes API say it.

    Attributes:
        verb: one of READS or WRITES.
        resource: the plural; "" for a path that is no resource, such as discovery.
        dry_run: nothing is kept of what it does.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False

    @property
    def changes(self) -> bool:
        """Whether the server's state may be another one after it."""
        return self.verb in WRITES and not self.dry_run

    @classmethod
    def of(cls, method: str, url: str, content_type: str = "") -> "Target":
        """Source: Kubernetes API concepts, "Resource URIs"."""
        split = urlsplit(url)
        query = parse_qs(split.query)
        parts = [unquote(part) for part in split.path.split("/") if part]
        group, rest = "", parts[2:]
        if parts[:1] == ["apis"]:
            group, rest = parts[1] if len(parts) > 1 else "", parts[3:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource, *_ = [*rest, "", "", ""]
        verb = _VERBS.get(method, "get" if name or not resource else "list")
        if method == "PATCH" and content_type.startswith(_APPLY):
            verb = "apply"
        if method == "GET" and query.get("watch", [""])[0] in ("true", "1"):
            verb = "watch"
        if method == "DELETE" and not name:
            verb = "deletecollection"
        return cls(
            verb=verb,
            group=group,
            resource=resource,
            namespace=namespace,
            name=name,
            subresource=subresource,
            dry_run="dryRun" in query,
        )


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what became of it. Times are seconds of the monotonic clock.

    Attributes:
        agent, user: the User-Agent header, and whom the request acts as ("" for the connection's own user).
        body: of a write that changes something.
        status: what the server answered; None if it was never asked, or gave no answer.
        answer: the server's, if JSON and the request was a write to an object of ours.
        answered: whether the client got the server's answer, unchanged.
        fault: the rule that was carried out on it, "" for none.
    """

    target: Target
    began_s: float
    agent: str = ""
    user: str = ""
    body: bytes = b""
    ended_s: float | None = None
    status: int | None = None
    answer: Any = None
    answered: bool = False
    fault: str = ""
    _object: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """The server did it."""
        return self.status is not None and self.status < 400

    def object(self) -> dict[str, Any]:
        """The body as the JSON object that it is."""
        if self._object is None:
            self._object = json.loads(self.body)
        value: dict[str, Any] = self._object
        return value

    def __str__(self) -> str:
        of = self.target
        place = "/".join(part for part in (of.namespace, of.name, of.subresource) if part)
        dry = " (dry run)" if of.dry_run else ""
        fault = f" [{self.fault}]" if self.fault else ""
        return f"{self.began_s:.3f} {of.verb} {of.resource} {place}{dry} → {self.status}{fault}"


@dataclass(slots=True)
class History:
    """Exchanges in the order in which they began. Written by the proxy's thread, read by any."""

    _exchanges: list[Exchange] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)

    def all(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)

    def since(self, began_s: float) -> list[Exchange]:
        return [exchange for exchange in self.all() if exchange.began_s >= began_s]

    def changes(self, *, leaving_out: Collection[str] = ("events", "leases")) -> list[Exchange]:
        """Writes that changed something or could have, without those to `leaving_out` resources."""
        return [e for e in self.all() if e.target.changes and e.target.resource not in leaving_out]

    def quiet_for_s(self) -> float:
        """How long ago the last change ended; infinite when there was none."""
        last = max((e.ended_s or time.monotonic() for e in self.changes()), default=float("-inf"))
        return time.monotonic() - last

    def __str__(self) -> str:
        return "\n".join(str(exchange) for exchange in self.all() if exchange.target.verb in WRITES)
