"""GitRepository: publish what a Git reference names as an artifact.

observe collects old artifacts, resolves spec.ref and looks at the last artifact; decide is pure; do fetches
and publishes in a child process (safe to repeat after a kill at any line); what comes back is the runtime's
to write. Deletion, finalizer and suspend are the runtime's too, before this runs. A steady run costs one
listing of the remote and two looks at the disk, and writes nothing.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepository, GitRepositoryRef
from shared.api.instant import instant
from shared.api.kinds import GIT_REPOSITORY, InvalidObject, Kind
from shared.api.meta import Key
from shared.artifacts.store import Retention, Store, StoreError, folder_of
from shared.git import auth
from shared.git.errors import AuthError, InvalidUrl
from shared.git.refs import RefSpec
from shared.kube.errors import ApiError, NotFound
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, Mark, Outcome, ReconcileError, Retryable, Stalled
from shared.runtime.run import Run
from source_controller.collect import collect
from source_controller.gitrepository.checkout import Checkout, CheckoutFailed
from source_controller.gitrepository.decide import Fetch, Keep, Observed, Stored, decide, refusal
from source_controller.worker import Publication, Published, Resolved, Where

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, bytes]]]
REVISION = "source.toolkit.fluxcd.io/revision"
DIGEST = "source.toolkit.fluxcd.io/digest"
_FAILURES = ("FetchFailed", "IncludeUnavailable", "StorageOperationFailed")
_SUBJECT_MAX = 50  # characters of a commit's first line in an event


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Where artifacts go, and under which name they are offered."""

    root: Path
    algorithm: str
    base_url: str  # "http://source-controller.flux-system.svc.cluster.local."
    cache: Path  # objects fetched so far, a folder per UID
    limit_bytes: int  # of all files of one artifact
    retention: Retention


