"""From what a run found to the conditions that the contract wants. Pure.

One list in the status holds all conditions of an object. `merge` lays new marks over it: a condition whose
status, reason and message stay the same keeps its transition time. The order is the contract's: Stalled,
Reconciling, Ready, then the others by observed generation (newest first) and type (behaviour-source.md
1.2).
"""

from collections.abc import Iterable, Sequence

from shared.api.meta import Condition
from shared.runtime.outcome import Mark, Outcome, ReconcileError, Stalled, Waiting
from shared.runtime.redact import redact

MESSAGE_LIMIT = 32768  # bytes (behaviour-source.md 1.2)
_FIRST = {"Stalled": 0, "Reconciling": 1, "Ready": 2}


def merge(
    old: Sequence[Condition],
    marks: Iterable[Mark],
    drop: Iterable[str],
    *,
    namespace: str,
    generation: int,
    now: str,
) -> list[Condition]:
    """The new list of conditions.

    Args:
        marks: later ones win over earlier ones of the same type, and over `drop`.
        namespace: of the object, whose secrets are masked.
        now: RFC 3339 in whole seconds.
    """
    found = {condition.type: condition for condition in old}
    for gone in drop:
        found.pop(gone, None)
    before = {condition.type: condition for condition in old}
    for mark in marks:
        message = shown(mark.message, namespace)
        last = before.get(mark.type)
        same = last is not None and (last.status, last.reason, last.message) == (
            mark.status,
            mark.reason,
            message,
        )
        since = last.last_transition_time if same and last is not None else now
        found[mark.type] = Condition(
            type=mark.type,
            status=mark.status,
            reason=mark.reason,
            message=message,
            last_transition_time=since,
            observed_generation=generation,
        )
    return sorted(found.values(), key=_place)


def _place(condition: Condition) -> tuple[int, int, str]:
    return _FIRST.get(condition.type, 3), -condition.observed_generation, condition.type


def shown(message: str, namespace: str) -> str:
    """A message about an object in `namespace` as it may be written: without secrets, and at most
    `MESSAGE_LIMIT` bytes of UTF-8; what is cut ends with `...`."""
    safe = redact(message, namespace)
    raw = safe.encode()
    if len(raw) <= MESSAGE_LIMIT:
        return safe
    return raw[: MESSAGE_LIMIT - 3].decode(errors="ignore") + "..."


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def of_success(outcome: Outcome) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """Marks and drops of a run that ended well."""
    ready = Mark("Ready", "True", *outcome.ready)
    return (*outcome.marks, ready), (*outcome.drop, "Reconciling", "Stalled")


def of_error(
    error: ReconcileError, *, progress: str | None, old: Sequence[Condition]
) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """Marks and drops of a run that ended in an error.

    Args:
        progress: the last progress message of the run, or None when it never came that far. Then a
            Reconciling that an earlier run left stays, with its own message, and so does a Stalled if this
            run only waits (behaviour-kustomize.md 11).
    """
    ready = Mark("Ready", "False", error.reason, error.message)
    if isinstance(error, Stalled):
        stalled = Mark("Stalled", "True", error.reason, error.message)
        return (*error.marks, ready, stalled), (*error.drop, "Reconciling")
    if progress is None:
        left = find(old, "Reconciling")
        progress = left.message if left is not None else None
    if progress is None and isinstance(error, Waiting):
        return (*error.marks, ready), error.drop  # nothing was begun, so what stalled it is not overcome
    if progress is None:
        return (*error.marks, ready), (*error.drop, "Stalled")
    again = Mark("Reconciling", "True", "ProgressingWithRetry", progress)
    return (*error.marks, ready, again), (*error.drop, "Stalled")


def of_progress(message: str, *, ready: str) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """Marks and drops while a run is under way and long enough to be worth a write."""
    return (
        Mark("Reconciling", "True", "Progressing", message),
        Mark("Ready", "Unknown", "Progressing", ready or message),
    ), ("Stalled",)
