"""The cache folder: where everything lives that `./run` brings, and how much of it there is.

headrace/
    lock                      held while something is being built
    checked.json              which files were verified, and their state then (see `checked.py`)
    venvs/KEY/                virtual environments; `complete` is written last
    go/toolchain-VERSION/     the Go toolchain from the package index, if PATH has none
    go/mod, go/build          Go's module and build caches, unless GOMODCACHE, GOCACHE say otherwise
    binaries/NAME-KEY/        one compiled binary and its record.json
    sets/KEY/                 links to all binaries of one configuration; commands get this folder
    logs/, tmp/               output of the last try of each step; Go's work folder
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Cache:
    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def checked(self) -> Path:
        return self.root / "checked.json"

    @property
    def venvs(self) -> Path:
        return self.root / "venvs"

    @property
    def go(self) -> Path:
        return self.root / "go"

    @property
    def binaries(self) -> Path:
        return self.root / "binaries"

    @property
    def sets(self) -> Path:
        return self.root / "sets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


def locate(environ: Mapping[str, str]) -> Cache:
    """Give the cache that the environment names.

    Source: XDG Base Directory Specification 0.8: a relative XDG_CACHE_HOME is invalid and is ignored.
    """
    named = environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):
        return Cache(Path(named) / "headrace")
    try:
        return Cache(Path.home() / ".cache" / "headrace")
    except RuntimeError as error:
        raise Trouble("This user has no home folder.", "Set XDG_CACHE_HOME to a folder of yours.") from error


def prepare(cache: Cache) -> None:
    """Make the folders that a build writes to; raise Trouble if that is not allowed."""
    try:
        for folder in (cache.venvs, cache.go, cache.binaries, cache.sets, cache.logs, cache.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        # Folders may be there from another user's run: only a write tells whether they are ours.
        probe = cache.tmp / f"probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise Trouble(
            f"The cache {cache.root} cannot be written to: {error.strerror or error}.",
            "Make it yours (a run as root may have made it), or set XDG_CACHE_HOME to a folder that is.",
        ) from error
    if os.statvfs(cache.root).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise Trouble(
            f"The cache {cache.root} is on a disk mounted `noexec`: what is built there could not be run.",
            "Set XDG_CACHE_HOME to a folder on another disk.",
        )


def size_bytes(path: Path) -> int:
    """Give the bytes that a file or folder takes on disk; what vanishes meanwhile counts nothing."""
    total = 0
    pending = [path]
    while pending:
        try:
            entry = pending.pop()
            stat = entry.lstat()
            total += stat.st_blocks * 512  # POSIX: st_blocks counts units of 512 bytes
            if entry.is_dir() and not entry.is_symlink():
                pending.extend(entry.iterdir())
        except OSError:
            continue
    return total
