"""What a run of a Kustomization says: status fields, history, messages. Pure, but for the clock.

Messages and reasons are those of behaviour-kustomize.md 1, 11, 12 and 14, or ours where design section 9
leaves Flux's way.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kustomize_controller.kustomization import history, inventory
from kustomize_controller.kustomization.apply import Change, Result
from kustomize_controller.kustomization.decide import Entry, Held, Plan
from kustomize_controller.kustomization.names import ALLOW_PRUNE
from kustomize_controller.kustomization.prepare import Prepared
from shared.api.artifact import Artifact
from shared.api.duration import go_duration
from shared.api.instant import instant
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.runtime.outcome import Event, Mark, Outcome, ReconcileError, Retryable, Stalled

REVISION = "kustomize.toolkit.fluxcd.io/revision"
ORIGIN_REVISION = "kustomize.toolkit.fluxcd.io/originRevision"
COMMIT_STATUS = "kustomize.toolkit.fluxcd.io/commit_status"
_ORIGIN = "org.opencontainers.image.revision"
_NAMED = 5  # objects in a message


@dataclass(frozen=True, slots=True)
class Passed:
    """What is waited for is ready: conditions to set, and events if it is news."""

    marks: tuple[Mark, ...]
    events: tuple[Event, ...] = ()


class Report:
    """One run that got as far as a plan. `inventory` is set once it is known what is left."""

    def __init__(self, obj: Kustomization, artifact: Artifact, prepared: Prepared, began: float) -> None:
        self._obj = obj
        self._artifact = artifact
        self._prepared = prepared
        self.began = began  # monotonic
        self.inventory: tuple[Entry, ...] | None = None
        self.is_leaving = False  # a deletion takes its time

    def success(
        self, *, requested: bool, healthy: Passed | None = None, requeue_s: float | None = None
    ) -> Outcome:
        """A repair that changes no status writes no history: the change log told of it.

        Args:
            healthy: None if nothing was waited for.
        """
        status, artifact = self._obj.status, self._artifact
        ready = status.condition("Ready")
        is_news = (
            requested
            or status.last_applied_revision != artifact.revision
            or status.observed_generation != self._obj.metadata.generation
            or ready is None
            or ready.status != "True"
            or not status.history
            or status.history[0].digest != self._prepared.digest  # other variables
        )
        if not is_news:
            return Outcome(ready=applied(artifact), status=self._fields(), requeue_s=requeue_s)
        told = f"Reconciliation finished in {go_duration(round(self._duration_s(), 3))}"
        told += f", next run in {go_duration(self._obj.spec.interval_s)}"
        about = metadata(artifact) | {COMMIT_STATUS: "update"}
        return Outcome(
            ready=applied(artifact),
            marks=healthy.marks if healthy is not None else (),
            drop=("Healthy",) if healthy is None else (),
            status=self._fields() | self._history("ReconciliationSucceeded"),
            events=(
                *(healthy.events if healthy is not None else ()),
                Event("Normal", "ReconciliationSucceeded", told, about),
            ),
            requeue_s=requeue_s,
        )

    def attempted(self) -> dict[str, Any]:
        """Status fields of a run that goes on."""
        return {"lastAttemptedRevision": self._artifact.revision} | self._inventory()

    def failure(self, reason: str, message: str, *, marks: tuple[Mark, ...] = ()) -> Retryable:
        event = Event("Warning", reason, message, metadata(self._artifact))
        retry_s = self._obj.spec.retry_interval_s
        status = self._attempted(reason)
        return Retryable(reason, message, marks=marks, status=status, events=(event,), retry_s=retry_s)

    def held(self, plan: Plan, held: Held) -> Stalled:
        revision = self._artifact.revision
        names = _some([entry.id.subject for entry in plan.keep[-held.count :]])
        message = (
            f"{held.count} of {held.of} objects left the source and are kept until you say so: "
            f"{held.because}. Everything else of {revision} is applied. Waiting to be deleted: {names}. "
            f"If that is meant: kubectl annotate --overwrite -n {self._obj.metadata.namespace} "
            f"kustomization {self._obj.metadata.name} {ALLOW_PRUNE}='{revision}'"
        )
        return Stalled("PruneHeld", message, status=self._attempted("PruneHeld"))

    def _duration_s(self) -> float:
        return time.monotonic() - self.began

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "lastAttemptedRevision": self._artifact.revision,
            "lastAppliedRevision": self._artifact.revision,
            "lastAppliedOriginRevision": _origin(self._artifact) or None,
        }
        return fields | self._inventory()

    def _attempted(self, result: str) -> dict[str, Any]:
        attempted = self.attempted()
        last = self._obj.status.history[0] if self._obj.status.history else None
        if last is not None and (last.digest, last.last_reconciled_status) == (self._prepared.digest, result):
            return attempted  # the same failure again: a retry that changes nothing writes nothing
        return attempted | self._history(result)

    def _inventory(self) -> dict[str, Any]:
        return {} if self.inventory is None else {"inventory": inventory.status_of(self.inventory)}

    def _history(self, result: str) -> dict[str, Any]:
        advanced = history.advance(
            self._obj.status.history,
            digest=self._prepared.digest,
            result=result,
            revision=self._artifact.revision,
            origin_revision=_origin(self._artifact),
            now=instant(),
            duration_s=self._duration_s(),
        )
        return {"history": advanced}


@dataclass(slots=True)
class SoFar:
    """How far a run came, for what it says if it ends there.

    Attributes:
        artifact: what it is about, once the source named it.
        said: once that is built.
    """

    obj: Kustomization
    artifact: Artifact | None = None
    said: Report | None = None

    def failure(self, reason: str, message: str) -> Retryable:
        """The run was cut short by what is no step's own failure."""
        if self.said is not None:
            return self.said.failure(reason, message)
        failed = Retryable(reason, message, retry_s=self.obj.spec.retry_interval_s)
        self.tell(failed)
        return failed

    def tell(self, error: ReconcileError) -> None:
        """An event of its own names the revision, too."""
        if self.artifact is not None:
            warn_about(error, metadata(self.artifact))


