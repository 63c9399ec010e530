"""What was fetched of one repository: a folder of packs, and the last commit that is complete in it.

Not a Git repository: no references, no configuration, no `shallow` file. dulwich announces what we have
only from local references, and its `.git/shallow` grows by a line with every shallow fetch; one file,
`head`, does for both: it names the newest commit whose whole tree is here, which is also the one shallow
boundary that the next fetch announces. The folder may be removed at any time; the next fetch then transfers
everything.
"""

import contextlib
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, NoIndexPresent
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, RawObjectID
from dulwich.pack import Pack

from shared.git.errors import ObjectRefused, TooLarge
from shared.git.pack import Bases, PackLimits, check_chains, inspect

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4  # pack type numbers
_PACKS_MAX = (
    50  # then the folder starts over: a lookup asks every pack (a guess, about two months of daily pushes)
)
_BYTES_MAX = 4 << 30  # the same for what they take on the disk: twice what one fetch may bring
_HEX40 = re.compile(r"[0-9a-f]{40}")
_OBJECTS = "objects"


# What a lookup raises when a pack is gone, cut off, or has a flipped bit.
_DAMAGE = (
    LookupError,
    ValueError,
    AssertionError,
    zlib.error,
    ChecksumMismatch,
    ApplyDeltaError,
    NoIndexPresent,
)


class Incomplete(ObjectRefused):
    """An object that the commit needs is not here: the folder is damaged or the server sent too little."""


class Objects:
    """The objects of one repository below `folder`, which is created when the first pack arrives."""

    def __init__(self, folder: Path, limits: PackLimits = PackLimits()) -> None:  # noqa: B008  # frozen
        self._folder = folder
        self._limits = limits
        self._store: DiskObjectStore | None = None

    @property
    def head(self) -> str | None:
        """The newest commit that is complete here, as 40 hex characters."""
        try:
            text = (self._folder / "head").read_text().strip()
        except FileNotFoundError:
            return None
        return text if _HEX40.fullmatch(text) else None

    def complete(self, commit: str) -> None:
        """Remember that `commit` and its tree are here."""
        new = self._folder / "head.tmp"
        new.write_text(commit + "\n")
        new.replace(self._folder / "head")

    def discard(self) -> None:
        """Forget everything; `head` first, so that a kill on the way leaves nothing that claims to be
        whole."""
        self.close()
        (self._folder / "head").unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def size_bytes(self) -> int:
        """Of the packs on the disk."""
        return sum(pack.stat().st_size for pack in self._packs())

    def discard_if_crowded(self) -> None:
        if len(self._packs()) >= _PACKS_MAX or self.size_bytes > _BYTES_MAX:
            self.discard()

    def _packs(self) -> list[Path]:
        return list((self._folder / _OBJECTS / "pack").glob("*.pack"))

    def close(self) -> None:
        if self._store is not None:
            # An error that is being handled may still hold a view of a mapped pack, which then cannot be
            # closed here; letting go of the store releases it as soon as that error is gone.
            with contextlib.suppress(BufferError):
                self._store.close()
            self._store = None

    @contextmanager
    def incoming(self) -> Iterator[IO[bytes]]:
        """A spool on the same disk for a pack that arrives; removed afterwards."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=self._folder, prefix="incoming-") as spool:
            yield spool

    def add_pack(self, pack: IO[bytes]) -> None:
        """Look through a (thin) pack that lies complete in `pack`, and index it.

        Raises:
            TooLarge: beyond the limits of a pack, or an object does not fit in memory.
            RemoteError: it is no pack, or damaged.
        """
        self._sweep()
        bases = inspect(pack, self._limits)
        pack.seek(0)
        try:
            added = self._objects.add_thin_pack(pack.read, None)
        except MemoryError as error:
            raise TooLarge(
                "an object of the repository does not fit in memory; take large files out of it"
            ) from error
        finally:
            self._sweep()
        self._check_chains(added, bases)

    def _check_chains(self, added: Pack, bases: Bases) -> None:
        def offset_of(object_id: bytes) -> int | None:
            try:
                return added.index.object_offset(RawObjectID(object_id))
            except KeyError:
                return None

        try:
            check_chains(bases, offset_of, self._limits)
        except TooLarge:  # it is in its place by now, and nobody shall read it
            index = self._folder / _OBJECTS / "pack" / f"pack-{added.name().decode()}.idx"
            self.close()
            index.unlink(missing_ok=True)
            self._sweep()
            raise

    def _sweep(self) -> None:
        """Remove what a failed or killed indexing leaves: dulwich's temporary pack, the lock of an index,
        which would refuse every later try, and a pack without its index. Safe, since each folder has one
        writer."""
        objects = self._folder / _OBJECTS
        packs = objects / "pack"
        leftovers = [*objects.glob("tmp_pack_*"), *packs.glob("*.lock")]
        leftovers += [pack for pack in self._packs() if not pack.with_suffix(".idx").exists()]
        for path in leftovers:
            path.unlink(missing_ok=True)

    def read(self, object_id: str) -> tuple[int, bytes]:
        """Type number and content of an object.

        Raises:
            Incomplete: it is not here.
        """
        try:
            return self._objects.get_raw(ObjectID(object_id.encode()))
        except _DAMAGE:
            raise Incomplete(
                f"object {object_id} is missing or damaged; everything is fetched again"
            ) from None

    def __contains__(self, object_id: str) -> bool:
        """Raises: Incomplete: an index is damaged."""
        try:
            return ObjectID(object_id.encode()) in self._objects
        except _DAMAGE:
            raise Incomplete("the fetched objects are damaged; everything is fetched again") from None

    @property
    def _objects(self) -> DiskObjectStore:
        if self._store is None:
            path = self._folder / _OBJECTS
            if (path / "pack").is_dir():
                self._store = DiskObjectStore(path)
            else:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.rmtree(path, ignore_errors=True)  # a kill while it was made
                self._store = DiskObjectStore.init(path)
        return self._store
