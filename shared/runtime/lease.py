"""The Lease object behind leader election: read, take, renew, give back, wait. All of it blocks.

Raw JSON in and out, so that labels and fields of others survive our writes; each write names the
resourceVersion that it replaces, so that of two writers one gets a Conflict.
"""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import urllib3

from shared.kube.connection import Connection
from shared.kube.errors import NotFound, Unreachable, from_response

__all__ = ["LeaseObject", "holder"]


class LeaseObject:
    """One Lease. Every method is a request and raises `KubeError`.

    Args:
        request_s: how long an answer may take.
    """

    def __init__(self, connection: Connection, namespace: str, name: str, request_s: float) -> None:
        self._namespace, self._name, self._request_s = namespace, name, request_s
        self._authorization = connection.authorization
        self._pool = urllib3.PoolManager(ssl_context=connection.tls, retries=False)
        self._folder = f"{connection.server}/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    def read(self) -> dict[str, Any] | None:
        try:
            return self._request("GET", f"{self._folder}/{self._name}")
        except NotFound:
            return None

    def take(self, found: dict[str, Any] | None, identity: str, lease_s: float) -> dict[str, Any]:
        """Write `identity` as the holder over exactly what was `found`; a Conflict: it changed since."""
        now = _micro_time()
        old = found.get("spec", {}) if found else {}
        same = bool(found) and old.get("holderIdentity") == identity
        spec = {
            "holderIdentity": identity,
            "leaseDurationSeconds": math.ceil(lease_s),
            "acquireTime": old.get("acquireTime", now) if same else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions", 0)) + (1 if found and not same else 0),
        }
        if found is not None:
            return self._put(found, spec)
        metadata = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        return self._request("POST", self._folder, body)

    def renew(self, lease: dict[str, Any]) -> dict[str, Any]:
        return self._put(lease, lease["spec"] | {"renewTime": _micro_time()})

    def release(self, lease: dict[str, Any]) -> None:
        # No holder and a second of duration, as client-go leaves it, for its candidates may be waiting.
        left = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
        self._put(lease, lease["spec"] | left)

    def wait_for_change(self, lease: dict[str, Any] | None, at_most_s: float) -> None:
        """Return when the Lease changes, or after `at_most_s` (rounded up to a second)."""
        seconds = max(1, math.ceil(at_most_s))
        version = lease["metadata"]["resourceVersion"] if lease else ""
        query = (
            f"?watch=1&fieldSelector=metadata.name%3D{self._name}"
            f"&resourceVersion={version}&timeoutSeconds={seconds}"
        )
        # A connection that went silent is noticed a few seconds after the server should have closed it.
        self._send("GET", self._folder + query, None, watch_s=seconds + 3.0)

    def _put(self, lease: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        return self._request("PUT", f"{self._folder}/{self._name}", lease | {"spec": spec})

    def _request(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._send(method, url, body)
        try:
            return msgspec.json.decode(answer, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Unreachable(f"what answered for the Lease is no API server: {error}") from error

    def _send(
        self, method: str, url: str, body: dict[str, Any] | None, watch_s: float | None = None
    ) -> bytes:
        """The body of the answer; with `watch_s`, its first line, which comes within that time if at all."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "headrace-leader",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        timeout = urllib3.Timeout(connect=self._request_s, read=watch_s or self._request_s)
        content = None if body is None else msgspec.json.encode(body)
        try:
            answer = self._pool.request(
                method, url, body=content, headers=headers, timeout=timeout, preload_content=False
            )
            try:
                read = answer.readline() if watch_s and answer.status < 300 else answer.read()
            finally:
                # A watch that is left early cannot be reused: its connection is closed, not returned.
                answer.close() if watch_s else answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"no answer from the API server: {error}") from error
        if answer.status >= 300:
            raise from_response(answer.status, read, answer.headers.get("Retry-After"))
        return bytes(read)


def holder(lease: dict[str, Any] | None) -> str:
    """Who holds `lease`; "" if nobody does."""
    return str(lease.get("spec", {}).get("holderIdentity") or "") if lease else ""


def _micro_time() -> str:
    """Now as the Lease writes it. Told, never compared."""
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
