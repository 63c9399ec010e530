"""The health part of a run: what it begins with, the look after the apply, and the user's expressions.

A run that finds something that is not ready yet ends as under way; `waits` puts the Kustomization into the
queue once there is a conclusion, and the next run, which has nothing left to apply, reports it.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kustomize_controller.kustomization import observe
from kustomize_controller.kustomization.decide import Desired, Plan
from kustomize_controller.kustomization.health import report
from kustomize_controller.kustomization.health.conclude import Healthy, Pending, Unhealthy
from kustomize_controller.kustomization.health.expressions import (
    OF_OBJECT,
    Expressions,
    InvalidExpression,
    NotEvaluated,
)
from kustomize_controller.kustomization.health.look import Viewer
from kustomize_controller.kustomization.health.targets import Target, targets, waits
from kustomize_controller.kustomization.health.wait import Attempt, Wait
from kustomize_controller.kustomization.health.waits import Order, Waits
from kustomize_controller.kustomization.prepare import Prepared
from kustomize_controller.kustomization.report import Passed, Report, metadata
from kustomize_controller.kustomization.stages import apply_order
from kustomize_controller.kustomization.vanish import vanishes
from kustomize_controller.kustomization.world import World
from shared.api.artifact import Artifact
from shared.api.kinds import KUSTOMIZATION
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, Retryable, Stalled, Superseded, UnderWay
from shared.runtime.run import Run

HOLD_BACK_S = 1.0  # most waits that are not over at once are over within a second, and a status write is dear
_JOB = ("batch", "Job")
TERMINAL = "Reconciliation failed terminally due to configuration error: "


def noticed(waits: Waits, old: RawObject | None, new: RawObject) -> None:
    """Another spec, or a deletion: what was waited for is not looked at any more; a run follows."""
    before = old["metadata"] if old is not None else {}
    after = new["metadata"]
    if new.get("spec", {}).get("suspend"):
        waits.forget(Key.of(KUSTOMIZATION.kind, new))
    elif before.get("generation") != after.get("generation") or "deletionTimestamp" in after:
        waits.stop(Key.of(KUSTOMIZATION.kind, new))


async def read_expressions(expressions: Expressions, obj: Kustomization) -> None:
    """See that `spec.healthCheckExprs` can be used at all, before anything else is done.

    Raises:
        Stalled: names the field, and what is wrong.
    """
    kinds: set[tuple[str, str]] = set()
    for index, one in enumerate(obj.spec.health_check_exprs):
        field = f"spec.healthCheckExprs[{index}]"
        kind = (one.api_version.rpartition("/")[0], one.kind)
        if kind in kinds:
            named = ".".join(part for part in reversed(kind) if part)
            raise _invalid(field, f"duplicate custom health check for GroupKind {named}")
        kinds.add(kind)
        if not one.current:
            raise _invalid(f"{field}.current", "expression Current not specified")
        for name, text in (("current", one.current), ("failed", one.failed), ("inProgress", one.in_progress)):
            if not text:
                continue
            try:
                await expressions.check(obj.metadata.namespace, text, OF_OBJECT)
            except InvalidExpression as error:
                raise _invalid(f"{field}.{name}", str(error)) from error
            except NotEvaluated as error:  # with backoff: it says nothing about the object
                raise Retryable("ReconciliationFailed", f"{field}.{name}: {error}") from error


def _invalid(field: str, why: str) -> Stalled:
    return Stalled("InvalidCELExpression", f"{TERMINAL}{field}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The health of one Kustomization, as one run is concerned with it.

    Attributes:
        goes_on: the run's very attempt is only waiting: nothing is to be asked of dependencies or applied
        anew. within: for progress messages; names revision and timeout.
    """

    world: World
    obj: Kustomization
    run: Run
    artifact: Artifact
    attempt: Attempt
    goes_on: bool
    within: str
    began: float  # of the run, monotonic

    @classmethod
    def begin(
        cls, world: World, obj: Kustomization, run: Run, artifact: Artifact, *, within: str
    ) -> "Checks":
        """A wait for something else than this run is about is canceled, and an event says so."""
        asked = run.asked or "" if run.requested else ""
        attempt = Attempt(run.uid, run.generation, artifact.digest, artifact.revision, asked)
        before = world.waits.superseded(obj.key, attempt)
        if before is not None:
            run.event(report.canceled(obj, before, attempt, metadata(artifact)))
        return cls(
            world=world,
            obj=obj,
            run=run,
            artifact=artifact,
            attempt=attempt,
            goes_on=world.waits.goes_on(obj.key, attempt),
            within=within,
            began=time.monotonic(),
        )

    async def look(self, prepared: Prepared, plan: Plan, said: Report) -> Passed | UnderWay | None:
        """How the objects fare that the Kustomization waits for; None when there are none.

        Raises:
            Retryable: they did not become ready.
            Superseded: the object is another one by now.
        """
        world, obj = self.world, self.obj
        aims = await self._targets(prepared) if waits(obj.spec) else ()
        if not aims:
            world.waits.forget(obj.key)
            return None
        message = report.running(self.within)
        self.run.progress(message)
        wait = await world.waits.look(self._order(aims, plan, message))
        if not self.run.is_current():  # whoever ended the wait meanwhile must not see it begin again
            raise Superseded
        wait.changed |= any(event.reason == "Progressing" for event in self.run.events)
        said.began = min(said.began, wait.began)
        match wait.conclude():
            case Healthy():
                wait.end()
                return self._passed(wait)
            case Unhealthy(why):
                wait.fail()
                told = report.failure(obj, self.artifact, wait.lasted_s, why)
                raise said.failure(report.FAILED, told, marks=(report.failed(why),))
            case Pending():
                wait.follow()
                return self._under_way(wait, said, message)

    def _order(self, aims: tuple[Target, ...], plan: Plan, message: str) -> Order:
        world, obj = self.world, self.obj
        return Order(
            key=obj.key,
            attempt=self.attempt,
            targets=aims,
            viewer=Viewer(namespace=obj.metadata.namespace, identity=world.identity(obj)),
            timeout_s=obj.spec.timeout_s - (time.monotonic() - self.began),
            began_s_ago=report.was_told(obj, message),
            applied={one.id for stage in plan.stages for one in stage},
            fail_fast=world.settings.fail_fast,
        )

    async def _targets(self, prepared: Prepared) -> tuple[Target, ...]:
        world, obj = self.world, self.obj
        ordered = apply_order(prepared.desired, world.settings.custom_apply_stage_kinds)
        holding = world.memory.holding(obj.key)
        applied = {one.id for one in ordered if one.id in holding.applied and one.id not in holding.hands_off}
        return targets(obj, ordered, applied=applied, vanishing=await self._vanishing(ordered))

    async def _vanishing(self, desired: Iterable[Desired]) -> Collection[ObjectId]:
        """Jobs of the build that Kubernetes deletes some time after they are done."""
        jobs = [one.id for one in desired if (one.id.group, one.id.kind) == _JOB]
        if not jobs:
            return ()
        bodies = await observe.bodies(self.world, self.obj, self.artifact)
        return {id_ for id_ in jobs if id_ in bodies and vanishes(bodies[id_])}

    def _passed(self, wait: Wait) -> Passed:
        mark = report.passed(wait.lasted_s)
        if not report.is_news(self.obj, self.artifact, changed=wait.changed):
            return Passed((mark,))
        return Passed((mark,), (Event("Normal", "Progressing", mark.message, metadata(self.artifact)),))

    def _under_way(self, wait: Wait, said: Report, message: str) -> UnderWay:
        quiet_s = 0.0
        if not self.run.requested and report.is_known_failure(self.obj, self.artifact):
            quiet_s = wait.left_s
        elif not self.run.requested and not wait.told:
            quiet_s = max(HOLD_BACK_S - wait.lasted_s, 0.0)
        wait.told |= not quiet_s
        return UnderWay(
            requeue_s=min(quiet_s, wait.left_s) if quiet_s else wait.left_s,
            tell=not quiet_s,
            marks=(report.pending(message),),
            status=said.attempted(),
        )
