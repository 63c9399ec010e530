"""The file store: where artifacts lie until nobody needs them.

Layout, names and modes are the contract's (behaviour-source.md 1.6): `<kind>/<namespace>/<name>/<file>`
below the root, folders 0700, files 0600, a lock file beside each artifact. An artifact appears whole or not
at all: it is written under a temporary name, synced, and renamed; a kill at any point leaves the old one,
and a temporary file that `sweep` or garbage collection removes.

What may be deleted follows from one rule: status names what consumers may ask for. The artifact that status
names is never removed here, and the one or few before it stay for those who read an old status.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from shared.artifacts.digest import Digester, DigestError, digest_file

_TEMPORARY = ".tmp"
_LOCK = ".lock"
_WALK_MAX = 1000  # files looked at in one collection


class StoreError(Exception):
    """The store cannot be read or written; names the path, and the free space where that is the reason."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was published."""

    path: str  # relative to the root
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a collection leaves. The artifact that status names stays in any case.

    Attributes:
        ttl_s: age beyond which an old artifact goes.
        records: artifacts that may stay, the current one among them (Flux counts it too).
    """

    ttl_s: float = 60.0
    records: int = 2


def folder_of(kind: str, namespace: str, name: str) -> str:
    return f"{kind.lower()}/{namespace}/{name}"


def lies_in(path: str, folder: str) -> bool:
    """Whether the artifact `path` is one of the object whose folder is `folder`.

    A path comes from a status: who can write one must not lead us to another object's artifacts (A23).
    """
    parent, _, name = path.rpartition("/")
    return parent == folder and name not in ("", ".", "..")


class Store:
    def __init__(self, root: Path, *, algorithm: str = "sha256") -> None:
        """Raises: DigestError: unknown algorithm."""
        Digester(algorithm)
        self._root = root
        self._algorithm = algorithm
        self._verified: dict[str, tuple[int, int, int, str]] = {}  # path -> inode, size, mtime_ns, digest

    @contextmanager
    def publish(self, path: str) -> Iterator["Draft"]:
        """Write the artifact at `path`; it takes its place when the block ends without an exception.

        Raises:
            StoreError: the file system refused; nothing changed.
        """
        final = self._at(path)
        with _explained(final):
            _make_folder(final.parent)
            descriptor, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.", suffix=_TEMPORARY)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                draft = Draft(file, Digester(self._algorithm), path)
                yield draft
                with _explained(final):
                    file.flush()
                    os.fsync(file.fileno())
            with _explained(final), _locked(final):
                temporary.replace(final)  # mkstemp made it 0600
                _sync_folder(final.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def holds(self, path: str, digest: str, size_bytes: int | None) -> bool:
        """Whether the artifact is here and its bytes match its digest.

        The bytes are read only if the file is not the one that was verified before, by inode, size and time.
        """
        try:
            with self._at(path).open("rb") as file:
                seen = os.fstat(file.fileno())
                identity = (seen.st_ino, seen.st_size, seen.st_mtime_ns, digest)
                if self._verified.get(path) == identity:
                    return True
                if size_bytes is not None and seen.st_size != size_bytes:
                    return False
                intact = digest_file(file, digest.partition(":")[0]).matches(digest)
        except (OSError, StoreError, DigestError):
            return False
        if intact:
            self._verified[path] = identity
        return intact

    @contextmanager
    def open(self, path: str, digest: str) -> Iterator[BinaryIO]:
        """The bytes of an artifact, once they were found to match `digest`.

        The file may lose its name, or the name get another file, while it is read.

        Raises:
            StoreError: it is not here, or damaged.
        """
        target = self._at(path)
        with _explained(target), target.open("rb") as file:
            try:
                intact = digest_file(file, digest.partition(":")[0]).matches(digest)
            except DigestError as error:
                raise StoreError(f"{target}: {error}") from error
            if not intact:
                raise StoreError(f"{target}: it does not have the digest {digest}; it is published again")
            file.seek(0)
            yield file

    def exists(self, path: str) -> bool:
        try:
            return self._at(path).is_file()
        except StoreError:
            return False

    def remove(self, path: str) -> None:
        """Remove one artifact, damaged or not, and its lock."""
        target = self._at(path)
        self._verified.pop(path, None)
        with _explained(target):
            target.unlink(missing_ok=True)
            _lock_of(target).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove everything of one object, after it was deleted."""
        target = self._at(folder)
        for path in [path for path in self._verified if path.startswith(folder + "/")]:
            del self._verified[path]
        with _explained(target), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(target)

    def collect(
        self, folder: str, *, keep: str | None, retention: Retention, now_s: float | None = None
    ) -> list[str]:
        """Remove old artifacts of one object; return the names of those removed.

        Args:
            keep: path of the artifact that status names, if it names one.
            now_s: seconds since 1970, compared with the times of the files.

        Raises:
            StoreError: the folder cannot be read, or a file not removed.
        """
        target = self._at(folder)
        now = time.time() if now_s is None else now_s
        kept = self._at(keep) if keep else None
        with _explained(target):
            aged = sorted(_candidates(target, kept))
            old = [path for changed, path in aged if now - changed > retention.ttl_s]
            young = [path for changed, path in aged if now - changed <= retention.ttl_s]
            finished = [path for path in young if not path.name.endswith(_TEMPORARY)]
            room = retention.records - (1 if kept is not None and kept.is_file() else 0)
            surplus = finished[: max(0, len(finished) - max(0, room))]
            for path in (*old, *surplus):
                path.unlink(missing_ok=True)
                _lock_of(path).unlink(missing_ok=True)
                self._verified.pop(str(path.relative_to(self._root)), None)
        return [path.name for path in (*old, *surplus)]

    def sweep(self) -> None:
        """Remove what a killed writer left behind. Only at start, before anything is written."""
        with _explained(self._root):
            _make_folder(self._root)
            for path in self._root.rglob(f".*{_TEMPORARY}"):
                path.unlink(missing_ok=True)

    def _at(self, path: str) -> Path:
        """The file of `path`, which may come from a status that others can write."""
        names = path.split("/")
        if any(name in ("", ".", "..") or "\0" in name for name in names):
            raise StoreError(f"'{path}' is not a path in the artifact store")
        return self._root.joinpath(*names)


