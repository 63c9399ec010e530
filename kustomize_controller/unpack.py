"""Unpacking artifacts in a child process that can be killed: the archive's bytes are a stranger's."""

import sys
from pathlib import Path

import msgspec

from shared.artifacts.tree import Tree
from shared.artifacts.unpack import Unpacked
from shared.runtime.child import Child, ChildFailure

TIME_S = 60.0
MEMORY_BYTES = 256 << 20  # it streams: the names and digests of 50,000 files are the largest thing it holds


class UnpackFailed(Exception):
    """The archive is unsafe, broken or too large; says which member and why."""


class _Answer(msgspec.Struct):
    files: dict[str, str]
    folders: dict[str, str]
    size_bytes: int


class Unpacker:
    """One child process, started with the first archive."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        argv = [sys.executable, "-m", "kustomize_controller.worker"]
        # The child inherits no environment; it needs to find this package wherever it is installed.
        env = {"PYTHONPATH": str(Path(__file__).parent.parent)}
        self._child = Child(argv, name="unpacker", env=env, memory_limit_bytes=MEMORY_BYTES)

    async def unpack(self, archive: Path, into: Path) -> Unpacked:
        """Fill the empty folder `into` from `archive`.

        Raises:
            UnpackFailed: `into` is to be removed.
        """
        args = {"archive": str(archive), "into": str(into), "limit_bytes": self._limit_bytes}
        try:
            answer = await self._child.call("unpack", args, timeout_s=TIME_S)
        except ChildFailure as error:
            raise UnpackFailed(f"failed to untar artifact: {error}") from error
        return decode(answer)

    async def close(self) -> None:
        await self._child.close()


def decode(answer: msgspec.Raw) -> Unpacked:
    found = msgspec.json.decode(answer, type=_Answer)
    return Unpacked(size_bytes=found.size_bytes, tree=Tree(found.files, found.folders))
