"""What one artifact is made of: the tree of a commit, those of its submodules, and included artifacts.

Each is a `Part`: entries with their final paths, and where their bytes come from. Parts never overlap.
Nothing is checked out; a submodule is a second fetch whose tree is listed below the place that the
superproject gives it (reliability.md A19).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

from shared.git import auth, origin, submodules, tree
from shared.git.auth import Target
from shared.git.errors import (
    AuthError,
    Denied,
    GitError,
    RefMissing,
    RemoteError,
    RepositoryMissing,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from shared.git.objects import Incomplete, Objects
from shared.git.remote import Limits, Remote
from shared.git.tree import Entry, LeftOut, Listings
from source_controller.sparse import Sparse

DEPTH_MAX = 10  # submodules within submodules (behaviour-source.md 2, recurseSubmodules)
SUBMODULES_MAX = 100  # of one artifact; a guess
SUBMODULES_BYTES_MAX = 2 << 30  # of one artifact, in the cache: as much as one repository may send
_UNLISTED = f"submodule that {submodules.FILE_NAME} does not name"
_NOT_FETCHED = "submodule; spec.recurseSubmodules fetches it"


@dataclass(frozen=True, slots=True)
class Part:
    """Entries from one place.

    Attributes:
        origin: names the place; what is known of one is never believed of another. "": the repository itself.
        read: gives the bytes of a file among `entries`, until the artifact is written.
        listings: of the folders, for the next revision.
    """

    origin: str
    entries: tuple[Entry, ...]
    read: Callable[[Entry], bytes]
    listings: Listings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gathered:
    commit: tree.Commit
    parts: tuple[Part, ...]
    left_out: tuple[LeftOut, ...]
    received_bytes: int  # for submodules


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which content, and how to reach what is missing of it."""

    target: Target  # of the repository itself
    timeout_s: float  # of silence on a connection
    cache: Path  # folder of the objects fetched so far
    commit: str
    recurse_submodules: bool
    sparse: Sparse


def gather(wish: Wish, objects: Objects, known: Mapping[str, Listings], stack: ExitStack) -> Gathered:
    """List everything that the wish names; fetch submodules.

    Args:
        objects: hold the wanted commit.
        known: listings of an earlier revision, by origin.
        stack: keeps open what the parts read from.

    Raises:
        GitError: a submodule cannot be had, or a folder that is listed is missing.
    """
    top = tree.snapshot(objects, wish.commit, known.get(""))
    parts: list[Part] = []
    entries = list(top.entries)
    walk = _Submodules(wish, known, stack, len(top.entries))
    if wish.recurse_submodules:
        for part in walk.below(top, objects, _Place("", wish.target.url, 0)):
            entries += part.entries
            parts.append(Part(part.origin, wish.sparse.select(part.entries), part.read, part.listings))
        walk.forget_others()
        left_out = walk.left_out
    else:
        discard(wish.cache)
        left_out = [_as_not_fetched(left) for left in top.left_out]
    wish.sparse.check(entries)
    included = tuple(left for left in left_out if wish.sparse.includes(left.path))
    own = (*wish.sparse.select(top.entries), *_folders_of(included))
    parts.insert(0, Part("", own, partial(_read_blob, objects), top.listings))
    return Gathered(top.commit, tuple(parts), included, walk.received_bytes)


def _as_not_fetched(left: LeftOut) -> LeftOut:
    return LeftOut(left.path, _NOT_FETCHED, left.commit) if left.why == tree.SUBMODULE else left


def _folders_of(left_out: Iterable[LeftOut]) -> tuple[Entry, ...]:
    """A submodule that is not fetched is an empty folder, as after git's clone."""
    return tuple(
        Entry(left.path, folder=True, executable=False, object_id=left.commit)
        for left in left_out
        if left.commit
    )


