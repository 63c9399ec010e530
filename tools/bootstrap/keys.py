"""Under which key a result is kept: a digest over all that shapes it, so that a change makes a new one."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tools.bootstrap.catalogue import Tool

LENGTH = 16  # hex digits; a key separates configurations of one user, it is no protection


def digest_of(parts: Mapping[str, bytes]) -> str:
    """Digest named parts. Lengths go in too: a byte that moves from one part to the next changes the key."""
    hashed = hashlib.sha256()
    for name in sorted(parts):
        for piece in (name.encode(), parts[name]):
            hashed.update(f"{len(piece)}:".encode() + piece)
    return hashed.hexdigest()[:LENGTH]


def binary_key(tool: Tool, sources: Mapping[str, bytes], platform: str) -> str:
    """Give the key of a binary.

    The Go version is not part of it: any that go.mod admits will do, and an upgrade of Go rebuilds nothing.

    Args:
        sources: content by path of what it is compiled from, see `sources_of`.
    """
    build = {"": f"{tool.package}\0{tool.version}\0{tool.ldflags}\0{platform}".encode()}
    return f"{tool.name}-{digest_of(build | dict(sources))}"


def venv_key(lock: bytes, python: tuple[int, int], platform: str) -> str:
    return f"py{python[0]}.{python[1]}-{digest_of({'lock': lock, 'platform': platform.encode()})}"


def sources_of(folder: Path, *, ours: bool) -> dict[str, bytes]:
    """Read what a tool of the family `folder` is compiled from.

    go.mod and go.sum pin other people's code; for our own, all files but the tests count, embedded ones too.
    """
    if not ours:
        return {name: (folder / name).read_bytes() for name in ("go.mod", "go.sum")}
    paths = (path for path in folder.rglob("*") if path.is_file() and "testdata" not in path.parts)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if not path.name.endswith("_test.go") and not path.name.startswith(".")
    }
