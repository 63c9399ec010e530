"""A proxy on loopback between one controller and the API server, which does to requests what rules say.

It ends TLS with the API server's own certificate, so a controller needs no other trust. Everything that no
rule strikes passes unchanged, watches byte by byte as they come. Every request is written down in a history.

A request that reached the server is followed to its end even if the client dies meanwhile: the history
says what the server did, not what the client saw.
"""

import asyncio
import os
import signal
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from lab.controlplane import ControlPlane
from lab.ports import free_port
from tests.faults.rules import Counter, Cut, Delay, Kill, Reply, Rule
from tests.harness.history import Exchange, History, Target

_KEEP_ALIVE_S = 3600.0  # the client decides when a connection ends, as the API server lets it
_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
_OURS = frozenset({"source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"})


class _Gone(Exception):
    """The client is to get no answer."""


class FaultProxy:
    """A context manager, or `start` and `stop`. `kubeconfig` leads a controller through it."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self.port = free_port()
        self._counter = Counter(())
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stopping = asyncio.Event()
        self._underway: set[asyncio.Task[_Answer]] = set()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self.history = History()

    @property
    def kubeconfig(self) -> Path:
        return self._cluster.kubeconfig_through(self.port)

    def obey(self, *rules: Rule) -> None:
        """From now on these rules, counted from zero, and no others."""
        self._counter = Counter(rules)

    def forget(self) -> None:
        """Begin a new history."""
        self.history = History()

    def start(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the fault proxy did not start within 10 s")
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- in the proxy's own thread ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        files = self._cluster.files
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.serving_certificate, files.serving_key)
        trust = ssl.create_default_context(cafile=str(files.authority))
        self._upstream = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trust),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        server = web.Server(
            self._handle, handler_cancellation=True, keepalive_timeout=_KEEP_ALIVE_S, access_log=None
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls)
        await site.start()
        self._started.set()
        await self._stopping.wait()
        await runner.cleanup()
        await self._upstream.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = Target.of(request.method, request.raw_path, request.headers.get("Content-Type", ""))
        exchange = Exchange(
            target=target,
            began_s=time.monotonic(),
            agent=request.headers.get("User-Agent", ""),
            user=request.headers.get("Impersonate-User", ""),
        )
        body = await request.content.read()  # all of it: aiohttp's own limit is for web forms
        if target.changes:
            exchange.body = body
        self.history.note(exchange)
        struck = self._counter.strikes(target)
        try:
            reply = await _strike(exchange, [rule for rule in struck if not rule.after])
            if reply is not None:
                return reply
            if target.verb == "watch":
                return await self._stream(request, exchange)
            answer = await self._ask(request, body, exchange)
            reply = await _strike(exchange, [rule for rule in struck if rule.after])
            exchange.answered = reply is None
            return reply or answer.response()
        except (_Gone, aiohttp.ClientError, OSError):  # where the server hung up, so do we
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None  # to aiohttp: the client has left, nothing is owed
        finally:
            if exchange.ended_s is None:
                exchange.ended_s = time.monotonic()

    async def _ask(self, request: web.BaseRequest, body: bytes, exchange: Exchange) -> "_Answer":
        task = asyncio.create_task(self._exchange(request, body, exchange))
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)
        return await asyncio.shield(task)

    async def _exchange(self, request: web.BaseRequest, body: bytes, exchange: Exchange) -> "_Answer":
        async with self._upstream.request(
            request.method,
            self._url(request),
            headers=_passed_on(request.headers),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            payload = await answer.read()
        exchange.status = answer.status
        exchange.ended_s = time.monotonic()
        if exchange.target.changes and exchange.target.group in _OURS:
            with suppress(msgspec.DecodeError):
                exchange.answer = msgspec.json.decode(payload)
        return _Answer(answer.status, _passed_on(answer.headers), payload)

    async def _stream(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        async with self._upstream.get(
            self._url(request), headers=_passed_on(request.headers), allow_redirects=False
        ) as answer:
            exchange.status = answer.status
            response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            exchange.answered = True
            return response

    def _url(self, request: web.BaseRequest) -> URL:
        return URL(self._cluster.url + request.raw_path, encoded=True)


class _Answer:
    """The server's whole answer to anything but a watch."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._status, self._headers, self._body = status, headers, body

    def response(self) -> web.StreamResponse:
        return web.Response(status=self._status, headers=self._headers, body=self._body)


async def _strike(exchange: Exchange, rules: list[Rule]) -> web.StreamResponse | None:
    """Carry out rules; gives what is to be answered instead of the server's answer. Raises _Gone."""
    for rule in rules:
        exchange.fault = f"{exchange.fault}; {rule}" if exchange.fault else str(rule)
        match rule.do:
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Reply(status, body):
                return web.Response(status=status, body=body, content_type="application/json")
            case Cut():
                raise _Gone
            case Kill(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise _Gone
    return None


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without those that concern one connection. The API server repeats none that matters."""
    return {name: value for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION}
