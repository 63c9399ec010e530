"""A Kustomization is deleted: what goes with it, before its finalizer does (behaviour-kustomize.md 9)."""

from datetime import UTC, datetime
from typing import Literal

from kustomize_controller.kustomization import inventory, report
from kustomize_controller.kustomization.decide import Entry
from kustomize_controller.kustomization.world import World
from shared.api.kinds import InvalidObject
from shared.api.kustomization import Kustomization
from shared.api.objects import InvalidId
from shared.kube import errors
from shared.kube.client import METADATA_ONLY
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, ReconcileError, Retryable, Stalled, Waiting
from shared.runtime.reconciler import FINALIZER
from shared.runtime.run import Run

TERMINATION_POLL_S = 2.0


async def delete(world: World, obj: Kustomization, run: Run) -> None:
    """Delete what `spec.deletionPolicy` says.

    Raises:
        Retryable: something could not be deleted.
        Waiting: for the end of what was deleted.
        Stalled: the inventory cannot be read.
    """
    try:
        await _delete(world, obj, run)
    except errors.KubeError as error:
        failed = Retryable("ReconciliationFailed", str(error))
        report.warn_about(failed, report.metadata_of_last(obj))
        raise failed from error
    except ReconcileError as error:
        report.warn_about(error, report.metadata_of_last(obj))
        raise


async def _delete(world: World, obj: Kustomization, run: Run) -> None:
    policy = obj.spec.deletion_policy
    mirrors = policy == "MirrorPrune" and obj.spec.prune
    if obj.spec.suspend or not (mirrors or policy in ("Delete", "WaitForTermination")):
        return
    try:
        entries = inventory.entries_of(obj.status.inventory)
    except InvalidId as error:
        raise _kept(f"status.inventory: {error}") from error
    if not entries:
        return
    if not await _account_exists(world, obj):
        run.event(_event(obj, "Warning", f"unable to prune objects: \n{report.subjects(entries)}"))
        return
    world.checkpoints.discard(run.uid)
    pruned = await world.pruner(obj, world.held).run(reversed(entries))
    if pruned.changes:
        run.event(_event(obj, "Normal", report.lines(pruned.changes)))
    if pruned.failures:
        about = report.metadata_of_last(obj)
        run.event(Event("Warning", "PruneFailed", "pruning for deleted resource failed", about))
        raise Retryable("PruneFailed", "delete failed, errors: " + " ".join(pruned.failures), events=())
    if policy == "WaitForTermination" and pruned.leaving:
        _await_end(obj, [entry for entry in entries if entry.id in pruned.leaving], run)


def keep_unreadable(raw: RawObject, error: InvalidObject) -> None:
    """A Kustomization that cannot be read is deleted: it may go only if it never applied anything.

    Nobody knows what its policy is, nor for certain which objects are its own. To forget them in silence
    would leave them in the cluster for ever, so a person has to say so.

    Raises:
        Stalled: says how to let it go.
    """
    if raw.get("status", {}).get("inventory") not in (None, {}, {"entries": []}):
        raise _kept(str(error))


def _kept(why: str) -> Stalled:
    told = f"{why}; correct it and request a run, and what it applied is deleted as spec.deletionPolicy says"
    let_go = f"or remove the finalizer {FINALIZER}, and all of that stays in the cluster"
    return Stalled("ValidationFailed", f"{told}; {let_go}")


def _await_end(obj: Kustomization, leaving: list[Entry], run: Run) -> None:
    """Raises Waiting until the time for it is over; what is left then is left."""
    since = datetime.fromisoformat(obj.metadata.deletion_timestamp or "")
    if (datetime.now(UTC) - since).total_seconds() < obj.spec.timeout_s:
        told = f"waiting for termination of:\n{report.subjects(leaving)}"
        raise Waiting("Terminating", told, events=(), retry_s=TERMINATION_POLL_S)
    run.event(_event(obj, "Warning", "failed to wait for resources termination"))


def _event(obj: Kustomization, type_: Literal["Normal", "Warning"], message: str) -> Event:
    """With the reason that Ready has, for a deletion says nothing there; without one, the severity
    (behaviour-kustomize.md 12)."""
    ready = obj.status.condition("Ready")
    severity = "info" if type_ == "Normal" else "error"
    return Event(type_, ready.reason if ready else severity, message, report.metadata_of_last(obj))


async def _account_exists(world: World, obj: Kustomization) -> bool:
    """Whether there is still somebody in whose name objects can be deleted; without an account: us."""
    account = world.account(obj)
    if not account:
        return True
    path = f"/api/v1/namespaces/{obj.metadata.namespace}/serviceaccounts/{account}"
    try:
        await world.client.request("GET", path, accept=METADATA_ONLY)
    except errors.NotFound:
        return False
    return True
