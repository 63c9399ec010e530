"""A commit's tree, read from objects and never checked out.

Names come from whoever can push, so each is judged by our own list, the same on every system
(reliability.md A18). What no file system could hold as one name, or what contradicts itself, refuses the
commit; what is only dangerous or not portable (`.git` in all its spellings, control characters,
backslashes), and what an artifact cannot carry (links, submodules), is left out and reported.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.git.errors import ObjectRefused, TooLarge
from shared.git.objects import BLOB, COMMIT, TAG, TREE, Objects

ENTRIES_MAX = 100_000  # paths of one commit; a tree of 2 KB can describe 10^10 (reliability.md A20)
DEPTH_MAX = 200  # nested folders: PATH_MAX ends sooner for honest names
_NAME_BYTES_MAX = 255  # NAME_MAX of every file system that we write to
SUBMODULE = "submodule"
_FOLDER, _LINK, _GITLINK = 0o040000, 0o120000, 0o160000
# NTFS short names of .git, and what HFS+ and NTFS drop from names before they compare
_GIT_SHORT = re.compile(r"git~[0-9]+", re.IGNORECASE)
_MODE = re.compile(rb"[0-7]{1,7}")
_NOT_PORTABLE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or a file of the tree; `path` has no leading or trailing slash."""

    path: str
    folder: bool
    executable: bool
    object_id: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    path: str
    why: str  # "symbolic link", `SUBMODULE`, …
    commit: str = ""  # that a submodule is to have


@dataclass(frozen=True, slots=True)
class Commit:
    tree: str
    parents: tuple[str, ...]
    subject: str  # first line of the message
    committed_s: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder."""

    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]


Listings = Mapping[tuple[str, str], Listing]  # by object id and path: both are in what a listing says


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one commit holds."""

    commit: Commit
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    listings: Listings


def snapshot(objects: Objects, commit: str, known: Listings | None = None, *, below: str = "") -> Snapshot:
    """List the whole tree of `commit`, folders before their content.

    Args:
        known: listings of an earlier commit, which need not be read again.
        below: folder in which all paths lie, with a slash at its end.

    Raises:
        ObjectRefused: names the path and what is wrong with it. Incomplete: an object is missing.
        TooLarge: more than `ENTRIES_MAX` paths.
    """
    found = read_commit(objects, commit)
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    listings: dict[tuple[str, str], Listing] = {}
    folders = [(below, found.tree, 0)]
    while folders:
        path, object_id, depth = folders.pop()
        room = ENTRIES_MAX - len(entries) - len(left_out)
        listing = (known or {}).get((object_id, path)) or _listing(objects, path, object_id, room)
        if len(listing.entries) + len(listing.left_out) > room:
            raise _too_many()
        listings[object_id, path] = listing
        entries += listing.entries
        left_out += listing.left_out
        for entry in listing.entries:
            if entry.folder:
                if depth >= DEPTH_MAX:
                    raise TooLarge(f"folders are nested deeper than {DEPTH_MAX} at '{path[:80]}…'")
                folders.append((entry.path + "/", entry.object_id, depth + 1))
    return Snapshot(found, tuple(entries), tuple(left_out), listings)


def read_commit(objects: Objects, commit: str) -> Commit:
    """Parse a commit object; `commit` may also name an annotated tag of one."""
    for _ in range(5):  # tags of tags; Git itself sets no limit
        kind, data = objects.read(commit)
        if kind == COMMIT:
            return _parse_commit(commit, data)
        if kind != TAG:
            break
        commit = _header(commit, data, b"object")[0]
    raise ObjectRefused(f"object {commit} is not a commit; spec.ref must name one")


def read_blob(objects: Objects, object_id: str) -> bytes:
    kind, data = objects.read(object_id)
    if kind != BLOB:
        raise ObjectRefused(f"object {object_id} is listed as a file, but is none; the repository is damaged")
    return data


def reaches(objects: Objects, tips: Sequence[str], commit: str) -> bool:
    """Whether `commit` is one of `tips` or an ancestor of one, as far as `objects` knows the history."""
    seen: set[str] = set()
    ahead = list(tips)
    while ahead:
        one = ahead.pop()
        if one == commit:
            return True
        if one in seen or one not in objects:
            continue
        seen.add(one)
        kind, data = objects.read(one)
        if kind == COMMIT:
            ahead.extend(_header(one, data, b"parent"))
        elif kind == TAG:
            ahead.extend(_header(one, data, b"object"))
    return False


