"""What a reconcile gives back: an `Outcome`, an `UnderWay`, or one of three errors that say what the queue
does next.

A kind's reconciler never patches conditions, counts retries or names a requeue time of its own making. It
says what is true now (`Mark`s), what is worth telling (`Event`s) and which status fields it stands for;
`conditions.py` turns that into the conditions of the contract, `conclude.py` into one status patch and a
place in the queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.api.meta import Key

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling once. `Trace` is a Normal Kubernetes event that never leaves the cluster."""

    type: Literal["Normal", "Warning", "Trace"]
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """One condition that the run found to hold; the runtime adds generation and transition time."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that ended well.

    Attributes:
        ready: reason and message of Ready=True. marks: further conditions to set. drop: condition types to
        remove. status: top-level status fields as JSON values; `None` removes a field. Conditions,
        observedGeneration and
            lastHandledReconcileAt are the runtime's.
        requeue_s: seconds to the next timed run; `None` means the object's own interval.
    """

    ready: tuple[str, str]
    marks: tuple[Mark, ...] = ()
    drop: tuple[str, ...] = ()
    status: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    requeue_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """A run that did its part and ended, while what it began goes on without a worker: the reconciler
    watches it, and puts the object into the queue when there is news.

    Attributes:
        marks, status, events: as in `Outcome`. Reconciling is True with the run's last progress, Ready
        Unknown. tell: write all of that now; False while it is not worth a status write yet. requeue_s:
        seconds to the next run, should there be no news.
    """

    requeue_s: float
    tell: bool = True
    marks: tuple[Mark, ...] = ()
    status: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


class Superseded(Exception):
    """The object changed, or we ceased to lead, while the run was under way. It stops where it is and reports
    nothing; the change that superseded it is in the queue already. If there was none, it is tried again."""


class ReconcileError(Exception):
    """A run that did not reach its goal; the subclass says what the queue does.

    Attributes:
        reason, message: go to Ready=False as they are, so they carry no secret.
        marks, drop, status: as in `Outcome`; what is not named stays as it was.
        events: what to tell; `None` means one Warning event with reason and message.
        retry_s: seconds to the next run; `None` leaves it to the class.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        marks: Sequence[Mark] = (),
        drop: Sequence[str] = (),
        status: Mapping[str, object] | None = None,
        events: Sequence[Event] | None = None,
        retry_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.marks = tuple(marks)
        self.drop = tuple(drop)
        self.status: Mapping[str, object] = status or {}
        self.events = None if events is None else tuple(events)
        self.retry_s = retry_s


class Retryable(ReconcileError):
    """Later may be better: network, 5xx, conflict, full disk. Backoff, or `retry_s` where the kind has its
    own."""


class Waiting(ReconcileError):
    """Something else is missing or not ready: woken when `on` changes; the timed run is a safety net."""

    def __init__(self, reason: str, message: str, *, on: Key | None = None, **rest: object) -> None:
        super().__init__(reason, message, **rest)  # type: ignore[arg-type]  # same keywords as the parent
        self.on = on


class Stalled(ReconcileError):
    """Only a new generation or a requested run can help."""
