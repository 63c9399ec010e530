"""What a child remembers of the last revision of each repository, so that a small commit costs little.

An object id names its content, so what was read of one revision holds for the next: the listing of a
folder, whether a path is left out (as long as the patterns are the same), and a file as it stands in an
archive. Only what the last revision used is kept, and nothing of one repository is used for another,
submodules included: SHA-1 is not trusted to keep strangers apart. Without any of it the archive is the
same, only slower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.artifacts import archive
from shared.artifacts.ignore import Rules
from shared.git.tree import Entry, Listings
from source_controller.content import Part

LIMIT_BYTES = 64 << 20  # 40,000 files of 500 bytes; twice that while a revision is made
_PATH_BYTES = 700  # of Python's objects for one path, without its text and content; measured with 8,000 files


@dataclass(slots=True)
class _Known:
    """A path of a revision; `block` is None for a path that is left out, and where there was no room."""

    origin: str
    entry: Entry
    excluded: bool
    block: archive.Block | None = None

    def is_of(self, origin: str, entry: Entry) -> bool:
        return self.origin == origin and (self.entry is entry or self.entry == entry)


class Revision:
    """One revision of a repository, made with what is known of an earlier one."""

    def __init__(
        self, parts: Sequence[Part], rules: Rules, before: "Revision | None", *, limit_bytes: int
    ) -> None:
        self.listings: Mapping[str, Listings] = {part.origin: part.listings for part in parts}
        self.rules = rules
        self._limit_bytes = limit_bytes
        known = before._paths if before is not None and before.rules == rules else {}
        self._paths: dict[str, _Known] = {}
        self.size_bytes = 0
        for part in parts:
            for entry in part.entries:
                one = known.get(entry.path)
                if one is None or not one.is_of(part.origin, entry):
                    excluded = rules.excludes(entry.path, folder=entry.folder)
                    one = _Known(part.origin, entry, excluded)
                self._paths[entry.path] = one
                self.size_bytes += _PATH_BYTES + len(entry.path)

    def includes(self, entry: Entry) -> bool:
        """Whether an entry of one of the parts belongs into the artifact."""
        return not self._paths[entry.path].excluded

    def encode(self, member: archive.Member) -> archive.Block:
        """`archive.encode`, unless the member is known."""
        one = self._paths[member.path]
        block = one.block or archive.encode(member)
        size = len(block.head) + len(block.body)
        one.block = block if self.size_bytes + size <= self._limit_bytes else None
        if one.block is not None:
            self.size_bytes += size
        return block


class Memory:
    """The last revisions of the repositories that were published last, within `limit_bytes` together."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._last: dict[str, Revision] = {}  # by cache folder; least recently published first

    def of(self, repository: str) -> Revision | None:
        return self._last.get(repository)

    def keep(self, repository: str, revision: Revision) -> None:
        """In place of the one before; others go while all together are too large."""
        self._last.pop(repository, None)
        self._last[repository] = revision
        while self.size_bytes > self.limit_bytes:
            del self._last[next(iter(self._last))]

    @property
    def size_bytes(self) -> int:
        return sum(revision.size_bytes for revision in self._last.values())
