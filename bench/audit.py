"""Requests as the API server's audit log tells them (audit.k8s.io/v1, level Metadata, one JSON event a line).

A watch is logged when it begins and when it ends; each request counts once, by its audit ID, at the time it
was received.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

WRITES = frozenset({"create", "update", "patch", "apply", "delete", "deletecollection"})


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class _User(_Struct, frozen=True):
    username: str = ""


class _Ref(_Struct, frozen=True):
    resource: str = ""
    subresource: str = ""


class _Line(_Struct, frozen=True):
    audit_id: str = msgspec.field(name="auditID")
    verb: str
    user: _User
    request_received_timestamp: datetime
    request_uri: str = msgspec.field(name="requestURI", default="")
    user_agent: str = ""
    object_ref: _Ref | None = None


class What(NamedTuple):
    """Requests that count as the same. `resource` is "deployments", "kustomizations/status" or, without an
    object, the URL's path; `verb` is Kubernetes' own, with "apply" for a server-side apply."""

    user: str
    verb: str
    resource: str
    dry_run: bool

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES and not self.dry_run


@dataclass(frozen=True, slots=True)
class Request:
    id: str
    at: float  # seconds since the epoch
    what: What
    agent: str  # the client's name, without version: "kopf" of "kopf/1.45.2"
    uri: str


_decoder = msgspec.json.Decoder(_Line)


def parse(line: bytes) -> Request:
    """Raises msgspec.DecodeError when the line is no audit event."""
    event = _decoder.decode(line)
    url = urlsplit(event.request_uri)
    query = parse_qs(url.query)
    ref = event.object_ref
    resource = f"{ref.resource}/{ref.subresource}".rstrip("/") if ref and ref.resource else url.path
    # The audit event does not hold the content type; `force` is allowed in applies alone.
    verb = "apply" if event.verb == "patch" and "force" in query else event.verb
    return Request(
        id=event.audit_id,
        at=event.request_received_timestamp.timestamp(),
        what=What(event.user.username, verb, resource, dry_run="dryRun" in query),
        agent=event.user_agent.partition(" ")[0].partition("/")[0],
        uri=event.request_uri,
    )


class AuditLog:
    """Reads the log as it grows; `requests` holds all so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets: dict[int, int] = {}  # by inode, since a full log is renamed
        self._ids: set[str] = set()
        self.requests: list[Request] = []

    def read(self) -> None:
        """Take in the lines that were completed since the last call."""
        for path in sorted(self._path.parent.glob(f"{self._path.stem}*{self._path.suffix}")):
            for request in self._new(path):
                if request.id not in self._ids:
                    self._ids.add(request.id)
                    self.requests.append(request)

    def between(self, since: float, until: float) -> list[Request]:
        """Those received in [since, until), in seconds since the epoch."""
        return [request for request in self.requests if since <= request.at < until]

    def _new(self, path: Path) -> Iterator[Request]:
        with path.open("rb") as file:
            inode = path.stat().st_ino
            file.seek(self._offsets.get(inode, 0))
            whole, end, _ = file.read().rpartition(b"\n")
            self._offsets[inode] = self._offsets.get(inode, 0) + len(whole) + len(end)
        return map(parse, whole.splitlines())


def count(requests: Iterable[Request], users: Iterable[str]) -> Counter[What]:
    """Requests of these users."""
    wanted = frozenset(users)
    return Counter(request.what for request in requests if request.what.user in wanted)


def writes(counts: Counter[What]) -> int:
    """Requests that change something, which dry runs do not; events and leases count."""
    return sum(number for what, number in counts.items() if what.is_write)


def applies(counts: Counter[What]) -> int:
    return sum(number for what, number in counts.items() if what.verb == "apply" and not what.dry_run)
