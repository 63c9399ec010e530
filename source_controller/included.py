"""`spec.include`: content of other repositories' artifacts, laid into this one (behaviour-source.md 2).

The artifact of the other repository lies in our own store. Its bytes are checked against its digest, and
its files go into one file without a name, from which they are read when their turn comes: none of their
names ever reaches the file system.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from shared.artifacts import unpack
from shared.artifacts.store import Store, StoreError
from shared.git.tree import ENTRIES_MAX, Entry, unsafe
from source_controller.content import Part


class Inclusion(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact, and which of it goes where."""

    name: str  # of the other repository's object
    path: str  # of its artifact in the store
    digest: str
    from_path: str  # as the spec has it; "" is all of it
    to_path: str  # with its default


class IncludeFailed(Exception):
    """Reason and message are the contract's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def include(
    wanted: Sequence[Inclusion],
    present: Sequence[Part],
    store: Store,
    *,
    cache: Path,
    limit_bytes: int,
    stack: ExitStack,
) -> list[Part]:
    """A part for each of `wanted`, in its order.

    Args:
        present: what is there already; nothing is laid over it.
        cache: a folder with room for their content, made if it is not there.
        limit_bytes: of all files that are included, together.
        stack: keeps open what the parts read from.

    Raises:
        IncludeFailed: names the included object, and what is wrong.
    """
    if not wanted:
        return []
    taken = {entry.path: entry.folder for part in present for entry in part.entries}
    spool = _Spool(store, cache, limit_bytes, stack)
    parts = []
    for one in wanted:
        source, target = _plain(one, "fromPath", one.from_path), _plain(one, "toPath", one.to_path)
        with _told(one):
            _check_free(target, taken)
            entries = _with_folders(spool.take(one, source, target), taken)
            taken.update((entry.path, entry.folder) for entry in entries)
            if len(taken) > ENTRIES_MAX:
                raise _NotCopied(f"with it there are more than {ENTRIES_MAX} files and folders; include less")
        parts.append(Part(f"included {one.digest} {source} {target}", tuple(entries), spool.read))
    return parts


def _plain(one: Inclusion, field: str, path: str) -> str:
    """The path from the root without dots; "" is the root itself."""
    names: list[str] = []
    for step in path.split("/"):
        if step == ".." and not names:
            raise _illegal(one, f"spec.include[].{field} '{path}' leaves the artifact; name a folder in it")
        if step == "..":
            names.pop()
        elif step not in ("", "."):
            names.append(step)
            why = unsafe(step.encode("utf-8", "surrogateescape"))
            if why is not None:
                raise _illegal(one, f"spec.include[].{field} '{path}': {why}; choose another")
    return "/".join(names)


def _illegal(one: Inclusion, why: str) -> IncludeFailed:
    return IncludeFailed("IllegalPath", f"path calculation for include '{one.name}' failed: {why}")


@contextmanager
def _told(one: Inclusion) -> Iterator[None]:
    doing = f"failed to copy '{one.name}' include from {one.from_path} to {one.to_path}: "
    try:
        yield
    except (_NotCopied, StoreError, unpack.UnpackError) as error:
        raise IncludeFailed("CopyFailure", f"{doing}{error}") from error


class _NotCopied(Exception):
    """Its text goes behind the contract's words."""


def _check_free(target: str, taken: Mapping[str, bool]) -> None:
    names = target.split("/") if target else []
    for depth in range(1, len(names)):
        folder = "/".join(names[:depth])
        if taken.get(folder) is False:
            raise _NotCopied(f"'{folder}' is a file in the artifact; choose another spec.include[].toPath")
    # An empty folder may be filled, as a rename over it would do.
    filled = not target and bool(taken)
    filled = filled or taken.get(target) is False or any(path.startswith(f"{target}/") for path in taken)
    if filled:
        raise _NotCopied(
            f"'{target or '.'}' is in the artifact already; choose another spec.include[].toPath"
        )


def _with_folders(entries: Iterable[Entry], taken: Mapping[str, bool]) -> list[Entry]:
    """The entries that are new, and the folders on the way to them that have no entry yet."""
    new: dict[str, Entry] = {}
    for entry in entries:
        names = entry.path.split("/")
        for depth in range(1, len(names)):
            folder = "/".join(names[:depth])
            new.setdefault(folder, Entry(folder, folder=True, executable=False, object_id=""))
        new[entry.path] = entry
    return [entry for path, entry in new.items() if path not in taken]


class _Spool:
    """The files that are included, in one file without a name."""

    def __init__(self, store: Store, cache: Path, limit_bytes: int, stack: ExitStack) -> None:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = tempfile.TemporaryFile(dir=cache, prefix="included-")  # noqa: SIM115  # the stack closes it
        self._file = stack.enter_context(file)
        self._store = store
        self._limit_bytes = limit_bytes
        self._end = 0
        self._places: dict[str, tuple[int, int]] = {}  # final path -> offset and size

    def take(self, one: Inclusion, source: str, target: str) -> list[Entry]:
        """Keep what lies at and below `source` in an artifact; its entries at and below `target`."""
        entries = []
        found = False
        with self._store.open(one.path, one.digest) as archive:
            for member, pieces in unpack.read(archive, limit_bytes=self._limit_bytes):
                rest = _rest(member.path, source)
                found = found or rest is not None
                final = "/".join(name for name in (target, rest) if name)
                if rest is not None and final:
                    entries.append(Entry(final, member.folder, member.executable, object_id=""))
                    self._keep(final, member.size, pieces)
        if not found:
            raise _NotCopied(f"there is no '{source}' in its artifact; correct spec.include[].fromPath")
        return entries

    def _keep(self, path: str, size: int, pieces: Iterator[bytes]) -> None:
        if self._end + size > self._limit_bytes:
            raise _NotCopied(f"what is included exceeds {self._limit_bytes >> 20} MiB; include less of it")
        self._places[path] = (self._end, size)
        self._file.seek(self._end)
        for piece in pieces:
            self._file.write(piece)
        self._end += size

    def read(self, entry: Entry) -> bytes:
        offset, size = self._places[entry.path]
        self._file.seek(offset)
        return self._file.read(size)


def _rest(path: str, source: str) -> str | None:
    """The path from `source` on; None if it does not lie there."""
    plain = "" if path == "." else path
    if not source:
        return plain
    if plain == source:
        return ""
    return plain.removeprefix(source + "/") if plain.startswith(source + "/") else None