def warn_about(error: ReconcileError, about: Mapping[str, str]) -> None:
    """Have an error that brings no events of its own told with `about`."""
    if error.events is None:
        error.events = (Event("Warning", error.reason, error.message, about),)


def applied(artifact: Artifact) -> tuple[str, str]:
    """Reason and message of Ready=True."""
    return ("ReconciliationSucceeded", f"Applied revision: {artifact.revision}")


def metadata(artifact: Artifact) -> dict[str, str]:
    """What every event of a run carries."""
    origin = _origin(artifact)
    return {REVISION: artifact.revision} | ({ORIGIN_REVISION: origin} if origin else {})


def metadata_of_last(obj: Kustomization) -> dict[str, str]:
    """The same where there is no run of an artifact: of what was applied last."""
    revision, origin = obj.status.last_applied_revision, obj.status.last_applied_origin_revision
    about = {REVISION: revision, ORIGIN_REVISION: origin}
    return {name: value for name, value in about.items() if value}


def lines(changes: list[Change]) -> str:
    """The change log."""
    return "\n".join(str(change) for change in changes)


def left_out(fields: Sequence[str]) -> str:
    """The first few of `Build.left_out`, a line each."""
    return _some(list(fields), separator="\n")


def refusals(result: Result) -> str:
    """The failures, then what was done all the same; ends in a newline (behaviour-kustomize.md 1, step
    16)."""
    return "\n".join([*sorted(result.failures), *map(str, result.changes)]) + "\n"


def conflicts(taken: Mapping[ObjectId, Key]) -> str:
    """Objects that another Kustomization keeps."""
    told = [
        f"{id_.subject} is also wanted by {owner}, which applied it; remove it from one of the two"
        for id_, owner in sorted(taken.items())
    ]
    return _some(told, separator="\n")


def _origin(artifact: Artifact) -> str:
    return (artifact.metadata or {}).get(_ORIGIN, "")


def _some(texts: list[str], separator: str = ", ") -> str:
    more = len(texts) - _NAMED
    return separator.join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def subjects(entries: Iterable[Entry]) -> str:
    """One line for each object."""
    return "\n".join(entry.id.subject for entry in entries)
