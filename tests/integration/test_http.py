"""Our HTTP client against real sockets: what servers do to a kept connection, and what must not happen
then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lab.ports import refusing_port
from shared.kube.http import Answer, HttpError, Pool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Pool]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}", None, headers={"User-Agent": "test"})
    try:
        yield pool
    finally:
        pool.close()
        server.close()


async def ask(pool: Pool, method: str = "GET", path: str = "/x", timeout_s: float = 5.0) -> Answer:
    body = b"{}" if method in ("PATCH", "POST") else None
    return await pool.request(
        method, path, query="a=b", headers={"Accept": "*/*"}, body=body, timeout_s=timeout_s
    )


async def head_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head


def answering(*answers: bytes) -> tuple[Serve, list[bytes]]:
    """A server that gives `answers` one after the other on each connection, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                asked.append(await head_of(reader))
                writer.write(answer)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    return serve, asked


ANSWERS = {
    "with a length": (OK, 200, b"ok"),
    "in chunks": (
        b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 201, b"ok",
    ),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "an error": (b"HTTP/1.1 409 Conflict\r\nContent-Length: 1\r\n\r\n!", 409, b"!"),
    "after an interim one": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, 200, b"ok"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "status", "body"), ANSWERS.values(), ids=ANSWERS)
async def test_answers(raw: bytes, status: int, body: bytes) -> None:
    serve, asked = answering(raw)
    async with serving(serve) as pool:
        answer = await ask(pool)
    assert (answer.status, answer.body) == (status, body)
    assert asked[0].startswith(b"GET /x?a=b HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_connection_is_used_again() -> None:
    serve, asked = answering(OK, OK, OK)
    connections = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await serve(reader, writer)

    async with serving(counting) as pool:
        for _ in range(3):
            assert (await ask(pool)).body == b"ok"
    assert (connections, len(asked)) == (1, 3)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_a_kept_connection_that_was_closed_is_replaced(method: str) -> None:
    serve, _ = answering(OK)  # each connection answers once, then closes without a word
    async with serving(serve) as pool:
        assert (await ask(pool)).body == b"ok"
        await asyncio.sleep(0)
        assert (await ask(pool, method)).body == b"ok"


async def test_a_write_whose_answer_was_lost_is_not_sent_again() -> None:
    asked = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await head_of(reader)
        asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
        await writer.drain()
        writer.close()

    async with serving(cut) as pool:
        with pytest.raises(HttpError, match="connection lost"):
            await ask(pool, "PATCH")
    assert asked == 1


async def test_an_answer_that_comes_too_late_never_meets_another_request() -> None:
    release = asyncio.Event()

    async def slow_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        if b"/slow" in head:
            await release.wait()
            writer.write(OK.replace(b"ok", b"NO"))
        else:
            release.set()
            writer.write(OK)
        await writer.drain()

    async with serving(slow_once) as pool:
        with pytest.raises(HttpError, match="no answer within"):
            await ask(pool, path="/slow", timeout_s=0.1)
        assert (await ask(pool, path="/fast")).body == b"ok"


async def test_what_is_not_http_is_an_error() -> None:
    serve, _ = answering(b"SSH-2.0-OpenSSH_9\r\n\r\n")
    async with serving(serve) as pool:
        with pytest.raises(HttpError, match="not HTTP"):
            await ask(pool)


async def test_nobody_listens() -> None:
    with refusing_port() as port:
        pool = Pool(f"http://127.0.0.1:{port}", None, headers={"User-Agent": "test"})
        with pytest.raises(HttpError, match="cannot connect") as caught:
            await ask(pool)
        pool.close()
    assert caught.value.untouched


@pytest.mark.parametrize("value", ["a\r\nImpersonate-Group: system:masters", "a\nb", "a\0b"])
async def test_a_header_field_never_becomes_two(value: str) -> None:
    async with serving(answering(OK)[0]) as pool:
        with pytest.raises(ValueError, match="line breaks"):
            await pool.request("GET", "/", query="", headers={"X": value}, body=None, timeout_s=1)


async def test_a_path_never_becomes_a_second_request() -> None:
    serve, asked = answering(OK)
    async with serving(serve) as pool:
        await ask(pool, path="/a b\r\nHost: evil/ü")
    assert asked[0].startswith(b"GET /a%20b%0D%0AHost:%20evil/%C3%BC?a=b HTTP/1.1\r\n")
