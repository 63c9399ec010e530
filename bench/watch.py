"""The bench's own connection to the API server: writes over kept connections, and three watches.

It shares nothing with the controllers' client, so that a fault there cannot hide itself here.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from bench.board import Board
from bench.load import MARKER_KEY, MARKER_LABEL

USER_AGENT = "headrace-bench"
REPOSITORIES = "/apis/source.toolkit.fluxcd.io/v1/gitrepositories"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"
_CREATING = 16  # requests in flight while the load is created
_MERGE = "application/merge-patch+json"


class WatchBroken(Exception):
    """A watch ended: what was measured since is worthless."""


class Refused(Exception):
    """The API server answered the bench with an error."""


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class _Meta(_Struct, frozen=True):
    name: str
    generation: int = 0


class _Condition(_Struct, frozen=True):
    type: str
    status: str
    message: str = ""


class _Artifact(_Struct, frozen=True):
    revision: str = ""


class _Status(_Struct, frozen=True):
    conditions: Sequence[_Condition] = ()
    observed_generation: int = 0
    last_applied_revision: str = ""
    artifact: _Artifact | None = None


class Watched(_Struct, frozen=True):
    """The fields of a watched object that tell how far it is; other kinds leave theirs empty."""

    metadata: _Meta
    status: _Status = _Status()
    data: Mapping[str, str] = {}


class _Event(_Struct, frozen=True):
    type: str
    object: msgspec.Raw


_event = msgspec.json.Decoder(_Event)
_watched = msgspec.json.Decoder(Watched)


def repository_value(obj: Watched) -> str:
    """The revision of the artifact."""
    return obj.status.artifact.revision if obj.status.artifact else ""


def kustomization_value(obj: Watched) -> str:
    """The revision that is applied and Ready; otherwise what it says of itself."""
    ready = next((one for one in obj.status.conditions if one.type == "Ready"), None)
    if ready is None:
        return "no status"
    if ready.status != "True" or obj.status.observed_generation != obj.metadata.generation:
        return f"Ready={ready.status}: {ready.message}"
    return obj.status.last_applied_revision


def marker_value(obj: Watched) -> str:
    return obj.data.get(MARKER_KEY, "")


class Cluster:
    """A context manager. While it is open, three boards show what the cluster holds."""

    def __init__(self, url: str, authority_pem: bytes, token: str) -> None:
        context = ssl.create_default_context(cadata=authority_pem.decode())
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": USER_AGENT}
        self._tls = context
        self.repositories = Board("GitRepositories")
        self.kustomizations = Board("Kustomizations")
        self.markers = Board("markers")
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            headers=self._headers,
            read_bufsize=1 << 22,  # a watch event is one line, and must fit
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            trust_env=False,
        )
        watches: list[tuple[str, dict[str, str], Board, Callable[[Watched], str]]] = [
            (REPOSITORIES, {}, self.repositories, repository_value),
            (KUSTOMIZATIONS, {}, self.kustomizations, kustomization_value),
            ("/api/v1/configmaps", {"labelSelector": MARKER_LABEL}, self.markers, marker_value),
        ]
        self._tasks = [asyncio.create_task(self._follow(*watch)) for watch in watches]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the cluster has not been entered")
        return self._session

    async def send(
        self, method: str, path: str, body: object, content_type: str = "application/json"
    ) -> None:
        """One request whose answer does not matter. Raises Refused."""
        headers = {"Content-Type": content_type}
        async with self._open.request(
            method, self._url + path, data=msgspec.json.encode(body), headers=headers
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise Refused(f"{method} {path}: {answer.status} {text[:500]}")

    async def merge(self, path: str, patch: object) -> None:
        await self.send("PATCH", path, patch, _MERGE)

    async def get(self, path: str) -> None:
        async with self._open.get(self._url + path) as answer:
            await answer.read()

    async def create_all(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Create objects, the first ones first, several at a time."""
        left = iter(bodies)

        async def create() -> None:
            for body in left:
                await self.send("POST", path, body)

        await asyncio.gather(*(create() for _ in range(min(_CREATING, len(bodies)))))

    async def _follow(
        self, path: str, query: dict[str, str], board: Board, value: Callable[[Watched], str]
    ) -> None:
        try:
            await self._watch(path, query, board, value)
        except (WatchBroken, aiohttp.ClientError, msgspec.MsgspecError, ValueError) as error:
            board.fail(WatchBroken(f"{board.what} cannot be seen any more: {error!r}"))

    async def _watch(
        self, path: str, query: dict[str, str], board: Board, value: Callable[[Watched], str]
    ) -> None:
        asked = {"watch": "true", "timeoutSeconds": "86400", **query}
        async with self._open.get(self._url + path, params=asked) as answer:
            if answer.status != 200:
                raise WatchBroken(f"watch of {path}: {answer.status} {await answer.text()}")
            async for line in answer.content:
                event = _event.decode(line)
                if event.type not in ("ADDED", "MODIFIED", "DELETED"):
                    raise WatchBroken(f"watch of {path}: {line[:500]!r}")
                obj = _watched.decode(event.object)
                board.post(obj.metadata.name, "" if event.type == "DELETED" else value(obj))
        raise WatchBroken(f"the watch of {path} ended")