def _read_blob(objects: Objects, entry: Entry) -> bytes:
    return tree.read_blob(objects, entry.object_id)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a repository is laid down, and where it came from."""

    path: str  # folder, with a slash at its end; "" for the repository itself
    url: str
    depth: int


class _Submodules:
    """Fetches the submodules of one revision, and theirs, each into a cache folder of its own."""

    def __init__(self, wish: Wish, known: Mapping[str, Listings], stack: ExitStack, count: int) -> None:
        """Args: count: paths of the artifact so far."""
        self._count = count
        self._wish = wish
        self._known = known
        self._stack = stack
        self._folder = wish.cache / "modules"
        self._used: set[str] = set()
        self.left_out: list[LeftOut] = []
        self.received_bytes = 0
        self._stored_bytes = 0  # what the submodules so far take on the disk

    def below(self, found: tree.Snapshot, objects: Objects, place: _Place) -> Iterator[Part]:
        """The submodules of `found`, which is laid down at `place`, and theirs."""
        links = [left for left in found.left_out if left.why == tree.SUBMODULE]
        self.left_out += [left for left in found.left_out if left.why != tree.SUBMODULE]
        addresses = _addresses(found, objects, place.path) if links else {}
        for link in links:
            address = addresses.get(link.path.removeprefix(place.path))
            if address is None:
                self.left_out.append(LeftOut(link.path, _UNLISTED, link.commit))
                continue
            if not self._wish.sparse.includes(link.path) and not self._wish.sparse.leads_to(link.path):
                continue
            with _named(link.path, address):
                inner = self._inner(link, address, place)
                fetched = self._fetch(link, inner.url)
            part, snapshot = self._listed(link, inner, fetched)
            self._count += len(part.entries)
            if self._count > tree.ENTRIES_MAX:
                raise TooLarge(
                    f"with its submodules more than {tree.ENTRIES_MAX} files and folders; split it"
                )
            yield part
            yield from self.below(snapshot, fetched, inner)

    def _inner(self, link: LeftOut, address: str, place: _Place) -> _Place:
        if place.depth >= DEPTH_MAX:
            raise TooLarge(f"submodules are nested deeper than {DEPTH_MAX}")
        if len(self._used) >= SUBMODULES_MAX:
            raise TooLarge(f"more than {SUBMODULES_MAX} submodules")
        return _Place(link.path + "/", submodules.resolve(address, place.url), place.depth + 1)

    def _fetch(self, link: LeftOut, url: str) -> Objects:
        """The objects of a submodule, which lie in a folder by path and address, apart from all others."""
        name = sha256(f"{link.path}\n{url}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._used.add(name)
        objects = Objects(self._folder / name)
        self._stack.callback(objects.close)
        if objects.head != link.commit:
            limits = self._left_for(objects)
            with Remote(self._target(url), timeout_s=self._wish.timeout_s, limits=limits) as remote:
                try:
                    remote.fetch_commit(link.commit, objects)
                except TooLarge:
                    # Packs of older commits count too: without them the next run may well have room.
                    discard(self._wish.cache)
                    raise
                except (RemoteError, RefMissing) as error:
                    if origin.same(url, self._wish.target.url):
                        raise
                    raise RemoteError(_of_a_stranger(error, link.commit)) from error
                finally:
                    self.received_bytes += remote.received_bytes
        self._stored_bytes += objects.size_bytes
        return objects

    def _left_for(self, objects: Objects) -> Limits:
        left = max(0, SUBMODULES_BYTES_MAX - self._stored_bytes - objects.size_bytes)
        return Limits(left, f"(what is left of {SUBMODULES_BYTES_MAX >> 20} MiB for all submodules)")

    def _target(self, url: str) -> Target:
        """The credentials of the spec go to its own origin only: whoever can push writes these addresses."""
        own = self._wish.target
        if origin.same(url, own.url):
            return Target(origin.without_user(url), own.credentials, own.proxy)
        try:
            stranger = auth.target(url, None)
        except AuthError as error:
            raise RemoteError(f"no credentials: {_OWN_SERVER_ONLY}") from error
        return Target(stranger.url, stranger.credentials, own.proxy)

    def _listed(self, link: LeftOut, inner: _Place, objects: Objects) -> tuple[Part, tree.Snapshot]:
        origin = f"submodule {link.path} {inner.url}"
        found = tree.snapshot(objects, link.commit, self._known.get(origin), below=inner.path)
        folder = Entry(link.path, folder=True, executable=False, object_id=link.commit)
        return Part(origin, (folder, *found.entries), partial(_read_blob, objects), found.listings), found

    def forget_others(self) -> None:
        """Remove the objects of submodules that are no more."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in self._used:
                    rmtree(folder, ignore_errors=True)


def _of_a_stranger(error: GitError, commit: str) -> str:
    """An error of a server that whoever can push has chosen. Its answer may be meant for nobody outside of
    the cluster (reliability.md A22), so that only the kind of error is told: any text may quote the
    server."""
    match error:
        case Unreachable():
            return "the server cannot be reached"
        case Unauthorized() | Denied() | RepositoryMissing():
            return f"the server refused; {_OWN_SERVER_ONLY}"
        case RefMissing():
            return f"the server does not have the commit {commit}: object not found; push it"
        case _:
            return "the server does not answer as a Git server does; correct its address"


_OWN_SERVER_ONLY = "what spec.secretRef holds is sent to the server of spec.url only"


def discard(cache: Path) -> None:
    """Remove the objects of all submodules."""
    rmtree(cache / "modules", ignore_errors=True)


def _addresses(found: tree.Snapshot, objects: Objects, below: str) -> Mapping[str, str]:
    path = below + submodules.FILE_NAME
    for entry in found.entries:
        if entry.path == path and not entry.folder:
            return submodules.addresses(_read_blob(objects, entry))
    return {}


@contextmanager
def _named(path: str, address: str) -> Iterator[None]:
    """An error of a submodule says which one."""
    try:
        yield
    except Incomplete:
        raise
    except TooLarge as error:
        raise TooLarge(f"submodule '{path}' ({auth.shown_safely(address)}): {error}") from error
    except GitError as error:
        raise RemoteError(f"submodule '{path}' ({auth.shown_safely(address)}): {error}") from error
