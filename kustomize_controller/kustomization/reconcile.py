"""Kustomization: make the cluster hold what an artifact builds to, and nothing that left it.

    observe   source artifact, dependencies, what is remembered, what drifted            (no request, but
              for variables from objects that no watch shows)
    build     only if an input of the last build changed
    decide    pure: decide.py
    do        inventory first ► apply, stage by stage ► prune
    report    revision, inventory, history, Ready

A run in which nothing moved ends after *observe* and writes nothing; one in which only the revision moved
writes status and no object. Finalizer, suspend, retries and the status patch are the runtime's.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kustomize_controller.kustomization import inventory, observe, report, tell
from kustomize_controller.kustomization.apply import Applier
from kustomize_controller.kustomization.checkpoint import FORMAT, Saved, SavedObject
from kustomize_controller.kustomization.decide import Entry, Plan, decide, gains, without_refused
from kustomize_controller.kustomization.delete import delete, keep_unreadable
from kustomize_controller.kustomization.health import step as health
from kustomize_controller.kustomization.names import ALLOW_PRUNE, STATUS_MANAGER
from kustomize_controller.kustomization.prepare import Outdated, Prepared
from kustomize_controller.kustomization.prune import Pruned
from kustomize_controller.kustomization.refuse import refuse
from kustomize_controller.kustomization.remember import Drift
from kustomize_controller.kustomization.report import Report, SoFar
from kustomize_controller.kustomization.wake import Dependents
from kustomize_controller.kustomization.world import World, recorded
from shared.api.artifact import Artifact
from shared.api.duration import go_duration
from shared.api.kinds import KUSTOMIZATION, InvalidObject
from shared.api.kustomization import Kustomization
from shared.api.meta import Condition, Key
from shared.api.objects import ObjectId
from shared.kube import errors
from shared.runtime import conditions, metrics
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, Outcome, ReconcileError, UnderWay
from shared.runtime.report import Finding
from shared.runtime.run import Run

LEAVING_S = 5.0  # safety net: the watch tells when a deleted object is gone, or its new owner has it


@dataclass(frozen=True, slots=True)
class Finished:
    """The last run of this process that ended with Ready=True."""

    uid: str
    generation: int
    artifact_digest: str
    revision: str
    objects: int  # as many as the inventory has then


class KustomizationReconciler:
    """See `shared.runtime.reconciler.Reconciler`."""

    kind = KUSTOMIZATION
    failure_reason = "ReconciliationFailed"
    status_manager = STATUS_MANAGER
    in_progress = "Reconciliation in progress"
    wakes_on = (ALLOW_PRUNE,)

    def __init__(self, world: World) -> None:
        self._world = world
        self._finished: dict[Key, Finished] = {}
        self._told: dict[Key, tuple[str, tuple[str, ...]]] = {}  # revision, and what was said of its build
        self._dependents = Dependents(world.enqueue)
        self._neighbours = world.neighbours()

    # --- what the runtime asks ---

    def interval_s(self, obj: Kustomization) -> float:
        return obj.spec.interval_s

    def is_suspended(self, obj: Kustomization) -> bool:
        return obj.spec.suspend

    def suspended(self, before: Sequence[Condition]) -> Finding:
        """No condition changes (behaviour-kustomize.md 11, 14)."""
        ready = conditions.find(before, "Ready")
        return Finding(observed=ready is not None and ready.status == "True")

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        self._dependents.noticed(old, new)
        health.noticed(self._world.waits, old, new)

    def forget(self, key: Key) -> None:
        self._finished.pop(key, None)
        self._told.pop(key, None)
        self._world.memory.forget(key)
        self._world.waits.forget(key)
        self._world.arrivals.wait(key, ())
        self._world.preparer.forget(key)

    async def reconcile(self, obj: Kustomization, run: Run) -> Outcome | UnderWay:
        refuse(obj, self._world.settings)
        await health.read_expressions(self._world.expressions, obj)
        self._world.follower.begin(obj.key)
        drifts = self._world.follower.due(obj.key)
        so_far = SoFar(obj)
        try:
            async with asyncio.timeout(obj.spec.timeout_s):
                try:
                    return await self._reconcile(obj, run, drifts, so_far)
                except Outdated:
                    self._finished.pop(obj.key, None)  # or what was to be done would pass for done
                    return await self._reconcile(obj, run, drifts, so_far)
        except TimeoutError as error:
            self._finished.pop(obj.key, None)
            metrics.timed_out(self.kind.kind)
            why = f"not done within spec.timeout ({go_duration(obj.spec.timeout_s)}) at: {run.last_progress}"
            raise so_far.failure("ReconciliationFailed", why) from error
        except errors.KubeError as error:
            self._finished.pop(obj.key, None)
            raise so_far.failure("ReconciliationFailed", str(error)) from error
        except ReconcileError as error:
            self._finished.pop(obj.key, None)
            so_far.tell(error)
            raise
        finally:
            self._world.follower.settle(obj.key, tried=drifts)
            self._save(obj, run)

    async def delete(self, obj: Kustomization, run: Run) -> None:
        await delete(self._world, obj, run)

    async def delete_unreadable(self, raw: RawObject, error: InvalidObject, run: Run) -> None:  # noqa: ARG002
        keep_unreadable(raw, error)

    # --- across restarts ---

    def recall(self, raw: RawObject, saved: Saved) -> None:
        """Take over what a checkpoint says of a Kustomization; the watch confirms it or not."""
        key = Key.of(KUSTOMIZATION.kind, raw)
        for one in saved.objects:
            self._world.memory.remember(key, one.id, one.applied)
        self._world.preparer.recall(key, saved.recipe)
        self._told[key] = (saved.told, saved.recipe.left_out)
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
        told, _ = self._told.get(obj.key, ("", ()))
        applied = self._world.memory.holding(obj.key).applied
        saved = Saved(
            format=FORMAT,
            cluster=self._world.checkpoints.cluster,
            uid=run.uid,
            generation=run.generation,
            revision=finished.revision if finished else "",
            settled=finished is not None,
            told=told,
            recipe=recipe,
            objects=tuple(SavedObject.of(id_, one) for id_, one in applied.items()),
        )
        self._world.checkpoints.save(saved)

    # --- one run ---

    async def _reconcile(
        self, obj: Kustomization, run: Run, drifts: Mapping[ObjectId, Drift], so_far: SoFar
    ) -> Outcome | UnderWay:
        began = time.monotonic()
        artifact = observe.source_artifact(self._world, obj)
        so_far.artifact, so_far.said = artifact, None
        within = f"for revision {artifact.revision} with a timeout of {go_duration(obj.spec.timeout_s)}"
        checks = health.Checks.begin(self._world, obj, run, artifact, within=within)
        requested = run.requested and not checks.goes_on
        if not checks.goes_on:
            await observe.dependencies(self._world, obj, artifact, self._dependents)
        holding = self._world.memory.holding(obj.key)
        holding.doubted, in_doubt = False, holding.doubted  # what is doubted from now on is for the next run
        if in_doubt:
            self._finished.pop(obj.key, None)
        if self._is_settled(obj, artifact, run) and not drifts and await self._world.preparer.stands(obj):
            return Outcome(ready=report.applied(artifact))
        run.progress(f"Fetching manifests {within}")
        prepared = await observe.prepare(
            self._world,
            obj,
            artifact,
            lambda: run.progress(f"Building manifests {within}"),
            fresh=requested,
        )
        so_far.said = said = Report(obj, artifact, prepared, began)
        self._tell_of_build(obj, artifact, prepared, run)
        run.progress(f"Detecting drift {within}")
        taken = self._neighbours.holders(obj.key, [one.id for one in prepared.desired])
        wanted = {one.id for one in prepared.desired if not one.left_alone and one.id not in taken}
        self._world.memory.keep_only(obj.key, wanted)
        drifts = {id_: drift for id_, drift in drifts.items() if id_ in wanted}
        seen = observe.observed(
            self._world, obj, artifact, prepared, drifted=drifts, taken=taken, requested=requested
        )
        plan = decide(seen, custom_kinds=self._world.settings.custom_apply_stage_kinds)
        is_settled = await self._do(obj, artifact, plan, run, drifts=drifts, said=said)
        if seen.taken:
            tell.holders(self._world, obj, seen.taken)
            raise said.failure("ReconciliationFailed", report.conflicts(seen.taken))
        if plan.held is not None:
            raise said.held(plan, plan.held)
        healthy = await checks.look(prepared, plan, said)
        if isinstance(healthy, UnderWay):
            self._finished.pop(obj.key, None)
            return healthy
        if is_settled and healthy is None:  # health is looked at in every run
            self._finished[obj.key] = Finished(
                run.uid, run.generation, artifact.digest, artifact.revision, len(prepared.desired)
            )
        leaving_s = LEAVING_S if said.is_leaving else None
        return said.success(requested=run.requested, healthy=healthy, requeue_s=leaving_s)

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
        bodies = await observe.bodies(self._world, obj, artifact) if plan.stages else {}
        if plan.stages or plan.prune:
            self._world.checkpoints.discard(run.uid)
        unwatched = False
        if plan.stages:
            applier = self._world.applier(obj, bodies, drifts, run.is_current)
            record = await self._record(obj, plan, applier, run)
            result = await applier.run(plan)
            self._world.arrivals.wait(obj.key, result.missing)
            unwatched = bool(result.unwatched)
            tell.changes(run, [one for one in result.changes if one.action != "skipped"], artifact)
            if result.failures:
                if record is not None:
                    said.inventory = without_refused(record, recorded(obj), result.refused)
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
        before = recorded(obj)
        known = {entry.id for entry in before}
        new = [one for stage in plan.stages for one in stage if one.id not in known]
        record = without_refused(plan.record, before, await applier.find_impossible(new))
        if not gains(record, before):
            return None
        await run.patch_status({"inventory": inventory.status_of(record)})
        return record

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

    async def _prune(self, obj: Kustomization, plan: Plan, run: Run, artifact: Artifact) -> Pruned:
        if not plan.prune:
            return Pruned()
        takers = await self._neighbours.takers(obj, artifact, {entry.id for entry in plan.prune})
        self._dependents.wait(obj.key, on=takers.values())
        pruned = await self._world.pruner(obj, run.is_current, takers).run(plan.prune)
        tell.changes(run, pruned.changes, artifact)
        return pruned

    def _tell_of_build(self, obj: Kustomization, artifact: Artifact, prepared: Prepared, run: Run) -> None:
        """Once a revision: retries, repairs and requested runs would only say it again."""
        about = (artifact.revision, prepared.left_out)
        if self._told.get(obj.key) == about:
            return
        self._told[obj.key] = about
        if prepared.left_out:
            self._world.checkpoints.discard(run.uid)  # the next one says that it was told
            told = report.left_out(prepared.left_out)
            run.event(Event("Warning", "UnknownField", told, report.metadata(artifact)))
        if prepared.warnings:  # deprecated fields: no event, for that would be an alert with every commit
            run.log.info(
                "deprecated fields in a kustomization", revision=artifact.revision, fields=prepared.warnings
            )
