"""What Kubernetes and Prometheus ask a controller over HTTP: is it alive, is it ready, what has it counted.

Liveness says only that the event loop turns: an API server that is away must not restart every controller at
once. Readiness is a set of named checks; while one fails, /readyz answers 503 and names it.

Source: the contract, telemetry.md 1.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from shared.runtime import metrics
from shared.runtime.flags import Address

__all__ = ["CannotListen", "Readiness", "Server", "health_app", "metrics_app"]


class CannotListen(Exception):
    """A server could not bind its address; the message names the flag's address and the reason."""


class Readiness:
    """Named checks, asked at each request. A check returns "" when all is well, else what is wrong."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], str]] = {}

    def add(self, name: str, check: Callable[[], str]) -> None:
        """Ask `check` too. It must be quick; its text is shown to anyone who can reach the port."""
        self._checks[name] = check

    def failing(self) -> dict[str, str]:
        """What is wrong, by the name of the check; empty when ready."""
        found = {name: check() for name, check in self._checks.items()}
        return {name: why for name, why in found.items() if why}


def health_app(readiness: Readiness) -> web.Application:
    """/healthz, /readyz, and /ping below both, which answers `ok` as long as the process does."""

    async def ok(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        failing = readiness.failing()
        if not failing:
            return web.Response(text="ok")
        return web.Response(status=503, text="".join(f"{name}: {why}\n" for name, why in failing.items()))

    app = web.Application()
    app.add_routes([web.get("/readyz", readyz), web.get("/readyz/", readyz)])
    app.add_routes([web.get(path, ok) for path in ("/healthz", "/healthz/", "/healthz/ping", "/readyz/ping")])
    return app


def metrics_app() -> web.Application:
    """/metrics. Rendering takes tens of milliseconds where there are many objects, so a thread does it."""

    async def show(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(metrics.render)
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/metrics", show)])
    return app


@dataclass(frozen=True, slots=True)
class Server:
    """A listening server. `port` is the one that was bound, also where port 0 was asked for."""

    port: int
    _runner: web.AppRunner

    @classmethod
    async def start(cls, app: web.Application, address: Address) -> "Server":
        """Serve `app` on `address` until `stop`.

        Raises:
            CannotListen: the address is taken, not ours, or not allowed.
        """
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, address.host or None, address.port).start()
        except OSError as error:
            await runner.cleanup()
            why = error.strerror or str(error)
            raise CannotListen(f"cannot listen on {address}: {why}; choose another address") from error
        return cls(runner.addresses[0][1], runner)

    async def stop(self) -> None:
        """Stop listening; requests under way get a second to finish."""
        await self._runner.cleanup()