class Draft:
    """An artifact that is being written; digest and size are final when the block of `publish` ends."""

    def __init__(self, file: IO[bytes], digester: Digester, path: str) -> None:
        self._file = file
        self._digester = digester
        self._path = path
        self._shown = Path(path)

    def write(self, data: bytes) -> int:
        with _explained(self._shown):
            self._file.write(data)
        self._digester.update(data)
        return len(data)

    @property
    def stored(self) -> Stored:
        return Stored(self._path, self._digester.digest, self._digester.size_bytes)


def _candidates(folder: Path, keep: Path | None) -> Iterator[tuple[float, Path]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _WALK_MAX:
                return
            path = folder / entry.name
            if path == keep or entry.name.endswith(_LOCK) or not entry.is_file(follow_symlinks=False):
                continue
            yield entry.stat(follow_symlinks=False).st_mtime, path


def _make_folder(folder: Path) -> None:
    """With its parents, all of them 0700: `mkdir` gives the mode to the last one only."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(exist_ok=True, mode=0o700)


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps two writers of one artifact apart, should two processes believe that they lead."""
    with _lock_of(path).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}{_remedy(error, path)}") from error


def _remedy(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f" ({_free(path)} MiB free; give --storage-path more room)"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "; --storage-path must be writable by this process"
    return ""


def _free(path: Path) -> int:
    for folder in (path, *path.parents):
        if folder.exists():
            return shutil.disk_usage(folder).free >> 20
    return 0
