"""From the store to a consumer: the server, the download and the cache, over loopback (F18, F20)."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from shared.artifacts import archive, server
from shared.artifacts.cache import ArtifactCache
from shared.artifacts.fetch import ArtifactMissing, DigestMismatch, Download, FetchError, fetch
from shared.artifacts.store import Store, Stored
from shared.artifacts.unpack import Unpacked, unpack

PATH = "gitrepository/ns/app/aaaa.tar.gz"
LIMIT = 1 << 20


@dataclass
class Published:
    root: Path
    store: Store
    base: str
    session: aiohttp.ClientSession

    def publish(self, path: str = PATH, content: bytes = b"content") -> Stored:
        with self.store.publish(path) as draft:
            member = archive.Member("a.yaml", folder=False, read=lambda: content)
            archive.write([member], draft, limit_bytes=LIMIT)
        return draft.stored

    def download(self, stored: Stored, *, attempts: int = 1) -> Download:
        return Download(
            url=f"{self.base}/{stored.path}", digest=stored.digest, limit_bytes=LIMIT, attempts=attempts
        )


async def listen(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Published]:
    root = tmp_path / "data"
    runner, base = await listen(server.application(root))
    async with aiohttp.ClientSession(trust_env=False) as session:
        yield Published(root, Store(root), base, session)
    await runner.cleanup()


# --- the server ---


async def test_the_root_answers_as_flux_probes_it(here: Published) -> None:
    async with here.session.get(here.base + "/") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_an_artifact_is_served_as_it_is(here: Published) -> None:
    stored = here.publish()
    async with here.session.get(f"{here.base}/{PATH}", auto_decompress=False) as response:
        body = await response.read()
        assert response.status == 200
        assert "Content-Encoding" not in response.headers, "clients would unpack what they verify"
        assert response.headers["Accept-Ranges"] == "bytes"
    assert len(body) == stored.size_bytes
    async with here.session.head(f"{here.base}/{PATH}") as response:
        assert (response.status, response.content_length) == (200, len(body))
        assert await response.read() == b""
    async with here.session.head(here.base + "/") as response:
        assert response.status == 200


# Headers of a request, the status of the answer, and which bytes are in it. {etag} and {date} are those of
# the file, {end} is its length.
ASKED: dict[str, tuple[dict[str, str], int, slice | None]] = {
    "a range": ({"Range": "bytes=2-5"}, 206, slice(2, 6)),
    "from somewhere on": ({"Range": "bytes=7-"}, 206, slice(7, None)),
    "the last bytes": ({"Range": "bytes=-3"}, 206, slice(-3, None)),
    "more than there is": ({"Range": "bytes=7-999999"}, 206, slice(7, None)),
    "a range beyond the end": ({"Range": "bytes={end}-"}, 416, None),
    "not a range": ({"Range": "bytes=x-y"}, 416, None),
    "fifteen hundred ranges": ({"Range": "bytes=" + ",".join(["0-0"] * 1_500)}, 416, None),
    "what we have, by its tag": ({"If-None-Match": "{etag}"}, 304, None),
    "one of several that we have": ({"If-None-Match": '"x", {etag}'}, 304, None),
    "another than we have": ({"If-None-Match": '"x"'}, 200, slice(None)),
    "what we have, by its time": ({"If-Modified-Since": "{date}"}, 304, None),
    "older than we have": (
        {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        200,
        slice(None),
    ),
    "the tag goes before the time": (
        {"If-None-Match": '"x"', "If-Modified-Since": "{date}"},
        200,
        slice(None),
    ),
    "the rest of what we began": ({"Range": "bytes=9-", "If-Range": "{date}"}, 206, slice(9, None)),
    "the rest of something older": (
        {"Range": "bytes=9-", "If-Range": "Sat, 01 Jan 2000 00:00:00 GMT"},
        200,
        slice(None),
    ),
    "only if it is still the same": ({"If-Match": '"x"'}, 412, None),
    "gzip, which is what it is": ({"Accept-Encoding": "gzip, br"}, 200, slice(None)),
}


@pytest.mark.parametrize(("headers", "status", "part"), ASKED.values(), ids=ASKED)
async def test_how_one_may_ask(
    headers: dict[str, str], status: int, part: slice | None, here: Published
) -> None:
    """RFC 9110, 13 and 14: what a client with half an artifact, or all of it, saves."""
    here.publish()
    body = (here.root / PATH).read_bytes()
    async with here.session.head(f"{here.base}/{PATH}") as response:
        known = {
            "{etag}": response.headers["ETag"],
            "{date}": response.headers["Last-Modified"],
            "{end}": str(len(body)),
        }
    for name, value in known.items():
        headers = {key: text.replace(name, value) for key, text in headers.items()}
    async with here.session.get(f"{here.base}/{PATH}", headers=headers, auto_decompress=False) as response:
        assert response.status == status
        answer = await response.read()
        assert "Content-Encoding" not in response.headers
        assert answer == (body[part] if part is not None else b"")


async def test_another_artifact_of_that_name_has_another_tag(here: Published) -> None:
    """spec.ignore or spec.include changed: the same commit, other bytes."""
    tags = set()
    for content in (b"one", b"two"):
        here.publish(content=content)
        async with here.session.head(f"{here.base}/{PATH}") as response:
            tags.add(response.headers["ETag"])
    assert len(tags) == 2


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_nothing_can_be_changed(method: str, here: Published) -> None:
    here.publish()
    for path in (PATH, "gitrepository/ns/app/new.tar.gz"):
        async with here.session.request(method, f"{here.base}/{path}", data=b"x") as response:
            assert response.status == 405
    assert not (here.root / "gitrepository/ns/app/new.tar.gz").exists()


NOT_SERVED = {
    "no such artifact": "gitrepository/ns/app/b.tar.gz",
    "a lock": PATH + ".lock",
    "a draft": "gitrepository/ns/app/.aaaa.tar.gz.x.tmp",
    "a folder": "gitrepository/ns/app",
    "a folder with a slash": "gitrepository/ns/app/",
    "the folder of a kind": "gitrepository/",
    "an index that nobody made": "gitrepository/ns/app/index.html",
    "two slashes": "/" + PATH,
    "two slashes within": PATH.replace("/ns/", "//ns/"),
    "a dot": "./" + PATH,
    "backslashes": PATH.replace("/", "%5c"),
    "below a file": PATH + "/x",
    "a slash behind": PATH + "/",
    "a parent": "../outside",
    "an encoded parent": "%2e%2e/outside",
    "an encoded slash": "..%2foutside",
    "a link": "gitrepository/ns/app/link",
    "below a linked folder": "linked/outside",
    "a NUL": "gitrepository/%00",
}


@pytest.mark.parametrize("path", NOT_SERVED.values(), ids=NOT_SERVED)
async def test_nothing_else_is_served(path: str, here: Published) -> None:
    here.publish()
    outside = here.root.parent / "outside"
    outside.write_text("CANARY")
    (here.root / "gitrepository/ns/app/link").symlink_to(outside)
    (here.root / "linked").symlink_to(here.root.parent)
    (here.root / "gitrepository/ns/app/.aaaa.tar.gz.x.tmp").write_text("CANARY")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(here.base.rpartition(":")[2]))
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))
    assert b"CANARY" not in answer


# --- the download ---


async def test_what_is_downloaded_is_verified(here: Published, tmp_path: Path) -> None:
    stored = here.publish()
    assert await fetch(here.session, here.download(stored), tmp_path / "a") == stored.size_bytes
    assert (tmp_path / "a").read_bytes() == (here.root / PATH).read_bytes()


async def test_other_bytes_are_refused_and_removed(here: Published, tmp_path: Path) -> None:
    old = here.publish()
    here.publish(content=b"other")
    with pytest.raises(DigestMismatch) as raised:
        await fetch(here.session, here.download(old), tmp_path / "a")
    text = f"failed to verify archive: computed digest doesn't match provided '{old.digest}'"
    assert str(raised.value).startswith(text)
    assert not (tmp_path / "a").exists()


async def test_a_missing_artifact_is_told_apart(here: Published, tmp_path: Path) -> None:
    stored = here.publish()
    here.store.remove(PATH)
    with pytest.raises(ArtifactMissing) as raised:
        await fetch(here.session, here.download(stored, attempts=5), tmp_path / "a")
    assert str(raised.value) == f"failed to download archive from {here.base}/{PATH} (status: 404)"


async def test_an_artifact_that_goes_while_it_is_downloaded_arrives(here: Published, tmp_path: Path) -> None:
    """F20: an open file outlives its name."""
    stored = here.publish()
    async with here.session.get(f"{here.base}/{PATH}", auto_decompress=False) as response:
        first = await response.content.read(10)
        here.publish(content=b"newer")
        here.store.remove(PATH)
        assert len(first + await response.content.read()) == stored.size_bytes


Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def encoded(_: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"x"), headers={"Content-Encoding": "gzip"})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(1 << 16))


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.abort()
    return response


async def elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:1/")


async def forbidden(_: web.Request) -> web.StreamResponse:
    raise web.HTTPForbidden


HOSTILE: dict[str, tuple[Respond, str]] = {
    "an encoding that nobody asked for": (encoded, "unasked Content-Encoding"),
    "no end": (endless, "over 1 MiB"),
    "half of it": (cut_off, "failed to download archive: "),
    "a redirect": (elsewhere, r"\(status: 302\)"),
    "403": (forbidden, r"\(status: 403\)"),
}


@pytest.mark.parametrize(("respond", "text"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_server_is_not_believed(respond: Respond, text: str, tmp_path: Path) -> None:
    app = web.Application()
    app.router.add_get("/a", respond)
    runner, base = await listen(app)
    order = Download(url=f"{base}/a", digest="sha256:" + "0" * 64, limit_bytes=LIMIT, attempts=1)
    async with aiohttp.ClientSession(trust_env=False) as session:
        with pytest.raises(FetchError, match=text):
            await fetch(session, order, tmp_path / "a")
    await runner.cleanup()
    assert not (tmp_path / "a").exists()


async def test_a_server_that_recovers_is_asked_again(tmp_path: Path) -> None:
    asked = 0

    async def recovering(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise web.HTTPServiceUnavailable
        return web.Response(body=b"")

    app = web.Application()
    app.router.add_get("/a", recovering)
    runner, base = await listen(app)
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    order = Download(url=f"{base}/a", digest=empty, limit_bytes=LIMIT, attempts=5, wait_max_s=0.01)
    async with aiohttp.ClientSession(trust_env=False) as session:
        assert await fetch(session, order, tmp_path / "a") == 0
    await runner.cleanup()
    assert asked == 3


# --- the cache ---


@dataclass
class Counted:
    cache: ArtifactCache
    fetched: list[str]
    unpacked: list[Path]


@pytest.fixture
async def counted(here: Published, tmp_path: Path) -> AsyncIterator[Counted]:
    fetched: list[str] = []
    unpacked: list[Path] = []

    async def download(url: str, digest: str, into: Path) -> None:
        fetched.append(digest)
        await fetch(here.session, Download(url=url, digest=digest, limit_bytes=LIMIT, attempts=1), into)

    def unpack_file(file: Path, into: Path) -> Unpacked:
        with file.open("rb") as raw:
            return unpack(raw, into, limit_bytes=LIMIT)

    async def unpack_counted(file: Path, into: Path) -> Unpacked:
        unpacked.append(into)
        return await asyncio.to_thread(unpack_file, file, into)

    cache = ArtifactCache(tmp_path / "cache", limit_bytes=25_000, fetch=download, unpack=unpack_counted)
    yield Counted(cache, fetched, unpacked)
    await cache.close()
    assert not (tmp_path / "cache").exists()


async def test_many_askers_cost_one_download(here: Published, counted: Counted) -> None:
    stored = here.publish()

    async def ask() -> bytes:
        async with counted.cache.open(f"{here.base}/{PATH}", stored.digest) as content:
            return (content.folder / "a.yaml").read_bytes()

    assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {b"content"}
    assert await ask() == b"content"
    assert (len(counted.fetched), len(counted.unpacked)) == (1, 1)


async def test_who_gives_up_does_not_take_it_from_the_others(here: Published, counted: Counted) -> None:
    stored = here.publish()

    async def ask() -> bytes:
        async with counted.cache.open(f"{here.base}/{PATH}", stored.digest) as content:
            return (content.folder / "a.yaml").read_bytes()

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"content"
    assert len(counted.fetched) == 1


async def test_a_failure_is_not_kept(here: Published, counted: Counted) -> None:
    stored = here.publish()
    here.store.remove(PATH)
    with pytest.raises(ArtifactMissing):
        async with counted.cache.open(f"{here.base}/{PATH}", stored.digest):
            pass
    here.publish()
    async with counted.cache.open(f"{here.base}/{PATH}", stored.digest) as content:
        assert set(content.tree.files) == {"a.yaml"}


async def test_what_nobody_uses_goes_first(here: Published, counted: Counted) -> None:
    stored = [here.publish(f"gitrepository/ns/app/{n}.tar.gz", bytes([n]) * 10_000) for n in range(4)]

    async def touch(n: int) -> None:
        async with counted.cache.open(f"{here.base}/{stored[n].path}", stored[n].digest):
            pass

    async with counted.cache.open(f"{here.base}/{stored[0].path}", stored[0].digest) as used:
        for n in (1, 2, 3):
            await touch(n)
        assert (used.folder / "a.yaml").exists(), "in use, so it stays however old"
        assert counted.cache.size_bytes <= 25_000
    await touch(0)
    await touch(3)
    assert len(counted.fetched) == 4, "the two that were used last are still here"
    await touch(1)
    assert len(counted.fetched) == 5


async def test_an_error_of_the_reader_forgets_nothing(here: Published, counted: Counted) -> None:
    stored = here.publish()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with counted.cache.open(f"{here.base}/{PATH}", stored.digest):
                raise RuntimeError
    assert len(counted.fetched) == 1
