"""The reflector against servers that misbehave: it goes on, and it does not hammer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.kube.client import Client
from shared.kube.connection import Connection
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta
from shared.kube.watch import NotServed, Reflector

THINGS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
NO_TLS: ssl.SSLContext | None = None
Answer = Callable[[bytes], bytes]


class Seen:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.lists: list[set[str]] = []
        self.changes: list[str] = []

    def listing(self) -> None:
        """Nothing to prepare."""

    def replace(self, items: list[ObjectMeta], version: int) -> None:  # noqa: ARG002
        self.lists.append({meta.name for meta in items})

    def changed(self, meta: ObjectMeta) -> None:
        self.changes.append(meta.name)

    def removed(self, meta: ObjectMeta) -> None:
        self.changes.append("-" + meta.name)


class Server:
    """Answers lists and watches with what `answer` makes of a request's head, and counts them."""

    def __init__(self, answer: Answer) -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            writer.write(self._answer(head))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def following(answer: Answer) -> AsyncIterator[tuple[Server, Seen, "asyncio.Task[None]"]]:
    server, seen = Server(answer), Seen()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = Client(Connection(f"http://127.0.0.1:{port}", NO_TLS, lambda: ""), user_agent="test")
    task = asyncio.create_task(Reflector(client, THINGS, seen, jitter=lambda: 0.5).run())
    try:
        yield server, seen, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        listener.close()
        await client.close()


def reply(status: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), size, body)


LIST = b'{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a","namespace":"x"}}]}'
ONE = b'{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"x","resourceVersion":"8"}}}\n'


def is_watch(head: bytes) -> bool:
    return b"watch=true" in head


async def until(check: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(5):
            while not check():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within 5 s: {what}")


BAD_WATCHES: dict[str, Answer] = {
    "ends at once": lambda _: reply("200 OK", b""),
    "is cut": lambda _: reply("200 OK", b"", length=100),
    "is refused": lambda _: reply("503 Service Unavailable", b""),
    "is refused and cut": lambda _: reply("503 Service Unavailable", b"{", length=100),
    "is not JSON": lambda _: reply("200 OK", b"<html>\n"),
    "is an error in the stream": lambda _: reply(
        "200 OK", b'{"type":"ERROR","object":{"code":500,"message":"x"}}\n'
    ),
}


@pytest.mark.parametrize("watch", BAD_WATCHES.values(), ids=BAD_WATCHES)
async def test_a_watch_that_fails_is_opened_again_but_not_without_end(watch: Answer) -> None:
    async with following(lambda head: watch(head) if is_watch(head) else reply("200 OK", LIST)) as (
        server,
        seen,
        task,
    ):
        await until(lambda: sum(map(is_watch, server.heads)) >= 2, "a second watch")
        await asyncio.sleep(0.3)
        assert sum(map(is_watch, server.heads)) < 6  # with backoff, that is; without it there are thousands
        assert seen.lists
        assert not task.done()


async def test_a_version_that_is_too_old_means_a_new_list() -> None:
    gone = b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}'
    answers = iter([reply("410 Gone", gone)])
    async with following(
        lambda head: next(answers, reply("200 OK", ONE)) if is_watch(head) else reply("200 OK", LIST)
    ) as (_, seen, _):
        await until(lambda: len(seen.lists) >= 2, "a second list")
        await until(lambda: "b" in seen.changes, "the event that follows it")


async def test_a_kind_that_is_not_served_is_told() -> None:
    async with following(lambda _: reply("404 Not Found", b"404 page not found")) as (_, _, task):
        with pytest.raises(NotServed):
            await asyncio.wait_for(asyncio.shield(task), 5)


def listed_at(version: int) -> bytes:
    return b'{"metadata":{"resourceVersion":"%d"},"items":[]}' % version


def asked(head: bytes) -> str:
    """What a request is about, in a word or two."""
    query = parse_qs(urlsplit(head.split()[1].decode()).query)
    if "watch" in query:
        return f"watch from {query['resourceVersion'][0]}"
    return "look" if query["limit"] == ["1"] else "list"


# After a watch from 7 that was cut at once: what a look then says, and what follows.
AFTER_A_CUT = {
    "nothing happened": (8, ["look", "watch from 7"]),
    "something happened": (9, ["look", "watch from 7"]),
    "the cluster was restored from a backup": (5, ["look", "list", "watch from 5"]),
}


@pytest.mark.parametrize(("now", "then"), AFTER_A_CUT.values(), ids=AFTER_A_CUT)
async def test_a_watch_that_was_cut_goes_on_only_if_time_did_not_go_back(now: int, then: list[str]) -> None:
    cut = reply("200 OK", ONE, length=100)
    state = {"version": 7}

    def answer(head: bytes) -> bytes:
        if is_watch(head):
            state["version"] = now
            return cut
        return reply("200 OK", listed_at(state["version"]))

    async with following(answer) as (server, _, _):
        wanted = ["list", "watch from 7", *then]
        await until(lambda: len(server.heads) >= len(wanted), "the watch goes on")
        assert [asked(head) for head in server.heads[: len(wanted)]] == wanted
