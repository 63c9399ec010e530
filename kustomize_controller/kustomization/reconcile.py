"""Kustomization: make the cluster hold what an artifact builds to, and nothing that left it.

    observe   source artifact, dependencies, what is remembered, what drifted            (no request)
    build     only if an input of the last build changed
    decide    pure: decide.py
    do        inventory first ► apply, stage by stage ► prune
    report    revision, inventory, history, Ready

A run in which nothing moved ends after *observe* and writes nothing; one in which only the revision moved
writes status and no object. Finalizer, suspend, retries and the status patch are the runtime's.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kustomize_controller.kustomization import depend, inventory, report
from kustomize_controller.kustomization.apply import Applier, Change
from kustomize_controller.kustomization.build import BuildError, BuiltObject, PathNotFound
from kustomize_controller.kustomization.checkpoint import FORMAT, Checkpoints, Saved, SavedObject
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.decide import (
    Entry,
    Observed,
    Plan,
    decide,
    gains,
    without_refused,
)
from kustomize_controller.kustomization.drift import Follower
from kustomize_controller.kustomization.names import ALLOW_PRUNE, STATUS_MANAGER
from kustomize_controller.kustomization.neighbours import Neighbours
from kustomize_controller.kustomization.prepare import Prepared, Preparer
from kustomize_controller.kustomization.prune import Pruned, Pruner
from kustomize_controller.kustomization.refuse import refuse
from kustomize_controller.kustomization.remember import Drift, Memory
from kustomize_controller.kustomization.report import Report
from kustomize_controller.settings import Settings
from kustomize_controller.sources import Sources
from kustomize_controller.unpack import UnpackFailed
from shared.api.artifact import Artifact
from shared.api.duration import go_duration
from shared.api.kinds import KUSTOMIZATION, InvalidObject, decode
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import InvalidId, ObjectId
from shared.artifacts.fetch import ArtifactMissing, FetchError
from shared.kube import errors
from shared.kube.client import METADATA_ONLY, Client, Identity
from shared.kube.discovery import Discovery
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, Outcome, ReconcileError, Retryable, Stalled, Waiting
from shared.runtime.queue import Priority
from shared.runtime.run import Run

LEAVING_S = 5.0  # safety net: the watch tells when a deleted object is gone, or its new owner has it
TERMINATION_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last run of this process that ended with Ready=True."""

    uid: str
    generation: int
    artifact_digest: str
    revision: str
    objects: int  # as many as the inventory has then


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a Kustomization's reconciler works with."""

    settings: Settings
    client: Client
    discovery: Discovery
    sources: Mapping[str, Sources]  # by kind
    preparer: Preparer
    memory: Memory
    follower: Follower
    contact: Contact
    checkpoints: Checkpoints
    lookup: Callable[[Key], RawObject | None]  # Kustomizations as last seen
    of_source: Callable[[Key], Iterable[Key]]  # Kustomizations that refer to a source
    enqueue: Callable[[Key, str, Priority], None]
    held: Callable[[], bool]  # we (still) lead
    tell: Callable[[Key, Event], None]  # an event about another Kustomization


