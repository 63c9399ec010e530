"""A Git repository on a server: what it lists, and the objects of one commit, brought into `Objects`.

A listing is two small requests (protocol v2) and asks only for the references that matter. A fetch is
shallow: one commit and its tree, without what the last complete commit already has. Nothing else talks to a
Git server.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, GitProtocolError, ObjectMissing
from dulwich.objects import ObjectID
from dulwich.pack import UnresolvedDeltas
from dulwich.refs import Ref

from shared.git import tree
from shared.git.auth import Target
from shared.git.errors import (
    Denied,
    EmptyRepository,
    GitError,
    RefMissing,
    RemoteError,
    RepositoryMissing,
    TooLarge,
    Unauthorized,
    Unreachable,
    quoted,
)
from shared.git.objects import Objects
from shared.git.refs import Candidate, Listing, RefSpec, empty, resolve
from shared.git.transport import SmartHttp

if TYPE_CHECKING:
    from shared.git.ssh import SmartSsh

# What dulwich raises on input that breaks the protocol or a pack; a hostile server chooses among these.
_BROKEN_INPUT = (
    GitProtocolError,
    ChecksumMismatch,
    ApplyDeltaError,
    ObjectMissing,
    UnresolvedDeltas,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    AssertionError,
    TypeError,
)
_NOT_OURS = (
    "not our ref",
    "unadvertised object",
)  # git's words for a commit that it does not have or not give


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a repository may make us store (reliability.md A20).

    Attributes:
        pack_bytes: of one fetch.
        meaning: what that bound is, for the message that it was exceeded.
    """

    pack_bytes: int = 2 << 30
    meaning: str = "for one commit"


class Remote:
    """One repository behind one URL. Use as a context manager: leaving closes the connections."""

    def __init__(self, target: Target, *, timeout_s: float, limits: Limits | None = None) -> None:
        self._server = _server(target, timeout_s)
        self._limits = limits or Limits()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    @property
    def received_bytes(self) -> int:
        return self._server.received_bytes

    def list(self, prefixes: Iterable[str] = ()) -> Listing:
        """The references whose names begin with one of `prefixes`; all of them if there are none.

        Raises:
            RemoteError: the server refused or could not be understood.
        """
        wanted = [prefix.encode() for prefix in prefixes] or [b"HEAD", b"refs/"]
        with _understood():
            listed = self._server.get_refs(b"", ref_prefix=wanted).refs
        return Listing({_name(ref): sha.decode() for ref, sha in listed.items() if sha is not None})

    def resolve(self, want: RefSpec) -> Sequence[Candidate]:
        """What `want` names now; see `refs.resolve` for why it may be several.

        Raises:
            RefInvalid, RefMissing, EmptyRepository, RemoteError.
        """
        try:
            return resolve(want, self.list(want.prefixes()))
        except RefMissing:
            if not self.list().refs:
                raise empty(want) from None
            raise

    def fetch(self, wanted: Candidate, want: RefSpec, into: Objects) -> None:
        """Bring the commit `wanted` with its whole tree into `into`; a no-op if it is the last one there.

        Raises:
            RefMissing: the server does not have the commit, or (for a pinned one) it is on no branch or tag.
            TooLarge: beyond the limits. RemoteError: anything else about the server.
        """
        if into.head == wanted.commit:
            return
        into.discard_if_crowded()
        if want.commit:
            self._fetch_pinned(wanted, want, into)
        else:
            self._receive([wanted.commit], into, depth=1, refs=[wanted.ref])
        into.complete(wanted.commit)

    def fetch_commit(self, commit: str, into: Objects) -> None:
        """Bring a commit that another repository names (a submodule's), whatever branch it is on.

        Who named it chose the content, so it does not matter who else could have. All commits are asked for
        only where the server gives none by its id: some say so, others hang up.

        Raises:
            RefMissing: the server does not have it. TooLarge: beyond the limits. RemoteError: the rest.
        """
        if into.head == commit:
            return
        into.discard_if_crowded()
        try:
            self._receive([commit], into, depth=1, refs=["HEAD"])
        except (Unauthorized, Denied, RepositoryMissing, Unreachable):
            raise
        except (RefMissing, RemoteError) as error:
            self._receive_all(into)
            if commit not in into:
                raise RefMissing(
                    f"unable to resolve commit object for '{commit}': object not found; push it"
                ) from error
        into.complete(commit)

    def _receive_all(self, into: Objects) -> None:
        prefixes = ("refs/heads/", "refs/tags/")
        tips = sorted(set(self.list(prefixes).refs.values()))
        if tips:
            into.discard()
            self._receive(tips, into, depth=None, refs=prefixes)

    def _fetch_pinned(self, wanted: Candidate, want: RefSpec, into: Objects) -> None:
        """A commit by its id. Only what a branch or tag reaches counts.

        Servers give away any object whose id one knows, and hosting services keep the objects of all forks
        in one
        place: without the look at the history, a pinned commit could come from a stranger's fork.
        """
        tips = sorted(set(self.list(want.history()).refs.values()))
        if not tips:
            raise EmptyRepository("unable to clone: remote repository is empty: push a commit to it")
        if wanted.commit in tips:
            self._receive([wanted.commit], into, depth=1, refs=want.history())
            return
        # The whole history: that a commit is reachable cannot be known with less.
        into.discard()
        self._receive(tips, into, depth=None, refs=want.history())
        if wanted.commit not in into or not tree.reaches(into, tips, wanted.commit):
            raise RefMissing(
                f"unable to resolve commit object for '{wanted.commit}': object not found; "
                "spec.ref.commit must be a commit that a branch or tag of the repository contains"
            )

    def _receive(
        self, commits: Sequence[str], into: Objects, *, depth: int | None, refs: Iterable[str]
    ) -> None:
        def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001
            return [ObjectID(commit.encode()) for commit in commits]

        with into.incoming() as spool, _understood():
            sink = _Bounded(spool, self._limits)
            self._server.fetch_pack(
                "",
                wanted,
                _Walker(into.head if depth else None),
                sink.write,
                depth=depth,
                ref_prefix=[prefix.encode() for prefix in refs],
            )
            if sink.size_bytes:
                into.add_pack(spool)


