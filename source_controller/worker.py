"""The child process: everything that talks to a Git server or reads what came from one.

Started as `python -m source_controller.worker` by the controller, spoken to in JSON lines
(shared/runtime/child.py), killed when a call exceeds its time. Between calls it keeps files, and in memory
what it read of the last revisions (source_controller/memory.py), so that a kill costs one run.

Operations, with their arguments and answers as the structs below:

    resolve   which commit `spec.ref` names now
    publish   fetch that commit, and store its archive as an artifact

Errors travel as the contract's reason and message (`told`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shared.artifacts import archive, ignore
from shared.artifacts.store import Store, Stored, StoreError
from shared.git import tree
from shared.git.auth import Credentials, Target
from shared.git.errors import (
    AuthError,
    BranchOrTagMissing,
    EmptyRepository,
    GitError,
    InvalidUrl,
    PassphraseMissing,
    ProxyInvalid,
    RemoteError,
    TooLarge,
    shown,
)
from shared.git.objects import Incomplete, Objects
from shared.git.proxy import Proxy
from shared.git.refs import Candidate, RefSpec
from shared.git.remote import Remote
from shared.runtime.serve import ChildError, serve
from source_controller.content import Part, Wish, discard, gather
from source_controller.included import IncludeFailed, Inclusion, include
from source_controller.memory import Memory, Revision
from source_controller.sparse import Sparse, SparseMissing


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """A repository and how to reach it; `credentials` print as ***."""

    url: str
    credentials: Credentials
    want: RefSpec
    timeout_s: float  # of silence on a connection
    cache: str  # folder of the objects fetched so far
    proxy: Proxy | None = None
    lists_first: bool = False  # Flux would list the remote before it clones: the words of a failure differ

    @property
    def target(self) -> Target:
        return Target(self.url, self.credentials, self.proxy)


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    commit: str
    revision: str
    ref: str


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """Fetch `resolved` and archive it as `path` below `store`."""

    where: Where
    resolved: Resolved
    store: str
    algorithm: str
    path: str
    ignore: str | None
    limit_bytes: int  # of all files of the artifact together
    sparse: tuple[str, ...] = ()
    recurse_submodules: bool = False
    include: tuple[Inclusion, ...] = ()


class Published(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    size_bytes: int
    subject: str  # first line of the commit message
    left_out: tuple[tuple[str, str], ...]  # path and why; the first LEFT_OUT_MAX
    left_out_count: int
    received_bytes: int  # from the server, for the log


LEFT_OUT_MAX = 20  # more would not fit into an event that people read


def resolve(where: Where) -> Resolved:
    """What `where.want` names now.

    Raises:
        GitError: the server or the reference.
    """
    with Remote(where.target, timeout_s=where.timeout_s) as remote:
        candidates = remote.resolve(where.want)
        best = candidates[0] if len(candidates) == 1 else _newest(remote, candidates, Path(where.cache))
    return Resolved(commit=best.commit, revision=best.revision, ref=best.ref)


def publish(order: Publication, memory: Memory | None = None) -> Published:
    """Fetch and store; safe to repeat. The artifact is the same whatever `memory` holds.

    Raises:
        GitError: nothing was published. ArchiveError, StoreError, IncludeFailed: the same.
    """
    memory = memory or Memory()
    objects = Objects(Path(order.where.cache) / "tree")
    with Remote(order.where.target, timeout_s=order.where.timeout_s) as remote:
        try:
            return _once(order, remote, objects, memory)
        except Incomplete:
            # The folder was damaged, or an earlier fetch brought too little: once more from the beginning.
            objects.discard()
            discard(Path(order.where.cache))
            return _once(order, remote, objects, memory)
        finally:
            objects.close()


def _once(order: Publication, remote: Remote, objects: Objects, memory: Memory) -> Published:
    wanted = Candidate(order.resolved.commit, order.resolved.revision, order.resolved.ref)
    remote.fetch(wanted, order.where.want, objects)
    before = memory.of(order.where.cache)
    store = Store(Path(order.store), algorithm=order.algorithm)
    with ExitStack() as stack:
        gathered = gather(_wish(order), objects, before.listings if before else {}, stack)
        parts = [*gathered.parts, *_included(order, gathered.parts, store, stack)]
        rules = ignore.rules(_ignore_files(parts), order.ignore)
        revision = Revision(parts, rules, before, limit_bytes=memory.limit_bytes)
        stored = _stored(order, store, parts, revision)
    memory.keep(order.where.cache, revision)
    missed = [left for left in gathered.left_out if not rules.excludes(left.path, folder=bool(left.commit))]
    return Published(
        digest=stored.digest,
        size_bytes=stored.size_bytes,
        subject=gathered.commit.subject,
        left_out=tuple((left.path, left.why) for left in missed[:LEFT_OUT_MAX]),
        left_out_count=len(missed),
        received_bytes=remote.received_bytes + gathered.received_bytes,
    )


def _wish(order: Publication) -> Wish:
    return Wish(
        target=order.where.target,
        timeout_s=order.where.timeout_s,
        cache=Path(order.where.cache),
        commit=order.resolved.commit,
        recurse_submodules=order.recurse_submodules,
        sparse=Sparse(order.sparse),
    )


def _included(order: Publication, present: Sequence[Part], store: Store, stack: ExitStack) -> list[Part]:
    return include(
        order.include,
        present,
        store,
        cache=Path(order.where.cache),
        limit_bytes=order.limit_bytes,
        stack=stack,
    )


def _stored(order: Publication, store: Store, parts: Sequence[Part], revision: Revision) -> Stored:
    members = [
        archive.Member(entry.path, entry.folder, entry.executable, partial(part.read, entry))
        for part in parts
        for entry in part.entries
        if revision.includes(entry)
    ]
    with store.publish(order.path) as draft:
        archive.write(members, draft, limit_bytes=order.limit_bytes, encode=revision.encode)
    return draft.stored


def _ignore_files(parts: Sequence[Part]) -> Mapping[str, bytes]:
    found = {}
    size = 0
    for part in parts:
        for entry in part.entries:
            if entry.path.endswith(ignore.FILE_NAME) and not entry.folder:
                folder, _, name = entry.path.rpartition("/")
                if name == ignore.FILE_NAME:
                    found[folder] = part.read(entry)
                    size += len(found[folder])
                    if size > ignore.FILES_BYTES_MAX:
                        raise ignore.too_large(entry.path)
    return found


def _newest(remote: Remote, candidates: Sequence[Candidate], cache: Path) -> Candidate:
    """Tags that differ in build metadata only: the one committed last (behaviour-source.md 2, semver)."""
    objects = Objects(cache / "tags")
    try:
        return _committed_last(remote, candidates, objects)
    except Incomplete:  # as in `publish`
        objects.discard()
        return _committed_last(remote, candidates, objects)
    finally:
        objects.close()


def _committed_last(remote: Remote, candidates: Sequence[Candidate], objects: Objects) -> Candidate:
    when = {}
    for candidate in candidates:
        if candidate.commit not in objects:
            remote.fetch(candidate, RefSpec(tag=candidate.ref), objects)
        when[candidate.ref] = tree.read_commit(objects, candidate.commit).committed_s
    return max(candidates, key=lambda candidate: when[candidate.ref])


CHECKOUT = "failed to checkout and determine revision: "


def told(error: Exception, where: Where) -> ChildError:
    """Reason and message of an error in the contract's words (behaviour-source.md 2 and last section)."""
    doing = f"unable to list remote for '{shown(where.url)}': " if where.lists_first else ""
    doing = doing or f"unable to clone '{shown(where.url)}': "
    match error:
        case InvalidUrl():
            return ChildError("URLInvalid", str(error))
        case PassphraseMissing():
            return ChildError("AuthenticationFailed", str(error))
        case ProxyInvalid():
            return ChildError("AuthenticationFailed", f"failed to configure proxy options: {error}")
        case AuthError():
            return ChildError("AuthenticationFailed", f"failed to configure authentication options: {error}")
        case SparseMissing():  # Flux looks after the clone, and has other words for it
            return ChildError("GitOperationFailed", str(error))
        case IncludeFailed():
            return ChildError(error.reason, str(error))
        case EmptyRepository() if not _names_branch(where.want):
            return ChildError(
                "GitOperationFailed", CHECKOUT + (doing if where.want.name else "") + str(error)
            )
        case EmptyRepository():
            return ChildError("EmptyGitRepository", str(error))
        case RemoteError() | BranchOrTagMissing() | TooLarge():
            return ChildError("GitOperationFailed", f"{CHECKOUT}{doing}{error}")
        case GitError():
            return ChildError("GitOperationFailed", f"{CHECKOUT}{error}")
        case ignore.IgnoreError():
            text = f"failed to load source ignore patterns from repository: {error}"
            return ChildError("SourceIgnoreError", text)
        case _:
            return ChildError("ArchiveOperationFailed", f"unable to archive artifact to storage: {error}")