class GitRepositoryReconciler:
    kind: Kind[GitRepository] = GIT_REPOSITORY
    failure_reason = "Failed"
    status_manager = "source-controller"
    in_progress = ""  # the progress itself (behaviour-source.md 1.3)
    wakes_on: tuple[str, ...] = ()
    drop_on_suspend = ("Stalled",)  # behaviour-source.md 1.1

    def __init__(
        self, checkout: Checkout, store: Store, publishing: Publishing, read_secret: ReadSecret
    ) -> None:
        self._checkout = checkout
        self._store = store
        self._publishing = publishing
        self._read_secret = read_secret

    def interval_s(self, obj: GitRepository) -> float:
        return obj.spec.interval_s

    def is_suspended(self, obj: GitRepository) -> bool:
        return obj.spec.suspend

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        """Nobody here waits for another GitRepository yet."""

    def forget(self, key: Key) -> None:
        """Nothing is remembered outside of files, which `delete` removes."""

    async def delete(self, obj: GitRepository, run: Run) -> None:  # noqa: ARG002  # its name is enough
        await self._remove(run)

    async def delete_unreadable(self, raw: RawObject, error: InvalidObject, run: Run) -> None:  # noqa: ARG002
        """All that we keep of it is named by its name and UID, so it may go."""
        await self._remove(run)

    async def _remove(self, run: Run) -> None:
        """Remove all artifacts and the cache of the object that `run` is about."""
        try:
            await asyncio.to_thread(self._store.remove_folder, _folder(run.key))
        except StoreError as error:
            raise Retryable(
                "GarbageCollectionFailed", f"garbage collection for deleted resource failed: {error}"
            ) from error
        await asyncio.to_thread(shutil.rmtree, self._cache(run.uid), ignore_errors=True)
        run.log.info("artifacts removed")

    async def reconcile(self, obj: GitRepository, run: Run) -> Outcome:
        refused = refusal(obj.spec)
        if refused is not None:
            raise _stalled(refused.reason, refused.message)
        if obj.status.observed_generation not in (obj.metadata.generation, -1):
            before, now = obj.status.observed_generation, obj.metadata.generation
            run.progress(f"processing object: new generation {before} -> {now}")
        if obj.status.artifact is None:
            run.progress("building artifact")
        where = await self._where(obj, run)
        seen, resolved = await self._observe(obj, where, run)
        plan = decide(seen)
        match plan:
            case Keep(artifact):
                return self._kept(obj, artifact)
            case Fetch():
                return await self._fetch(plan, obj, where, resolved, run)

    async def _observe(self, obj: GitRepository, where: Where, run: Run) -> tuple[Observed, Resolved]:
        last = obj.status.artifact
        collected = await asyncio.to_thread(
            collect,
            self._store,
            _folder(obj.key),
            keep=last.path if last else None,
            retention=self._publishing.retention,
        )
        if collected is not None:
            run.event(collected)
        stored = await asyncio.to_thread(self._look, last, run)
        try:
            resolved = await self._checkout.resolve(where, timeout_s=obj.spec.timeout_s)
        except CheckoutFailed as error:
            raise _failed(error, run, gone=last is not None and stored != "intact") from error
        seen = Observed(
            remote=resolved.revision,
            artifact=last,
            stored=stored,
            ignore=obj.spec.ignore,
            observed_ignore=obj.status.observed_ignore,
        )
        return seen, resolved

    def _look(self, last: Artifact | None, run: Run) -> Stored:
        if last is None or not self._store.exists(last.path):
            return "lost"
        if self._store.holds(last.path, last.digest, last.size):
            return "intact"
        told = (
            f"failed to verify integrity of artifact: '{last.path}' is not {last.digest}; it is built again"
        )
        run.event(Event("Warning", "ArtifactVerificationFailed", told))
        # Nobody shall download it; a kill before the new one is there leaves "lost".
        self._store.remove(last.path)
        return "damaged"

    def _kept(self, obj: GitRepository, artifact: Artifact) -> Outcome:
        """Nothing new upstream; a changed address of ours still shows."""
        current = msgspec.structs.replace(artifact, url=self._url(artifact.path))
        return _succeeded(obj, current, subject=artifact.revision)

    async def _fetch(
        self, plan: Fetch, obj: GitRepository, where: Where, resolved: Resolved, run: Run
    ) -> Outcome:
        run.progress(plan.because)
        path = f"{_folder(obj.key)}/{resolved.commit}.tar.gz"
        order = Publication(
            where=where,
            resolved=resolved,
            store=str(self._publishing.root),
            algorithm=self._publishing.algorithm,
            path=path,
            ignore=obj.spec.ignore,
            limit_bytes=self._publishing.limit_bytes,
        )
        try:
            published = await self._checkout.publish(order, timeout_s=obj.spec.timeout_s)
        except CheckoutFailed as error:
            outdated = resolved.revision if plan.outdated else None
            raise _failed(error, run, outdated=outdated, gone=plan.gone) from error
        artifact = self._artifact(obj, resolved, path, published)
        run.log.info(
            "artifact published",
            revision=artifact.revision,
            digest=artifact.digest,
            because=plan.because,
            received_bytes=published.received_bytes,
        )
        # Old artifacts are collected by the next run, not here: until the report lands, status names the
        # old one, and consumers may be downloading it.
        if published.left_out_count and artifact != obj.status.artifact:
            run.event(_left_out(published))
        last = obj.status.artifact
        if last is not None and last.digest == artifact.digest:
            told = f"artifact up-to-date with remote revision: '{artifact.revision}'"
            run.event(Event("Trace", "ArtifactUpToDate", told))
        return _succeeded(obj, artifact, subject=published.subject or artifact.revision)

    def _artifact(self, obj: GitRepository, resolved: Resolved, path: str, published: Published) -> Artifact:
        artifact = Artifact(
            path=path,
            url=self._url(path),
            revision=resolved.revision,
            digest=published.digest,
            size=published.size_bytes,
            last_update_time=instant(),
        )
        last = obj.status.artifact
        if last is None:
            return artifact
        same = msgspec.structs.replace(artifact, last_update_time=last.last_update_time)
        return same if same == last else artifact  # the same bytes again are no news

    async def _where(self, obj: GitRepository, run: Run) -> Where:
        secret = obj.spec.secret_ref.name if obj.spec.secret_ref else None
        name = f"{obj.metadata.namespace}/{secret}"
        data = None if secret is None else await self._secret(obj.metadata.namespace, secret, run)
        if data is not None and auth.has_github_app(data):
            told = f"secretRef '{name}' has github app data but provider is not set to github"
            raise _failed(CheckoutFailed("InvalidProviderConfiguration", told), run)
        try:
            target = auth.target(obj.spec.url, data, secret_name=name)
        except InvalidUrl as error:
            raise _stalled("URLInvalid", str(error)) from error
        except AuthError as error:
            told = f"failed to configure authentication options: {error}"
            raise _failed(CheckoutFailed("AuthenticationFailed", told), run) from error
        want = _want(obj.spec.ref)
        return Where(
            url=target.url,
            credentials=target.credentials,
            want=want,
            timeout_s=obj.spec.timeout_s,
            cache=str(self._cache(obj.metadata.uid)),
            lists_first=want.lists_first and (bool(want.name) or obj.status.artifact is not None),
        )

    async def _secret(self, namespace: str, name: str, run: Run) -> Mapping[str, bytes]:
        told = f"failed to get secret '{namespace}/{name}': "
        try:
            return await self._read_secret(namespace, name)
        except NotFound as error:
            told = f'{told}{told}secrets "{name}" not found'
            raise _failed(CheckoutFailed("AuthenticationFailed", told), run) from error
        except ApiError as error:
            raise _failed(CheckoutFailed("AuthenticationFailed", told + str(error)), run) from error

    def _url(self, path: str) -> str:
        return f"{self._publishing.base_url}/{path}"

    def _cache(self, uid: str) -> Path:
        return self._publishing.cache / uid