def _server(target: Target, timeout_s: float) -> "SmartHttp | SmartSsh":
    if target.url.startswith("ssh:"):
        from shared.git.ssh import SmartSsh  # noqa: PLC0415  # 30 MB and 170 ms, for those who need it

        return SmartSsh(target, timeout_s=timeout_s)
    return SmartHttp(target, timeout_s=timeout_s)


class _Walker:
    """Tells the server what we have: one commit, shallow. The interface is dulwich's `GraphWalker`."""

    def __init__(self, head: str | None) -> None:
        self._haves = [] if head is None else [ObjectID(head.encode())]
        self.shallow = set(self._haves)

    def __next__(self) -> ObjectID | None:
        return self._haves.pop() if self._haves else None

    next = __next__

    def ack(self, sha: ObjectID) -> None:
        """The server has it too: nothing to do, for there is no second round."""

    def nak(self) -> None:
        """Nothing in common: the server sends everything."""


class _Bounded:
    def __init__(self, sink: IO[bytes], limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.size_bytes += len(data)
        if self.size_bytes > self._limits.pack_bytes:
            raise TooLarge(
                f"the server sends more than {self._limits.pack_bytes >> 20} MiB {self._limits.meaning}; "
                "take large files out of the repository"
            )
        return self._sink.write(data)


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what dulwich raises into `GitError`."""
    try:
        yield
    except GitError:
        raise
    except _BROKEN_INPUT as error:
        text = quoted(str(error))
        if any(words in text for words in _NOT_OURS):
            raise RefMissing(
                f"unable to resolve commit object: object not found ({text}); it was removed upstream"
            ) from error
        raise RemoteError(f"the server's answer cannot be used: {text or type(error).__name__}") from error


def _name(ref: bytes) -> str:
    return ref.decode("utf-8", "surrogateescape")