def _names_branch(want: RefSpec) -> bool:
    return not (want.commit or want.name or want.tag or want.semver)


Order = TypeVar("Order", Where, Publication)


def _handler(kind: type[Order], do: Callable[[Order], object]) -> Callable[[Mapping[str, Any]], object]:
    def handle(args: Mapping[str, Any]) -> object:
        order = msgspec.convert(args, kind)
        # Whoever publishes has listed the remote before, and that went well.
        where = order if isinstance(order, Where) else msgspec.structs.replace(order.where, lists_first=False)
        try:
            return do(order)
        except (GitError, archive.ArchiveError, ignore.IgnoreError, StoreError, IncludeFailed) as error:
            raise told(error, where) from error
        except OSError as error:  # the store explains its own
            where_to = error.filename or where.cache
            full = f"{where_to}: {error.strerror}; --git-cache-path must be writable, with room"
            raise ChildError("GitOperationFailed", CHECKOUT + full) from error
        except MemoryError:
            raise ChildError("GitOperationFailed", f"{CHECKOUT}{_OUT_OF_MEMORY}") from None

    return handle


_OUT_OF_MEMORY = "an object of the repository does not fit into memory; take large files out of it"

if __name__ == "__main__":
    publish_with_memory = partial(publish, memory=Memory())
    serve({"resolve": _handler(Where, resolve), "publish": _handler(Publication, publish_with_memory)})