def _listing(objects: Objects, parent: str, object_id: str, room: int) -> Listing:
    """At most `room` entries, for all of a large folder need not fit into memory."""
    kind, data = objects.read(object_id)
    if kind != TREE:
        raise ObjectRefused(
            f"object {object_id} is listed as folder '{parent}', but is none; the repository is damaged"
        )
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    seen: set[bytes] = set()
    last = b""
    for mode, raw, child in _parse_tree(parent, data):
        if raw in seen:
            raise ObjectRefused(
                f"'{parent}{_shown(raw)}' is listed twice in its folder; the repository is damaged"
            )
        seen.add(raw)
        if len(seen) > room:
            raise _too_many()
        why = _structural(raw)
        if why:
            raise ObjectRefused(f"refused entry '{parent}{_shown(raw)}': {why}")
        place = raw + b"/" if mode == _FOLDER else raw  # Git's order of names, which it looks up by halving
        if place < last:
            raise ObjectRefused(
                f"'{parent}{_shown(raw)}' is out of order in its folder; the repository is damaged"
            )
        last = place
        why = _not_carried(mode) or unsafe(raw)
        if why:
            left_out.append(LeftOut(parent + _shown(raw), why))
            continue
        if mode == _GITLINK:
            left_out.append(LeftOut(parent + raw.decode(), SUBMODULE, child))
            continue
        folder = mode == _FOLDER
        entries.append(Entry(parent + raw.decode(), folder, not folder and bool(mode & 0o111), child))
    return Listing(tuple(entries), tuple(left_out))


def _too_many() -> TooLarge:
    return TooLarge(f"the repository has more than {ENTRIES_MAX} files and folders; split it")


def _parse_tree(parent: str, data: bytes) -> Iterator[tuple[int, bytes, str]]:
    """Mode, name and object id of each entry: `<octal mode> <name>\\0<20 bytes>` (Git's tree format)."""
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        end = data.find(b"\0", space + 1)
        if space < 0 or end < 0 or end + 21 > len(data):
            raise ObjectRefused(f"folder '{parent}' is malformed; the repository is damaged")
        if not _MODE.fullmatch(data, position, space):  # `int` would take a sign, an underscore, "0o"
            raise ObjectRefused(f"folder '{parent}' is malformed; the repository is damaged")
        yield int(data[position:space], 8), data[space + 1 : end], data[end + 1 : end + 21].hex()
        position = end + 21


def _structural(raw: bytes) -> str | None:
    if raw in (b"", b".", b".."):
        return "not a name"
    if b"/" in raw:
        return "a slash in a name"
    if len(raw) > _NAME_BYTES_MAX:
        return f"a name of more than {_NAME_BYTES_MAX} bytes"
    return None


def _not_carried(mode: int) -> str | None:
    if mode == _LINK:
        return "symbolic link"
    if mode not in (_FOLDER, _GITLINK) and mode & 0o170000 != 0o100000:
        return f"unknown mode {mode:o}"
    return None


def unsafe(raw: bytes) -> str | None:
    """Why one name of a path is better not written on every system; None for a good one."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return "name is not UTF-8"
    if _NOT_PORTABLE.search(name):
        return "control character or backslash in the name"
    # HFS+ ignores format characters, NTFS ignores what follows a colon and trailing dots and blanks.
    plain = "".join(char for char in name if unicodedata.category(char) != "Cf")
    plain = plain.partition(":")[0].rstrip(". ").casefold()
    if plain == ".git" or _GIT_SHORT.fullmatch(plain):
        return "a spelling of .git"
    return None


def _shown(raw: bytes) -> str:
    return raw[:80].decode("utf-8", "backslashreplace").encode("unicode_escape").decode()


def _parse_commit(commit: str, data: bytes) -> Commit:
    trees = _header(commit, data, b"tree")
    if len(trees) != 1:
        raise ObjectRefused(f"commit {commit} is malformed; the repository is damaged")
    message = data.partition(b"\n\n")[2].decode("utf-8", "replace").lstrip("\n")
    committer = re.search(rb"^committer .* (\d{1,15}) [+-]\d{4}$", data.partition(b"\n\n")[0], re.MULTILINE)
    return Commit(
        tree=trees[0],
        parents=tuple(_header(commit, data, b"parent")),
        subject=message.partition("\n")[0].strip(),
        committed_s=int(committer[1]) if committer else 0,
    )


def _header(owner: str, data: bytes, key: bytes) -> list[str]:
    """Object ids in the header lines `key` of a commit or tag."""
    head = data.partition(b"\n\n")[0]
    values = [line[len(key) + 1 :] for line in head.split(b"\n") if line.startswith(key + b" ")]
    if any(not re.fullmatch(rb"[0-9a-f]{40}", value) for value in values):
        raise ObjectRefused(f"object {owner} is malformed; the repository is damaged")
    return [value.decode() for value in values]
