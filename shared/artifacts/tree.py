"""What an unpacked artifact holds, by name and digest: enough to tell what a new revision changed.

Names are relative to the artifact's root, with `/`, without a leading `./`; the root folder itself is ".".
Artifacts hold files and folders only, no links.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ROOT", "Tree"]

ROOT = "."


@dataclass(frozen=True, slots=True)
class Tree:
    """The content of one artifact.

    Attributes:
        files: name of each file -> `sha256:<hex>` of its bytes.
        folders: name of each folder -> `sha256:<hex>` of its listing (names and kinds of its entries, not
            their content): it changes when an entry comes, goes, or turns from a file into a folder.
    """

    files: Mapping[str, str]
    folders: Mapping[str, str]

    @classmethod
    def of(cls, files: Mapping[str, str], folders: Iterable[str] = ()) -> Tree:
        """The tree of `files` (name -> digest), their folders, and further, perhaps empty, `folders`."""
        entries: defaultdict[str, set[str]] = defaultdict(set)
        entries[ROOT] = set()
        for name in files:
            _enter(entries, name)
        for name in folders:
            if name != ROOT:
                _enter(entries, name)
                entries[name].update()
        listings = {
            folder: {f"{'folder' if _join(folder, entry) in entries else 'file'} {entry}" for entry in listed}
            for folder, listed in entries.items()
        }
        return cls(dict(files), {folder: _digest(listing) for folder, listing in listings.items()})


def _enter(entries: defaultdict[str, set[str]], name: str) -> None:
    while name:
        folder, _, entry = name.rpartition("/")
        listed = entries[folder or ROOT]
        if entry in listed:
            return
        listed.add(entry)
        name = folder


def _join(folder: str, entry: str) -> str:
    return entry if folder == ROOT else f"{folder}/{entry}"


def _digest(listing: set[str]) -> str:
    # A name may hold any character but NUL and "/".
    return (
        "sha256:" + hashlib.sha256("\0".join(sorted(listing)).encode("utf-8", "surrogateescape")).hexdigest()
    )
