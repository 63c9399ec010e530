"""From an object that changed to a run of its reconciler, and from what the run found to a status patch.

What is the same for every kind lives here: which changes start a run, one run per object at a time,
finalizer, deletion, suspend, the three classes of errors, backoff, one status patch at the end and only if
something changed. A kind brings a `Reconciler`.

The cache holds objects as the watch gave them, or as a write of ours returned them, whichever is newer. A
write names the object's UID, so that it never lands on another object that took the name meanwhile.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from shared.api.kinds import InvalidObject, Kind, decode
from shared.api.meta import Key, Resource
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Resource as Served
from shared.runtime import conditions, metrics, report
from shared.runtime.cache import Cache, RawObject
from shared.runtime.outcome import (
    Event,
    Outcome,
    ReconcileError,
    Retryable,
    Stalled,
    Superseded,
    Waiting,
)
from shared.runtime.queue import Item, Queue
from shared.runtime.report import Finding
from shared.runtime.run import Run
from shared.runtime.write import Writer

R = TypeVar("R", bound=Resource)

FINALIZER = "finalizers.fluxcd.io"
REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
TELL_WAIT_S = 1.0


class Reconciler(Protocol[R]):
    """What a kind brings."""

    @property
    def kind(self) -> Kind[R]: ...

    @property
    def failure_reason(self) -> str:
        """Of Ready=False when something unforeseen went wrong."""

    @property
    def status_manager(self) -> str:
        """The field manager of status patches."""

    @property
    def in_progress(self) -> str:
        """The message of Ready=Unknown while a run is under way; "" means the progress itself."""

    @property
    def wakes_on(self) -> tuple[str, ...]:
        """Annotations besides requestedAt whose change starts a run."""

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        """An object of the kind appeared or changed, status included. Must not block."""

    async def reconcile(self, obj: R, run: Run) -> Outcome:
        """Bring about what `obj` asks for. Safe to repeat after a kill at any line.

        Raises:
            ReconcileError: see its classes.
        """

    async def delete(self, obj: R, run: Run) -> None:
        """Undo what is to be undone before `obj` goes. The finalizer is removed when this returns."""

    def forget(self, key: Key) -> None:
        """The object is gone: drop what is remembered of it."""

    def interval_s(self, obj: R) -> float:
        """Seconds to the next timed run after success."""

    def is_suspended(self, obj: R) -> bool:
        """Hands off."""


class Recorder(Protocol):
    """Where events go. Never blocks."""

    def record(self, raw: RawObject, event: Event) -> None:
        """`raw` is the object that the event is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how many at once."""

    concurrent: int
    min_retry_s: float = 0.75
    max_retry_s: float = 900.0
    requeue_dependency_s: float = 30.0
    jitter: float = 0.05  # of an interval, to either side


class Controller(Generic[R]):
    """All objects of one kind: a `KindSink` on one side, workers on the other."""

    def __init__(
        self,
        reconciler: Reconciler[R],
        *,
        client: Client,
        recorder: Recorder,
        pace: Pace,
        held: Callable[[], bool] = lambda: True,
    ) -> None:
        kind = reconciler.kind
        self.kind = kind
        self.queue = Queue()
        self.cache = Cache(kind.kind)
        self._reconciler = reconciler
        self._writer = Writer(
            client,
            Served(kind.group, kind.version, kind.kind, kind.plural, namespaced=True),
            self.cache,
            manager=reconciler.status_manager,
            took=self._consider,
            gone=self.vanished,
        )
        self._recorder = recorder
        self._pace = pace
        self._held = held
        self._failures: dict[Key, int] = {}
        self._waited: set[Key] = set()  # whose wait began and was not told yet
        self._queue_metrics = metrics.QueueMetrics(kind.kind.lower(), self.queue.__len__)
        self._log = structlog.get_logger()

    # --- what the watch tells ---

    def observed(self, raw: RawObject) -> None:
        taken, old = self.cache.put(raw)
        if taken:
            self._consider(old, raw)

    def vanished(self, key: Key, uid: str | None = None) -> None:
        if self.cache.drop(key, uid):
            self.queue.forget(key)
            self._failures.pop(key, None)
            self._waited.discard(key)
            self._reconciler.forget(key)
            metrics.forget(key)

    def keys(self) -> set[Key]:
        return self.cache.keys()

    def _consider(self, old: RawObject | None, new: RawObject) -> None:
        self._reconciler.noticed(old, new)
        reason = trigger(old, new, self._reconciler.wakes_on)
        if reason:
            self.queue.add(self.cache.key_of(new), reason)

    # --- workers ---

    async def work(self) -> None:
        """Run workers until cancelled."""
        metrics.started(self.kind.kind, self._pace.concurrent)
        async with asyncio.TaskGroup() as group:
            for number in range(self._pace.concurrent):
                group.create_task(self._work(), name=f"{self.kind.kind} worker {number}")

    async def _work(self) -> None:
        while True:
            item = await self.queue.get()
            began = time.monotonic()
            metrics.active(self.kind.kind, 1)
            self._queue_metrics.began(item.key, began - item.added_at)
            result: metrics.Result = "error"
            try:
                result = await self._run(item)
            except errors.KubeError as error:
                self._log.error("status not written", **_names(item.key), error=str(error))
                self.queue.add_after(item.key, self._backoff_s(item.key), "status not written")
            except Exception:
                # Nothing that one object does may end a worker: the others would wait for ever.
                self._log.exception("run failed outside of its reconciler", **_names(item.key))
                self.queue.add_after(item.key, self._backoff_s(item.key), "unexpected error")
            finally:
                self.queue.done(item.key)
                self._queue_metrics.ended(item.key)
                metrics.active(self.kind.kind, -1)
                metrics.reconciled(item.key, result, time.monotonic() - began)

    async def _run(self, item: Item) -> metrics.Result:
        raw = self.cache.get(item.key)
        if raw is None or not self._held():
            return "success"
        run = self._new_run(raw, item)
        try:
            obj = decode(self.kind, raw)
        except InvalidObject as error:
            return await self._report_error(run, Stalled("ValidationFailed", f"{error}; correct the object"))
        if obj.deleting:
            return await self._delete(obj, run)
        if self._reconciler.is_suspended(obj):
            ready = conditions.find(report.conditions_of(raw.get("status", {})), "Ready")
            is_ready = ready is not None and ready.status == "True"
            found = Finding(drop=("Stalled",), observed=is_ready, handled=self._requested_at(run))
            await self._write(run, found)
            return "success"
        if FINALIZER not in obj.metadata.finalizers:
            changed = await self._writer.finalizers(run.key, run.uid, lambda now: [*now, FINALIZER])
            if changed is None:
                return "success"
            obj = decode(self.kind, changed)
        return await self._reconcile(obj, run)

    async def _reconcile(self, obj: R, run: Run) -> metrics.Result:
        try:
            interval_s = self._reconciler.interval_s(obj)  # a zero passes the schema; nothing is done then
            outcome = await self._reconciler.reconcile(obj, run)
        except Superseded:
            await run.end()
            self._tell(run, tuple(run.events))
            return "requeue"
        except (ReconcileError, errors.KubeError, InvalidObject) as error:
            return await self._report_error(run, self._classified(error))
        except Exception as error:
            metrics.panicked(self.kind.kind)
            run.log.exception("reconcile failed unexpectedly")
            told = f"internal error ({type(error).__name__}); see the controller's log for this object"
            return await self._report_error(run, Retryable(self._reconciler.failure_reason, told))
        await self._report_success(run, outcome, interval_s)
        return "success"

    def _classified(self, error: Exception) -> ReconcileError:
        if isinstance(error, ReconcileError):
            return error
        if isinstance(error, InvalidObject):
            return Stalled("ValidationFailed", str(error))
        return Retryable(self._reconciler.failure_reason, str(error))

    def _new_run(self, raw: RawObject, item: Item) -> Run:
        meta = raw["metadata"]
        requested = meta.get("annotations", {}).get(REQUESTED_AT, "")
        handled = raw.get("status", {}).get("lastHandledReconcileAt", "")
        log = self._log.bind(
            controller=self.kind.kind.lower(),
            controllerGroup=self.kind.group,
            controllerKind=self.kind.kind,
            reconcileID=str(uuid.uuid4()),
            **_names(item.key),
        )
        return Run(
            key=item.key,
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 0),
            requested=bool(requested) and requested != handled,
            reasons=frozenset(item.reasons),
            log=log,
            write_status=self._write_progress,
            is_current=self._is_current,
        )

    def _is_current(self, run: Run) -> bool:
        raw = self.cache.get(run.key, run.uid)
        if raw is None or not self._held():
            return False
        meta = raw["metadata"]
        return meta.get("generation", 0) == run.generation and "deletionTimestamp" not in meta

    # --- how a run ends ---

    async def _report_success(self, run: Run, outcome: Outcome, interval_s: float) -> None:
        await run.end()
        marks, drop = conditions.of_success(outcome)
        found = Finding(
            marks=marks, drop=drop, fields=outcome.status, observed=True, handled=self._requested_at(run)
        )
        await self._write(run, found)
        self._tell(run, (*run.events, *outcome.events))
        self._failures.pop(run.key, None)
        self._waited.discard(run.key)
        if outcome.requeue_s is not None:
            self.queue.add_after(run.key, outcome.requeue_s)
        else:
            self.queue.add_after(run.key, self._jittered(interval_s))

    async def _report_error(self, run: Run, error: ReconcileError) -> metrics.Result:
        await run.end()
        raw = self.cache.get(run.key, run.uid)
        if raw is None:
            return "error"
        if self._hold_back(run, error):
            return "requeue_after"
        self._requeue_after(run, error)
        old = raw.get("status", {})
        before = report.conditions_of(old)
        marks, drop = conditions.of_error(error, progress=run.last_progress, old=before)
        is_news = run.requested or report.is_news(before, marks)
        found = Finding(
            marks=marks,
            drop=drop,
            fields=error.status,
            observed=isinstance(error, Stalled),
            handled=self._requested_at(run),
        )
        await self._write(run, found)
        told: tuple[Event, ...] = ()
        if is_news:
            if isinstance(error, Waiting):
                run.log.info("waiting", because=error.message, reason=error.reason)
            else:
                run.log.error("reconciliation failed", error=error.message, reason=error.reason)
            told = (Event("Warning", error.reason, error.message),) if error.events is None else error.events
        self._tell(run, (*run.events, *told))
        return "requeue_after" if isinstance(error, Waiting) else "error"

    def _hold_back(self, run: Run, error: ReconcileError) -> bool:
        """Whether a wait is too young to be told: most are over within a second, and a status write is
        dear."""
        if not isinstance(error, Waiting) or run.requested or run.key in self._waited:
            self._waited.discard(run.key)
            return False
        self._waited.add(run.key)
        self.queue.add_after(run.key, TELL_WAIT_S, "waiting")
        return True

    async def _delete(self, obj: R, run: Run) -> metrics.Result:
        if FINALIZER in obj.metadata.finalizers:
            try:
                await self._reconciler.delete(obj, run)
            except Superseded:
                return "requeue"
            except (ReconcileError, errors.KubeError, InvalidObject) as error:
                return await self._report_error(run, self._classified(error))
            await run.end()
            self._tell(run, tuple(run.events))
            await self._writer.finalizers(
                run.key, run.uid, lambda now: [name for name in now if name != FINALIZER]
            )
        self.vanished(run.key, run.uid)
        return "success"

    def _requeue_after(self, run: Run, error: ReconcileError) -> None:
        if isinstance(error, Stalled):
            self._failures.pop(run.key, None)
        elif error.retry_s is not None:
            self.queue.add_after(run.key, error.retry_s, "retry")
        elif isinstance(error, Waiting):
            self.queue.add_after(run.key, self._pace.requeue_dependency_s, "waiting")
        else:
            self.queue.add_after(run.key, self._backoff_s(run.key), "retry")

    def _backoff_s(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(self._pace.min_retry_s * 2 ** min(failures, 30), self._pace.max_retry_s))

    def _jittered(self, interval_s: float) -> float:
        return interval_s * (1 + self._pace.jitter * random.uniform(-1, 1))  # noqa: S311  # not for secrets

    def _requested_at(self, run: Run) -> str | None:
        raw = self.cache.get(run.key, run.uid)
        meta = raw["metadata"] if raw is not None else {}
        requested: str | None = meta.get("annotations", {}).get(REQUESTED_AT)
        return requested

    async def _write_progress(self, run: Run, fields: RawObject, message: str | None) -> None:
        marks, drop = (
            conditions.of_progress(message, ready=self._reconciler.in_progress)
            if message is not None
            else ((), ())
        )
        await self._write(run, Finding(marks=marks, drop=drop, fields=fields))

    async def _write(self, run: Run, finding: Finding) -> None:
        await self._writer.status(run.key, run.uid, run.generation, finding)

    def tell(self, key: Key, event: Event) -> None:
        """Record an event about an object that no run is about."""
        raw = self.cache.get(key)
        if raw is not None:
            self._recorder.record(raw, event)

    def _tell(self, run: Run, events: tuple[Event, ...]) -> None:
        raw = self.cache.get(run.key, run.uid)
        if raw is not None:
            for event in events:
                self._recorder.record(raw, event)


def trigger(old: RawObject | None, new: RawObject, wakes_on: tuple[str, ...] = ()) -> str:
    """Why a change of an object starts a run; "" if it does not (status, labels, other annotations).

    Source: behaviour-source.md 1.1.
    """
    after = new["metadata"]
    if old is None:
        return "appeared"
    before = old["metadata"]
    if before.get("uid") != after.get("uid"):
        return "created anew"
    if "deletionTimestamp" in after and "deletionTimestamp" not in before:
        return "deletion"
    if before.get("generation") != after.get("generation"):
        return "spec changed"
    annotations, annotations_before = after.get("annotations", {}), before.get("annotations", {})
    requested = annotations.get(REQUESTED_AT)
    if requested and requested != annotations_before.get(REQUESTED_AT):
        return "requested"
    if any(annotations.get(name) != annotations_before.get(name) for name in wakes_on):
        return "annotated"
    return ""


def _names(key: Key) -> dict[str, Any]:
    """The log's names for an object (telemetry.md 3)."""
    return {
        "name": key.name,
        "namespace": key.namespace,
        key.kind: {"name": key.name, "namespace": key.namespace},
    }
