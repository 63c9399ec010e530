"""Health and metrics endpoints over real loopback sockets."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from shared.runtime.flags import Address
from shared.runtime.health import CannotListen, Readiness, Server, health_app, metrics_app

ANY_PORT = Address("127.0.0.1", 0)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(trust_env=False) as session:
        yield session


async def ask(http: aiohttp.ClientSession, server: Server, path: str) -> tuple[int, str]:
    async with http.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        return answer.status, await answer.text()


BOTH_BAD = "kinds: watch lost\nlease: not held\n"
ANSWERS = {
    "alive and ready": ({}, {"/healthz": (200, "ok"), "/readyz": (200, "ok")}),
    "a check passes": ({"kinds": ""}, {"/readyz": (200, "ok")}),
    "a check fails": (
        {"kinds": "watch lost"},
        {"/readyz": (503, "kinds: watch lost\n"), "/healthz": (200, "ok"), "/readyz/ping": (200, "ok")},
    ),
    "two of three fail": (
        {"kinds": "watch lost", "store": "", "lease": "not held"},
        {"/readyz": (503, BOTH_BAD), "/healthz/ping": (200, "ok")},
    ),
    "unknown paths": ({}, {"/healthz/nothing": (404, "404: Not Found"), "/metrics": (404, "404: Not Found")}),
}


@pytest.mark.parametrize(("checks", "answers"), ANSWERS.values(), ids=ANSWERS)
async def test_answers(
    checks: dict[str, str], answers: dict[str, tuple[int, str]], http: aiohttp.ClientSession
) -> None:
    readiness = Readiness()
    for name, why in checks.items():
        readiness.add(name, lambda why=why: why)  # type: ignore[misc]  # a default binds the loop's value
    server = await Server.start(health_app(readiness), ANY_PORT)
    try:
        assert {path: await ask(http, server, path) for path in answers} == answers
    finally:
        await server.stop()


async def test_readiness_is_asked_each_time(http: aiohttp.ClientSession) -> None:
    readiness, state = Readiness(), ["starting"]
    readiness.add("process", lambda: state[0])
    server = await Server.start(health_app(readiness), ANY_PORT)
    assert (await ask(http, server, "/readyz"))[0] == 503
    state[0] = ""
    assert (await ask(http, server, "/readyz"))[0] == 200
    await server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(http, server, "/readyz")


async def test_metrics(http: aiohttp.ClientSession) -> None:
    server = await Server.start(metrics_app(), ANY_PORT)
    status, text = await ask(http, server, "/metrics")
    await server.stop()
    assert status == 200
    assert "# TYPE gotk_reconcile_duration_seconds histogram" in text


async def test_an_address_in_use_is_named() -> None:
    server = await Server.start(web.Application(), ANY_PORT)
    with pytest.raises(CannotListen, match=rf"cannot listen on 127\.0\.0\.1:{server.port}: .*in use"):
        await Server.start(web.Application(), Address("127.0.0.1", server.port))
    await server.stop()