class KustomizationReconciler:
    """See `shared.runtime.controller.Reconciler`."""

    kind = KUSTOMIZATION
    failure_reason = "ReconciliationFailed"
    status_manager = STATUS_MANAGER
    in_progress = "Reconciliation in progress"
    wakes_on = (ALLOW_PRUNE,)

    def __init__(self, world: World) -> None:
        self._world = world
        self._finished: dict[Key, Finished] = {}
        self._dependents: dict[Key, set[Key]] = {}
        self._neighbours = Neighbours(
            preparer=world.preparer,
            memory=world.memory,
            lookup=self._as_kustomization,
            of_source=world.of_source,
            artifact_of=lambda obj: world.sources[obj.source.kind].artifact(obj.source),
        )

    # --- what the runtime asks ---

    def interval_s(self, obj: Kustomization) -> float:
        return obj.spec.interval_s

    def is_suspended(self, obj: Kustomization) -> bool:
        return obj.spec.suspend

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        """Wake those that wait for this Kustomization when what they look at changed."""
        if old is not None and _as_dependency(old) == _as_dependency(new):
            return
        meta = new["metadata"]
        key = Key(KUSTOMIZATION.kind, meta.get("namespace", ""), meta["name"])
        for one in self._dependents.pop(key, ()):
            self._world.enqueue(one, f"dependency {key} changed", Priority.CHANGE)

    def forget(self, key: Key) -> None:
        self._finished.pop(key, None)
        self._world.memory.forget(key)
        self._world.preparer.forget(key)

    async def reconcile(self, obj: Kustomization, run: Run) -> Outcome:
        refuse(obj, self._world.settings)
        self._world.follower.begin(obj.key)
        try:
            async with asyncio.timeout(obj.spec.timeout_s):
                return await self._reconcile(obj, run)
        except TimeoutError as error:
            self._finished.pop(obj.key, None)
            why = f"not done within spec.timeout ({go_duration(obj.spec.timeout_s)}) at: {run.last_progress}"
            raise Retryable("ReconciliationFailed", why, retry_s=obj.spec.retry_interval_s) from error
        except (errors.KubeError, ReconcileError) as error:
            self._finished.pop(obj.key, None)
            if isinstance(error, ReconcileError):
                raise
            raise Retryable("ReconciliationFailed", str(error), retry_s=obj.spec.retry_interval_s) from error
        finally:
            self._world.follower.settle(obj.key)
            self._save(obj, run)

    async def delete(self, obj: Kustomization, run: Run) -> None:
        """Delete what `spec.deletionPolicy` says, before the finalizer goes (behaviour-kustomize.md 9)."""
        policy = obj.spec.deletion_policy
        mirrors = policy == "MirrorPrune" and obj.spec.prune
        entries = self._inventory(obj)
        if obj.spec.suspend or not entries or not (mirrors or policy in ("Delete", "WaitForTermination")):
            return
        if not await self._account_exists(obj):
            run.event(
                Event("Warning", "PruneFailed", f"unable to prune objects: \n{report.subjects(entries)}")
            )
            return
        self._world.checkpoints.discard(run.uid)
        pruned = await self._pruner(obj, self._world.held).run(reversed(entries))
        if pruned.changes:
            run.event(Event("Normal", "ReconciliationSucceeded", report.lines(pruned.changes)))
        if pruned.failures:
            run.event(Event("Warning", "PruneFailed", "pruning for deleted resource failed"))
            raise Retryable("PruneFailed", "delete failed, errors: " + " ".join(pruned.failures), events=())
        if policy == "WaitForTermination" and pruned.leaving:
            self._await_end(obj, [entry for entry in entries if entry.id in pruned.leaving], run)

    def _await_end(self, obj: Kustomization, leaving: list[Entry], run: Run) -> None:
        """Raises Waiting until the time for it is over; what is left then is left (contract 9)."""
        since = datetime.fromisoformat(obj.metadata.deletion_timestamp or "")
        if (datetime.now(UTC) - since).total_seconds() < obj.spec.timeout_s:
            told = f"waiting for termination of:\n{report.subjects(leaving)}"
            raise Waiting("Terminating", told, events=(), retry_s=TERMINATION_POLL_S)
        run.event(Event("Warning", "PruneFailed", "failed to wait for resources termination"))

    async def _account_exists(self, obj: Kustomization) -> bool:
        """Whether there is still somebody in whose name objects can be deleted; without an account: us."""
        account = self._account(obj)
        if not account:
            return True
        path = f"/api/v1/namespaces/{obj.metadata.namespace}/serviceaccounts/{account}"
        try:
            await self._world.client.request("GET", path, accept=METADATA_ONLY)
        except errors.NotFound:
            return False
        return True

    # --- across restarts ---

    def recall(self, raw: RawObject, saved: Saved) -> None:
        """Take over what a checkpoint says of a Kustomization; the watch confirms it or not."""
        meta = raw["metadata"]
        key = Key(KUSTOMIZATION.kind, meta.get("namespace", ""), meta["name"])
        for one in saved.objects:
            self._world.memory.remember(key, one.id, one.applied)
        self._world.preparer.recall(key, saved.recipe)
        if saved.settled:
            self._finished[key] = Finished(
                saved.uid,
                saved.generation,
                saved.recipe.artifact_digest,
                saved.revision,
                len(saved.recipe.desired),
            )

    def _save(self, obj: Kustomization, run: Run) -> None:
        """Write the checkpoint, if there is something to remember and the last one was discarded."""
        recipe = self._world.preparer.saved(obj.key)
        if recipe is None or self._world.checkpoints.has(run.uid):
            return
        finished = self._finished.get(obj.key)
        applied = self._world.memory.holding(obj.key).applied
        saved = Saved(
            format=FORMAT,
            cluster=self._world.checkpoints.cluster,
            uid=run.uid,
            generation=run.generation,
            revision=finished.revision if finished else "",
            settled=finished is not None,
            recipe=recipe,
            objects=tuple(SavedObject.of(id_, one) for id_, one in applied.items()),
        )
        self._world.checkpoints.save(saved)

    # --- one run ---

    async def _reconcile(self, obj: Kustomization, run: Run) -> Outcome:
        began = time.monotonic()
        artifact = self._observe_source(obj)
        self._check_dependencies(obj, artifact)
        drifts = self._world.follower.due(obj.key)
        if self._is_settled(obj, artifact, run) and not drifts:
            return Outcome(ready=report.applied(artifact))
        within = f"for revision {artifact.revision} with a timeout of {go_duration(obj.spec.timeout_s)}"
        run.progress(f"Fetching manifests {within}")
        prepared = await self._prepare(obj, artifact, lambda: run.progress(f"Building manifests {within}"))
        run.progress(f"Detecting drift {within}")
        seen = self._observe(obj, artifact, prepared, drifts, run)
        plan = decide(seen, custom_kinds=self._world.settings.custom_apply_stage_kinds)
        said = Report(obj, artifact, prepared, began)
        is_settled = await self._do(obj, artifact, plan, run, drifts=drifts, said=said)
        if seen.taken:
            self._tell_holders(obj, seen.taken)
            raise said.failure("ReconciliationFailed", report.conflicts(seen.taken))
        if plan.held is not None:
            raise said.held(plan, plan.held)
        if is_settled:
            self._finished[obj.key] = Finished(
                run.uid, run.generation, artifact.digest, artifact.revision, len(prepared.desired)
            )
        return said.success(requested=run.requested, requeue_s=LEAVING_S if said.is_leaving else None)

    def _observe(
        self,
        obj: Kustomization,
        artifact: Artifact,
        prepared: Prepared,
        drifts: Mapping[ObjectId, Drift],
        run: Run,
    ) -> Observed:
        memory = self._world.memory
        return Observed(
            desired=prepared.desired,
            applied=memory.digests(obj.key),
            drifted=frozenset(drifts),
            inventory=self._inventory(obj),
            everything=run.requested,
            prune=obj.spec.prune,
            released=obj.metadata.annotations.get(ALLOW_PRUNE, ""),
            revision=artifact.revision,
            taken=self._neighbours.holders(obj.key, [one.id for one in prepared.desired]),
        )

    async def _do(
        self,
        obj: Kustomization,
        artifact: Artifact,
        plan: Plan,
        run: Run,
        *,
        drifts: Mapping[ObjectId, Drift],
        said: Report,
    ) -> bool:
        """Carry out `plan`; whether nothing is left to be done.

        Raises:
            Retryable: something was refused; what was accepted is applied and remembered.
        """
        if plan.stages or plan.prune:
            self._world.checkpoints.discard(run.uid)
        unwatched = False
        if plan.stages:
            bodies = await self._world.preparer.bodies(obj, artifact)
            applier = self._applier(obj, bodies, drifts, run)
            record = await self._record(obj, plan, applier, run)
            result = await applier.run(plan)
            unwatched = bool(result.unwatched)
            self._tell_changes(run, [one for one in result.changes if one.action != "skipped"], artifact)
            if result.failures:
                if record is not None:
                    said.inventory = without_refused(record, self._inventory(obj), result.refused)
                raise said.failure("ReconciliationFailed", report.refusals(result))
        pruned = await self._prune(obj, plan, run, artifact)
        said.inventory = tuple(entry for entry in plan.keep if entry.id not in pruned.gone)
        if pruned.failures:
            raise said.failure("PruneFailed", "delete failed, errors: " + " ".join(pruned.failures))
        said.is_leaving = bool(pruned.leaving)
        return not pruned.leaving and not unwatched

    async def _record(
        self, obj: Kustomization, plan: Plan, applier: Applier, run: Run
    ) -> tuple[Entry, ...] | None:
        """Write the inventory before anything is applied, if it gains something; what was written."""
        if plan.record is None:
            return None
        before = self._inventory(obj)
        known = {entry.id for entry in before}
        new = [one for stage in plan.stages for one in stage if one.id not in known]
        record = without_refused(plan.record, before, await applier.find_impossible(new))
        if not gains(record, before):
            return None
        await run.patch_status({"inventory": inventory.status_of(record)})
        return record

    def _observe_source(self, obj: Kustomization) -> Artifact:
        key = obj.source
        sources = self._world.sources[key.kind]
        if not sources.exists(key):
            group = sources.kind.group
            raise Waiting(
                "ArtifactFailed",
                f'{key.kind}.{group} "{key.name}" not found',
                on=key,
                events=(),
                retry_s=obj.spec.retry_interval_s,
            )
        artifact = sources.artifact(key)
        if artifact is None:
            wait = go_duration(self._world.settings.requeue_dependency_s)
            raise Waiting(
                "ArtifactFailed", f"Source artifact not found, retrying in {wait}", on=key, events=()
            )
        return artifact

    def _check_dependencies(self, obj: Kustomization, artifact: Artifact) -> None:
        if not obj.spec.depends_on:
            return
        missing = depend.first_not_ready(obj, self._as_kustomization, artifact.revision)
        if missing is None:
            return
        for key in obj.dependencies:
            self._dependents.setdefault(key, set()).add(obj.key)
        for key in missing.ring:
            member = self._as_kustomization(key)
            ready = member.status.condition("Ready") if member is not None else None
            if ready is not None and ready.status == "True":  # it was ready before the ring was closed
                self._world.enqueue(key, f"{obj.key} closes a ring of dependencies", Priority.CHANGE)
        wait = go_duration(self._world.settings.requeue_dependency_s)
        told = f"Dependencies do not meet ready condition, retrying in {wait}"
        event = Event("Normal", "DependencyNotReady", told, report.metadata(artifact))
        raise Waiting("DependencyNotReady", missing.message, on=missing.on, events=(event,))

    def _as_kustomization(self, key: Key) -> Kustomization | None:
        raw = self._world.lookup(key)
        if raw is None:
            return None
        try:
            return decode(KUSTOMIZATION, raw)
        except InvalidObject:
            return None

    def _is_settled(self, obj: Kustomization, artifact: Artifact, run: Run) -> bool:
        """Whether the last run already did all that this one could do, and its status tells of it.

        The status is asked too: a kill, or a lost connection, may have come between the last run's work and
        the write that was to tell of it.
        """
        status = obj.status
        told = len(status.inventory.entries) if status.inventory is not None else 0
        now = Finished(run.uid, run.generation, artifact.digest, artifact.revision, told)
        is_told = (status.last_applied_revision, status.observed_generation) == (
            artifact.revision,
            run.generation,
        )
        return is_told and not run.requested and self._finished.get(obj.key) == now

    async def _prepare(
        self, obj: Kustomization, artifact: Artifact, building: Callable[[], None]
    ) -> Prepared:
        retry_s = obj.spec.retry_interval_s
        try:
            return await self._world.preparer.prepare(obj, artifact, building)
        except ArtifactMissing as error:
            wait = go_duration(self._world.settings.requeue_dependency_s)
            told = f"Source is not ready, artifact not found, retrying in {wait}"
            raise Waiting("ArtifactFailed", told, on=obj.source, events=()) from error
        except (FetchError, UnpackFailed) as error:
            raise Retryable("ArtifactFailed", str(error), retry_s=retry_s) from error
        except PathNotFound as error:
            raise Retryable("ArtifactFailed", error.message, retry_s=retry_s) from error
        except BuildError as error:
            attempted = {"lastAttemptedRevision": artifact.revision}
            raise Retryable(error.reason, error.message, status=attempted, retry_s=retry_s) from error

    def _inventory(self, obj: Kustomization) -> tuple[Entry, ...]:
        try:
            return inventory.entries_of(obj.status.inventory)
        except InvalidId as error:
            raise Stalled("ValidationFailed", f"status.inventory: {error}; correct or remove it") from error

    def _account(self, obj: Kustomization) -> str:
        return obj.spec.service_account_name or self._world.settings.default_service_account

    def _identity(self, obj: Kustomization) -> Identity | None:
        account = self._account(obj)
        return Identity.service_account(obj.metadata.namespace, account) if account else None

    def _applier(
        self,
        obj: Kustomization,
        bodies: Mapping[ObjectId, BuiltObject],
        drifts: Mapping[ObjectId, Drift],
        run: Run,
    ) -> Applier:
        world = self._world
        return Applier(
            client=world.client,
            discovery=world.discovery,
            contact=world.contact,
            memory=world.memory,
            follower=world.follower,
            owner=obj.key,
            identity=self._identity(obj),
            bodies=bodies,
            drifts=drifts,
            custom_kinds=world.settings.custom_apply_stage_kinds,
            concurrent=world.settings.concurrent_ssa,
            is_current=run.is_current,
        )

    def _pruner(
        self, obj: Kustomization, may_go_on: Callable[[], bool], spared: Collection[ObjectId] = ()
    ) -> Pruner:
        return Pruner(
            client=self._world.client,
            discovery=self._world.discovery,
            memory=self._world.memory,
            owner=obj.key,
            identity=self._identity(obj),
            spared=spared,
            may_go_on=may_go_on,
        )

    async def _prune(self, obj: Kustomization, plan: Plan, run: Run, artifact: Artifact) -> Pruned:
        if not plan.prune:
            return Pruned()
        takers = await self._neighbours.takers(obj, artifact, {entry.id for entry in plan.prune})
        for key in takers.values():
            self._dependents.setdefault(key, set()).add(obj.key)
        pruned = await self._pruner(obj, run.is_current, takers).run(plan.prune)
        self._tell_changes(run, pruned.changes, artifact)
        return pruned

    def _tell_changes(self, run: Run, changes: list[Change], artifact: Artifact) -> None:
        if changes:
            run.event(Event("Normal", "Progressing", report.lines(changes), report.metadata(artifact)))
            run.log.info(
                "server-side apply completed",
                revision=artifact.revision,
                output={change.subject: str(change) for change in changes},
            )

    def _tell_holders(self, obj: Kustomization, taken: Mapping[ObjectId, Key]) -> None:
        for owner in sorted(set(taken.values())):
            names = [id_.subject for id_, key in taken.items() if key == owner]
            told = f"{', '.join(sorted(names)[:5])}: also wanted by {obj.key}; remove it from one of the two"
            self._world.tell(owner, Event("Warning", "ReconciliationFailed", told))


def _as_dependency(raw: RawObject) -> tuple[Any, ...]:
    """What dependents look at."""
    status = raw.get("status", {})
    ready = [c.get("status") for c in status.get("conditions", ()) if c.get("type") == "Ready"]
    generation = raw["metadata"].get("generation")
    return (ready, status.get("lastAppliedRevision"), status.get("observedGeneration"), generation)
