"""`spec.sparseCheckout`: the folders of a repository that belong into its artifact. Pure.

Each is a folder or a file of the repository; a leading `./` does not count (behaviour-source.md 2). Without
any, everything belongs.
"""

from collections.abc import Iterable, Iterator, Sequence

from shared.git.errors import GitError
from shared.git.tree import Entry


class SparseMissing(GitError):
    """A folder that the spec lists is not in the commit."""


class Sparse:
    """Args: listed: as the spec has them."""

    def __init__(self, listed: Sequence[str] = ()) -> None:
        self._listed = tuple(listed)
        folders = [_plain(folder) for folder in listed]
        self._at = frozenset(folders)  # "" is all of it
        self._above = frozenset(parent for folder in folders for parent in _parents(folder))

    def includes(self, path: str) -> bool:
        """Whether `path` is one of those listed, or lies below one."""
        if not self._listed or "" in self._at or path in self._at:
            return True
        return any(parent in self._at for parent in _parents(path))

    def leads_to(self, path: str) -> bool:
        """Whether one of those listed lies below the folder `path`."""
        return path in self._above

    def select(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        """What is included, and the folders on the way to it."""
        if not self._listed:
            return tuple(entries)
        return tuple(
            entry
            for entry in entries
            if self.includes(entry.path) or (entry.folder and self.leads_to(entry.path))
        )

    def check(self, entries: Iterable[Entry]) -> None:
        """Raises: SparseMissing: the first of those listed that is not among `entries`."""
        if not self._listed:
            return
        paths = {"", *(entry.path for entry in entries)}
        for told in self._listed:
            if _plain(told) not in paths:
                raise SparseMissing(
                    "failed to sparse checkout directories : sparse checkout dir "
                    f"'{told.removeprefix('./')}' does not exist in repository: push it or correct "
                    "spec.sparseCheckout"
                )


def _plain(folder: str) -> str:
    """Without `./` in front and `/` behind; "" is the whole repository."""
    return "" if folder in (".", "./") else folder.removeprefix("./").rstrip("/")


def _parents(path: str) -> Iterator[str]:
    """The folders that `path` lies in, without the root."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
