"""GitRepository: publish what a Git reference names as an artifact.

observe collects old artifacts, looks at the last one and at those that are included, and resolves spec.ref;
decide is pure; do fetches and publishes in a child process (safe to repeat after a kill at any line); what
comes back is the runtime's to write. Deletion, finalizer and suspend are the runtime's too, before this runs.
A steady run costs one listing of the remote and two looks at the disk, and writes nothing.
"""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepository
from shared.api.instant import instant
from shared.api.kinds import GIT_REPOSITORY, InvalidObject, Kind
from shared.api.meta import Condition, Key
from shared.artifacts.store import Retention, Store, StoreError, folder_of, lies_in
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Outcome, Retryable
from shared.runtime.reconciler import FINALIZER
from shared.runtime.report import Finding
from shared.runtime.run import Run
from source_controller.collect import collect
from source_controller.gitrepository import report
from source_controller.gitrepository.checkout import Checkout, CheckoutFailed
from source_controller.gitrepository.decide import Fetch, Keep, Observed, Options, Stored, decide, refusal
from source_controller.gitrepository.include import Includes, IncludeUnavailable
from source_controller.gitrepository.reach import Reach
from source_controller.included import Inclusion
from source_controller.worker import Publication, Published, Resolved, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Where artifacts go, and under which name they are offered."""

    root: Path
    algorithm: str
    base_url: str  # "http://source-controller.flux-system.svc.cluster.local."
    limit_bytes: int  # of all files of one artifact
    retention: Retention


@dataclass(frozen=True, slots=True)
class Found:
    """What a fetch needs to know of the world."""

    where: Where
    resolved: Resolved
    included: tuple[Artifact, ...]  # of the repositories in spec.include, in its order


class GitRepositoryReconciler:
    kind: Kind[GitRepository] = GIT_REPOSITORY
    failure_reason = "Failed"
    status_manager = "source-controller"
    in_progress = ""  # the progress itself (behaviour-source.md 1.3)
    wakes_on: tuple[str, ...] = ()

    def __init__(
        self, checkout: Checkout, store: Store, publishing: Publishing, reach: Reach, includes: Includes
    ) -> None:
        self._checkout = checkout
        self._store = store
        self._publishing = publishing
        self._reach = reach
        self._includes = includes

    def interval_s(self, obj: GitRepository) -> float:
        return obj.spec.interval_s

    def is_suspended(self, obj: GitRepository) -> bool:
        return obj.spec.suspend

    def suspended(self, before: Sequence[Condition]) -> Finding:
        return report.suspended(before)

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        self._includes.noticed(old, new)

    def forget(self, key: Key) -> None:
        self._includes.forget(key)

    # --- its own deletion ---

    async def delete(self, obj: GitRepository, run: Run) -> None:
        await self._remove(run, held=_held_by_others(obj.metadata.finalizers))

    async def delete_unreadable(self, raw: RawObject, error: InvalidObject, run: Run) -> None:  # noqa: ARG002
        """All that we keep of it is named by its name and UID, so it may go."""
        await self._remove(run, held=_held_by_others(raw["metadata"].get("finalizers", ())))

    async def _remove(self, run: Run, *, held: bool) -> None:
        """Remove all artifacts and the cache of the object that `run` is about.

        Args:
            held: it will be there for a while, and may not name what is gone.
        """
        if held:
            await run.patch_status({"artifact": None})
        try:
            await asyncio.to_thread(self._store.remove_folder, _folder(run.key))
        except StoreError as error:
            raise Retryable(
                "GarbageCollectionFailed", f"garbage collection for deleted resource failed: {error}"
            ) from error
        await asyncio.to_thread(shutil.rmtree, self._reach.cache(run.uid), ignore_errors=True)
        run.log.info("artifacts removed")

    # --- a run ---

    async def reconcile(self, obj: GitRepository, run: Run) -> Outcome:
        try:
            stored = await asyncio.to_thread(self._look, obj, run)
        except CheckoutFailed as error:
            raise report.failed(error, run, gone=True) from error
        report.begin(obj, stored, run)
        gone = obj.status.artifact is not None and stored != "intact"
        try:
            seen, found = await self._observe(obj, stored, run)
        except CheckoutFailed as error:
            raise report.failed(error, run, gone=gone) from error
        except IncludeUnavailable as error:
            raise report.waiting(error, run, gone=gone) from error
        plan = decide(seen)
        match plan:
            case Keep(artifact):
                return self._kept(obj, artifact)
            case Fetch():
                return await self._fetch(plan, obj, found, run)

    def _look(self, obj: GitRepository, run: Run) -> Stored:
        """Collect old artifacts, and see whether the last one is well. Blocks.

        Raises:
            CheckoutFailed: it is damaged, and cannot be removed.
        """
        last = obj.status.artifact
        if last is not None and not lies_in(last.path, _folder(obj.key)):
            last = None  # not ours: nothing that it names may be removed, kept or offered (A23)
        retention = self._publishing.retention
        collected = collect(
            self._store, _folder(obj.key), keep=last.path if last else None, retention=retention
        )
        if collected is not None:
            run.event(collected)
        if last is None or not self._store.exists(last.path):
            return "lost"
        if self._store.holds(last.path, last.digest, last.size):
            return "intact"
        run.event(report.damaged(last))
        # Nobody shall download it; a kill before the new one is there leaves "lost".
        try:
            self._store.remove(last.path)
        except StoreError as error:
            told = f"unable to remove damaged artifact from storage: {error}"
            raise CheckoutFailed("ArchiveOperationFailed", told) from error
        return "damaged"

    async def _observe(self, obj: GitRepository, stored: Stored, run: Run) -> tuple[Observed, Found]:
        """Raises: CheckoutFailed, IncludeUnavailable, Superseded."""
        refused = refusal(obj.spec)
        if refused is not None:
            raise CheckoutFailed(refused.reason, refused.message, stalled=True)
        where = await self._reach.where(obj)
        included = self._includes.artifacts(obj)
        resolved = await self._checkout.resolve(
            where, timeout_s=obj.spec.timeout_s, is_current=run.is_current
        )
        seen = Observed(
            remote=resolved.revision,
            artifact=obj.status.artifact,
            stored=stored,
            wanted=Options.wanted(obj.spec),
            made_with=Options.observed(obj.status),
            included=included,
            made_from=obj.status.included_artifacts,
        )
        return seen, Found(where, resolved, included)

    def _kept(self, obj: GitRepository, artifact: Artifact) -> Outcome:
        """Nothing new upstream; a changed address of ours still shows."""
        current = msgspec.structs.replace(artifact, url=self._url(artifact.path))
        return report.succeeded(obj, current, obj.status.included_artifacts, subject=None)

    async def _fetch(self, plan: Fetch, obj: GitRepository, found: Found, run: Run) -> Outcome:
        report.fetching(plan, run)
        order = self._order(obj, found)
        try:
            published = await self._checkout.publish(
                order, timeout_s=obj.spec.timeout_s, is_current=run.is_current
            )
        except CheckoutFailed as error:
            raise report.failed(error, run, plan=plan, gone=plan.gone) from error
        artifact = self._artifact(obj, found.resolved, order.path, published)
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
            run.event(report.left_out(published))
        return report.succeeded(obj, artifact, found.included, subject=published.subject)

    def _order(self, obj: GitRepository, found: Found) -> Publication:
        inclusions = [
            Inclusion(
                name=one.repository.name,
                path=artifact.path,
                digest=artifact.digest,
                from_path=one.from_path,
                to_path=one.destination,
            )
            for one, artifact in zip(obj.spec.include, found.included, strict=True)
        ]
        return Publication(
            where=found.where,
            resolved=found.resolved,
            store=str(self._publishing.root),
            algorithm=self._publishing.algorithm,
            path=f"{_folder(obj.key)}/{found.resolved.commit}.tar.gz",
            ignore=obj.spec.ignore,
            limit_bytes=self._publishing.limit_bytes,
            sparse=obj.spec.sparse_checkout,
            recurse_submodules=obj.spec.recurse_submodules,
            include=tuple(inclusions),
        )

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

    def _url(self, path: str) -> str:
        return f"{self._publishing.base_url}/{path}"


def _folder(key: Key) -> str:
    return folder_of(key.kind, key.namespace, key.name)


def _held_by_others(finalizers: Sequence[str]) -> bool:
    return any(name != FINALIZER for name in finalizers)
