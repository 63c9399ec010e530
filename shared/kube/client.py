"""Requests to one API server, behind one `request()`; and watches, behind `stream()`.

Every request asks for an unzipped answer (gzip makes a large list cost the API server three times as much),
and at most `IN_FLIGHT` are under way: more buys only latency. Impersonation is a header on a request, given
by its caller; there is no ambient identity that could be forgotten. Short requests go through `http.py`,
the long streams of watches through aiohttp, which kopf brings.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self
from urllib.parse import urlencode

import aiohttp

from shared.kube import errors
from shared.kube.connection import Connection
from shared.kube.http import HttpError, Pool

IN_FLIGHT = 8
TIMEOUT_S = 30.0  # of one request; the API server itself gives up after 60 s
PATIENCE = 5  # times that a request is sent while the server asks to come again later
LONGEST_WAIT_S = 30.0

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML; the server also takes it under this older name
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a request acts as. Cannot be made empty: an empty header would mean the controller's own rights.

    Source: reliability A33 (CVE-2026-23990).
    """

    user: str

    def __post_init__(self) -> None:
        if not self.user.strip() or any(c in self.user for c in "\r\n"):
            raise ValueError("an identity to impersonate must not be empty or contain line breaks")
        if self.user in {"system:masters", "system:serviceaccount::"}:
            raise ValueError(f"'{self.user}' is not an identity that a tenant can have")

    @classmethod
    def service_account(cls, namespace: str, name: str) -> Self:
        if not namespace or not name:
            raise ValueError("a service account needs a namespace and a name")
        return cls(f"system:serviceaccount:{namespace}:{name}")


class Client:
    """Requests to one API server. Make it inside the event loop; `close()` it at the end."""

    def __init__(self, connection: Connection, *, user_agent: str, in_flight: int = IN_FLIGHT) -> None:
        self._connection = connection
        self._slots = asyncio.Semaphore(in_flight)
        self.on_answer: Callable[[str, str], None] = lambda _code, _method: None  # for metrics
        fixed = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._pool = Pool(connection.server, connection.tls, headers=fixed)
        # Watches are long-lived and outside of the slots, hence no limit here.
        connector = aiohttp.TCPConnector(limit=0, ssl=connection.tls or False, keepalive_timeout=75)
        self._session = aiohttp.ClientSession(
            base_url=connection.server,
            connector=connector,
            trust_env=False,
            auto_decompress=False,
            headers=fixed,
            skip_auto_headers=("Accept", "Content-Type"),
        )

    @property
    def server(self) -> str:
        return self._connection.server

    async def close(self) -> None:
        self._pool.close()
        await self._session.close()

    def _headers(self, identity: Identity | None, accept: str, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": accept}
        authorization = self._connection.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if identity is not None:
            headers["Impersonate-User"] = identity.user
        if content_type is not None:
            headers["Content-Type"] = content_type
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] = _NOTHING,
        identity: Identity | None = None,
        accept: str = JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """Send one request and return the body of a 2xx answer.

        Raises:
            ApiError: any other answer, as the class that fits it.
            Unreachable: no answer; a write may or may not have been done.
        """
        for attempt in range(PATIENCE):
            try:
                return await self._send(
                    method,
                    path,
                    body=body,
                    query=query,
                    headers=self._headers(identity, accept, content_type),
                    timeout_s=timeout_s,
                )
            except errors.TooManyRequests as error:
                # Nothing was done. The server says when to come again: it is overloaded, or its storage of
                # a kind is still starting.
                if attempt == PATIENCE - 1:
                    raise
                await asyncio.sleep(min(error.retry_after_s or 1.0, LONGEST_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> bytes:
        async with self._slots:
            try:
                answer = await self._pool.request(
                    method,
                    path,
                    query=urlencode(query) if query else "",
                    headers=headers,
                    body=body,
                    timeout_s=timeout_s,
                )
            except HttpError as error:
                self.on_answer("0", method)
                raise errors.Unreachable(f"{method} {path}: {error}") from error
        self.on_answer(str(answer.status), method)
        if 200 <= answer.status < 300:
            return answer.body
        raise errors.from_response(answer.status, answer.body, answer.retry_after)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        accept: str,
        silence_s: float,
        identity: Identity | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch; gives the lines of the answer. Ends after `silence_s` without a byte.

        Raises:
            ApiError, Unreachable: as `request`; the lines raise Silent when nothing came, Unreachable when
                the stream breaks.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=silence_s)
        headers = self._headers(identity, accept, None)
        try:
            answer = await self._session.get(
                path, params=query, headers=headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unreachable(f"watch {path}: {error}") from error
        try:
            if answer.status != 200:
                raise errors.from_response(
                    answer.status, await _rest(answer), answer.headers.get("Retry-After")
                )
            yield _lines(answer, path)
        finally:
            answer.close()


async def _rest(answer: aiohttp.ClientResponse) -> bytes:
    """The body of an error; none if the connection went before it was all there."""
    try:
        return await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""


async def _lines(answer: aiohttp.ClientResponse, path: str) -> AsyncIterator[bytes]:
    # aiohttp's own line reader refuses lines above its buffer size; watch events can be larger.
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            parts = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            rest = parts.pop()
            for line in parts:
                if line:
                    yield line
    except aiohttp.ServerTimeoutError as error:
        raise errors.Silent(f"watch {path}: silent") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise errors.Unreachable(f"watch {path}: {error}") from error
