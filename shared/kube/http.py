"""Short HTTP/1.1 requests over a few kept connections, at a third of the CPU of a general client.

A controller's CPU goes into its requests (a profile of a cold start had two thirds there), so this path is
our own: asyncio moves bytes, httptools (llhttp) parses answers. It does what an API server needs and no
more: one request at a time per connection, no redirects, no cookies, no content coding, no proxies.
Watches, which are long and few, go another way.

Source: RFC 9112.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import cast
from urllib.parse import quote, urlsplit

import httptools

IDLE_S = (
    75.0  # a connection that rested longer is not used again: the server may be closing it (Go: after 90 s)
)
CONNECT_S = 10.0
_TOKEN = re.compile(rb"[!-~ \t\x80-\xff]*")  # field values: no line breaks, no controls (RFC 9110, 5.5)


class HttpError(Exception):
    """No complete answer. Whether the server did what was asked is not known, unless `untouched`."""

    def __init__(self, message: str, *, untouched: bool = False) -> None:
        super().__init__(message)
        self.untouched = untouched  # not a byte of the request can have been acted upon


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    retry_after: str | None


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body: list[bytes] = []
        self._retry_after: str | None = None
        self._heard = False
        self.idle_since = 0.0
        self.open = False
        self.reused = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.open = True

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(HttpError(f"the answer is not HTTP: {error}"))

    def eof_received(self) -> None:
        return None  # close; connection_lost follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        # A server closes a kept connection at any time; one that we reused and that said nothing was closed
        # before our request was read.
        untouched = self.reused and not self._heard
        self._fail(HttpError(f"connection lost: {exc or 'closed by the server'}", untouched=untouched))

    # --- httptools callbacks ---

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer (RFC 9110, 15.2)
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, b"".join(self._body), self._retry_after))

    # --- use ---

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Send `request` and wait for its answer; after a failure the connection is closed."""
        if self._transport is None:
            raise HttpError("not connected", untouched=True)
        loop = asyncio.get_running_loop()
        self._body, self._retry_after, self._heard = [], None, False
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        late = loop.call_later(timeout_s, self._fail, HttpError(f"no answer within {timeout_s:g} s"))
        try:
            self._transport.write(request)
            return await answer
        except BaseException:
            self.close()  # an answer that comes later must not meet the next request (CVE-2023-28858's class)
            raise
        finally:
            late.cancel()
            self._answer = None

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: HttpError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Pool:
    """Connections to one server. The caller bounds how many requests are under way at once."""

    def __init__(self, server: str, tls: SSLContext | None, *, headers: Mapping[str, str]) -> None:
        parts = urlsplit(server)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._tls = tls
        self._fixed = _fields({"Host": parts.netloc, **headers})
        self._idle: list[_Connection] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Answer:
        """One request. It is sent again only where a kept connection turned out to be closed before it was
        read.

        Raises:
            HttpError: no complete answer.
        """
        target = quote(self._prefix + path, safe="/:@!$&'()*+,;=~%") + (f"?{query}" if query else "")
        head = f"{method} {target} HTTP/1.1\r\n".encode("ascii") + self._fixed + _fields(headers)
        if body is not None:
            head += b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            head += b"\r\n"
        while True:
            connection = await self._take()
            try:
                answer = await connection.exchange(head, timeout_s)
            except HttpError as error:
                if error.untouched and method != "POST":
                    continue
                raise
            if connection.open:
                connection.idle_since = asyncio.get_running_loop().time()
                connection.reused = True
                self._idle.append(connection)
            return answer

    async def _take(self) -> _Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()  # the one used last is the least likely to be closed
            if connection.open and now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise HttpError(f"no connection within {CONNECT_S:g} s", untouched=True) from error
        except OSError as error:
            raise HttpError(f"cannot connect: {error}", untouched=True) from error
        return made

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def _fields(headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    for line in lines:
        if not _TOKEN.fullmatch(line):
            raise ValueError("a header field must not contain line breaks or control characters")
    return b"".join(line + b"\r\n" for line in lines)
