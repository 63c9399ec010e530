"""The consumer's cache: each artifact is downloaded once, unpacked once, and shared read-only by all who ask.

Keyed by digest, so two objects of one source meet here, and a new revision never disturbs who still reads
the old one. Those who ask while it arrives wait for the one download. What nobody uses goes, least recently
used first, when all together exceed the limit. Nothing survives the process: what a folder held is not
believed after a restart.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.artifacts.tree import Tree
from shared.artifacts.unpack import Unpacked

Fetch = Callable[[str, str, Path], Awaitable[object]]  # url, digest, file to write
Unpack = Callable[[Path, Path], Awaitable[Unpacked]]  # archive, empty folder


@dataclass(frozen=True, slots=True)
class Content:
    """An unpacked artifact: read it, never write to it."""

    folder: Path
    tree: Tree


@dataclass(slots=True)
class _Entry:
    task: "asyncio.Task[Unpacked]"
    folder: Path
    users: int = 0

    @property
    def size_bytes(self) -> int:
        """0 while it arrives."""
        failed = not self.task.done() or self.task.cancelled() or self.task.exception() is not None
        return 0 if failed else self.task.result().size_bytes


class ArtifactCache:
    def __init__(self, folder: Path, *, limit_bytes: int, fetch: Fetch, unpack: Unpack) -> None:
        """Take `folder` for our own: what is in it is removed.

        Args:
            limit_bytes: of the unpacked files of artifacts; those in use may exceed it.
            fetch: downloads to a file and verifies the digest.
            unpack: fills an empty folder from an archive; blocks nobody.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._fetch = fetch
        self._unpack = unpack
        self._entries: dict[str, _Entry] = {}  # least recently used first
        self._numbers = 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._entries.values())

    @asynccontextmanager
    async def open(self, url: str, digest: str) -> AsyncIterator[Content]:
        """The content of the artifact, which stays in place until the block ends.

        Raises:
            What `fetch` and `unpack` raise; nothing is kept then, and the next one who asks tries again.
        """
        entry = self._entries.pop(digest, None)
        if entry is None:
            self._numbers += 1
            place = self._folder / str(self._numbers)
            entry = _Entry(
                asyncio.create_task(self._fill(url, digest, place), name=f"artifact {digest}"), place
            )
        self._entries[digest] = entry  # moved to the end: used last
        entry.users += 1
        try:
            # Shielded: the others still want it when one of them is cancelled.
            unpacked = await asyncio.shield(entry.task)
            await self._evict()
            yield Content(entry.folder, unpacked.tree)
        except BaseException:
            if entry.task.done() and (entry.task.cancelled() or entry.task.exception() is not None):
                self._forget(digest, entry)
            raise
        finally:
            entry.users -= 1
            await self._evict()

    async def close(self) -> None:
        """Stop downloads and remove everything."""
        for entry in self._entries.values():
            entry.task.cancel()
        await asyncio.gather(*(entry.task for entry in self._entries.values()), return_exceptions=True)
        self._entries.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _fill(self, url: str, digest: str, place: Path) -> Unpacked:
        archive = place.with_suffix(".tar.gz")
        try:
            await self._fetch(url, digest, archive)
            await asyncio.to_thread(place.mkdir, mode=0o700)
            return await self._unpack(archive, place)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
            raise
        finally:
            await asyncio.to_thread(archive.unlink, missing_ok=True)

    def _forget(self, digest: str, entry: _Entry) -> None:
        if self._entries.get(digest) is entry:
            del self._entries[digest]

    async def _evict(self) -> None:
        excess = self.size_bytes - self._limit_bytes
        for digest, entry in list(self._entries.items()):
            if excess <= 0:
                return
            if entry.users == 0 and entry.task.done():
                excess -= entry.size_bytes
                self._forget(digest, entry)
                await asyncio.to_thread(shutil.rmtree, entry.folder, ignore_errors=True)
