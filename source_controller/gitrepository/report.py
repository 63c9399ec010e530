"""How a run is told: progress, conditions, status fields and events in the contract's words.

Source: behaviour-source.md 1.3, 1.4, 1.8, 2 and its last section.
"""

from collections.abc import Sequence

import msgspec

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepository
from shared.api.meta import Condition
from shared.runtime import conditions
from shared.runtime.outcome import Event, Mark, Outcome, ReconcileError, Retryable, Stalled, Waiting
from shared.runtime.report import Finding
from shared.runtime.run import Run
from source_controller.gitrepository.checkout import CheckoutFailed
from source_controller.gitrepository.decide import Fetch, Stored
from source_controller.gitrepository.include import IncludeUnavailable
from source_controller.worker import Published

REVISION = "source.toolkit.fluxcd.io/revision"
DIGEST = "source.toolkit.fluxcd.io/digest"
_FAILURES = ("FetchFailed", "IncludeUnavailable", "StorageOperationFailed")
_SUBJECT_MAX = 50  # characters of a commit's first line in an event


def begin(obj: GitRepository, stored: Stored, run: Run) -> None:
    """The progress with which a run begins (behaviour-source.md 1.3)."""
    before, now = obj.status.observed_generation, obj.metadata.generation
    if before not in (now, -1):
        run.progress(f"processing object: new generation {before} -> {now}")
    if obj.status.artifact is None:
        run.progress("building artifact")
    elif stored == "lost":
        run.progress("building artifact: disappeared from storage")


def fetching(plan: Fetch, run: Run) -> None:
    """Shown if it takes long: what is built, and that consumers have an older one meanwhile."""
    run.progress(plan.because, *_outdated(plan))


def _outdated(plan: Fetch | None) -> tuple[Mark, ...]:
    if plan is None or plan.outdated is None or plan.gone:
        return ()
    return (Mark("ArtifactOutdated", "True", plan.outdated.reason, plan.outdated.message),)


def succeeded(
    obj: GitRepository, artifact: Artifact, included: Sequence[Artifact], *, subject: str | None
) -> Outcome:
    """The run's end with `artifact` in the store.

    Args:
        included: the artifacts of other repositories that are in it.
        subject: first line of the commit's message; None if nothing was fetched.
    """
    message = f"stored artifact for revision '{artifact.revision}'"
    return Outcome(
        ready=("Succeeded", message),
        marks=(Mark("ArtifactInStorage", "True", "Succeeded", message),),
        drop=(*_FAILURES, "ArtifactOutdated", "SourceVerified"),
        status={
            "artifact": msgspec.to_builtins(artifact),
            "includedArtifacts": [msgspec.to_builtins(one) for one in included] or None,
            "observedIgnore": obj.spec.ignore,
            "observedInclude": [msgspec.to_builtins(one) for one in obj.spec.include] or None,
            "observedRecurseSubmodules": obj.spec.recurse_submodules or None,
            "observedSparseCheckout": list(obj.spec.sparse_checkout) or None,
            "sourceVerificationMode": None,
        },
        events=_news(obj, artifact, subject or artifact.revision, kept=subject is None),
    )


def _news(obj: GitRepository, artifact: Artifact, subject: str, *, kept: bool) -> tuple[Event, ...]:
    """What is worth telling (behaviour-source.md 1.8): a new digest, that a failure is over, or that a
    rebuild gave the same bytes."""
    told = f"stored artifact for commit '{_cut(subject)}'"
    about = {REVISION: artifact.revision, DIGEST: artifact.digest}
    last = obj.status.artifact
    if last is None or last.digest != artifact.digest:
        return (Event("Normal", "NewArtifact", told, about),)
    if any(condition.type in _FAILURES and condition.status == "True" for condition in obj.status.conditions):
        return (Event("Normal", "Succeeded", told, about),)
    if kept:
        return ()
    same = f"artifact up-to-date with remote revision: '{artifact.revision}'"
    return (Event("Trace", "ArtifactUpToDate", same),)


def left_out(published: Published) -> Event:
    named = ", ".join(f"'{path}' ({why})" for path, why in published.left_out)
    more = published.left_out_count - len(published.left_out)
    tail = f" and {more} more" if more else ""
    return Event(
        "Normal", "LeftOut", f"left out of the artifact: {named}{tail}; artifacts hold files and folders only"
    )


def damaged(artifact: Artifact) -> Event:
    told = f"'{artifact.path}' is not {artifact.digest}; it is built again"
    return Event("Warning", "ArtifactVerificationFailed", f"failed to verify integrity of artifact: {told}")


def failed(
    error: CheckoutFailed, run: Run, *, plan: Fetch | None = None, gone: bool = False
) -> ReconcileError:
    """The run's failure. The old artifact and ArtifactInStorage stay.

    Args:
        plan: what was being done, once that was decided.
        gone: the store has lost the artifact, so that status may not name it any longer.
    """
    if run.last_progress is None:
        run.progress("reconciliation in progress")
    condition = error.condition
    marks = [Mark(condition, "True", error.reason, error.message)] if condition else []
    marks += _outdated(plan)
    drop = (*(one for one in _FAILURES if one != condition), *_of_lost(gone))
    kind = Stalled if error.stalled else Retryable
    return kind(error.reason, error.message, marks=marks, drop=drop, status=_status_of_lost(gone))


def waiting(error: IncludeUnavailable, run: Run, *, gone: bool) -> Waiting:
    """An included repository is not there yet. Woken by it; told as an event within the cluster only."""
    run.progress("reconciliation in progress")
    marks = [Mark("IncludeUnavailable", "True", error.reason, error.message)]
    drop = ("FetchFailed", "StorageOperationFailed", *_of_lost(gone))
    return Waiting(
        error.reason,
        error.message,
        on=error.on,
        marks=marks,
        drop=drop,
        status=_status_of_lost(gone),
        events=[Event("Trace", error.reason, error.message)],
    )


def suspended(before: Sequence[Condition]) -> Finding:
    """Nothing is worked on, so nothing is stalled; what was under way is left for later.

    Source: behaviour-source.md 1.1.
    """
    left = conditions.find(before, "Reconciling")
    again = () if left is None else (Mark("Reconciling", "True", "ProgressingWithRetry", left.message),)
    return Finding(marks=again, drop=("Stalled",), observed=bool(before))


def _of_lost(gone: bool) -> tuple[str, ...]:
    return ("ArtifactInStorage", "ArtifactOutdated") if gone else ()


def _status_of_lost(gone: bool) -> dict[str, object]:
    return {"artifact": None} if gone else {}


def _cut(subject: str) -> str:
    return subject if len(subject) <= _SUBJECT_MAX else subject[:_SUBJECT_MAX] + "..."