def _succeeded(obj: GitRepository, artifact: Artifact, *, subject: str) -> Outcome:
    message = f"stored artifact for revision '{artifact.revision}'"
    return Outcome(
        ready=("Succeeded", message),
        marks=(Mark("ArtifactInStorage", "True", "Succeeded", message),),
        drop=(*_FAILURES, "ArtifactOutdated", "SourceVerified"),
        status={
            "artifact": msgspec.to_builtins(artifact),
            "observedIgnore": obj.spec.ignore,
            "observedInclude": None,
            "includedArtifacts": None,
            "observedRecurseSubmodules": None,
            "observedSparseCheckout": None,
            "sourceVerificationMode": None,
        },
        events=_news(obj, artifact, subject),
    )


def _news(obj: GitRepository, artifact: Artifact, subject: str) -> tuple[Event, ...]:
    """What is worth telling (behaviour-source.md 1.8): a new digest, or that a failure is over."""
    told = f"stored artifact for commit '{_cut(subject)}'"
    about = {REVISION: artifact.revision, DIGEST: artifact.digest}
    last = obj.status.artifact
    if last is None or last.digest != artifact.digest:
        return (Event("Normal", "NewArtifact", told, about),)
    if any(condition.type in _FAILURES and condition.status == "True" for condition in obj.status.conditions):
        return (Event("Normal", "Succeeded", told, about),)
    return ()


def _left_out(published: Published) -> Event:
    named = ", ".join(f"'{path}' ({why})" for path, why in published.left_out)
    more = published.left_out_count - len(published.left_out)
    tail = f" and {more} more" if more else ""
    return Event(
        "Normal", "LeftOut", f"left out of the artifact: {named}{tail}; artifacts hold files and folders only"
    )


def _failed(
    error: CheckoutFailed, run: Run, *, outdated: str | None = None, gone: bool = False
) -> ReconcileError:
    """The run's failure. The old artifact and ArtifactInStorage stay.

    Args:
        outdated: the revision upstream, while consumers still have an older one.
        gone: the store has lost the artifact, so that status may not name it any longer.
    """
    if run.last_progress is None:
        run.progress("reconciliation in progress")
    condition, other = "FetchFailed", "StorageOperationFailed"
    if error.in_storage:
        condition, other = other, condition
    marks = [Mark(condition, "True", error.reason, error.message)]
    if outdated is not None and not gone:
        marks.append(Mark("ArtifactOutdated", "True", "NewRevision", f"new upstream revision '{outdated}'"))
    drop = (other, "ArtifactInStorage", "ArtifactOutdated") if gone else (other,)
    status = {"artifact": None} if gone else {}
    return Retryable(error.reason, error.message, marks=marks, drop=drop, status=status)


def _stalled(reason: str, message: str) -> Stalled:
    return Stalled(
        reason, message, marks=[Mark("FetchFailed", "True", reason, message)], drop=["StorageOperationFailed"]
    )


def _want(ref: GitRepositoryRef | None) -> RefSpec:
    if ref is None:
        return RefSpec()
    return RefSpec(branch=ref.branch, tag=ref.tag, semver=ref.semver, name=ref.name, commit=ref.commit)


def _folder(key: Key) -> str:
    return folder_of(key.kind, key.namespace, key.name)


def _cut(subject: str) -> str:
    return subject if len(subject) <= _SUBJECT_MAX else subject[:_SUBJECT_MAX] + "..."
