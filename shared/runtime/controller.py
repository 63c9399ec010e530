"""From an object that changed to a run of its reconciler.

What is the same for every kind lives here: one run per object at a time, finalizer, deletion, suspend. Which
changes start a run stands in `trigger.py`, how a run ends in `conclude.py`; a kind brings a `Reconciler`.

The cache holds objects as the watch gave them, or as a write of ours returned them, whichever is newer. A
write names the object's UID, so that it never lands on another object that took the name meanwhile.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic

import structlog

from shared.api.kinds import InvalidObject, decode
from shared.api.meta import Key
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Resource as Served
from shared.runtime import metrics, report
from shared.runtime.cache import Cache, Held, RawObject
from shared.runtime.conclude import Concluder, Recorder
from shared.runtime.outcome import Event, ReconcileError, Retryable, Stalled, Superseded, UnderWay
from shared.runtime.pace import Pace
from shared.runtime.queue import Item, Queue
from shared.runtime.reconciler import FINALIZER, R, Reconciler
from shared.runtime.run import Run
from shared.runtime.trigger import requested_at, trigger
from shared.runtime.write import Writer


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
        self._queue_metrics = metrics.QueueMetrics(kind.kind.lower(), lambda: len(self.queue))
        self.queue = Queue(self._queue_metrics.added)
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
        self._conclude = Concluder(
            cache=self.cache,
            queue=self.queue,
            writer=self._writer,
            recorder=recorder,
            pace=pace,
            retried=self._queue_metrics.retried,
            failure_reason=reconciler.failure_reason,
            in_progress=reconciler.in_progress,
        )
        self._concurrent = pace.concurrent
        self._held = held
        self._log = structlog.get_logger()

    # --- what the watch tells ---

    def observed(self, raw: RawObject, *, went_back: bool = False) -> None:
        taken, old = self.cache.put(raw, went_back=went_back)
        if taken:
            self._consider(old, raw)
        if went_back:
            self.queue.add(self.cache.key_of(raw), "the cluster went back in time")

    def vanished(self, key: Key, uid: str | None = None) -> None:
        if self.cache.drop(key, uid):
            self.queue.forget(key)
            self._conclude.forget(key)
            self._reconciler.forget(key)
            metrics.forget(key)

    def held(self) -> dict[Key, Held]:
        return self.cache.held()

    def _consider(self, old: RawObject | None, new: RawObject) -> None:
        self._reconciler.noticed(old, new)
        reason = trigger(old, new, self._reconciler.wakes_on)
        if reason:
            self.queue.add(self.cache.key_of(new), reason)

    def tell(self, key: Key, event: Event) -> None:
        """Record an event about an object that no run is about."""
        self._conclude.tell(key, event)

    # --- workers ---

    async def work(self) -> None:
        """Run workers until cancelled."""
        metrics.started(self.kind.kind, self._concurrent)
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrent):
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
                self._conclude.retry(item.key, "status not written")
            except Exception:
                # Nothing that one object does may end a worker: the others would wait for ever.
                self._log.exception("run failed outside of its reconciler", **_names(item.key))
                self._conclude.retry(item.key, "unexpected error")
            finally:
                self.queue.done(item.key)
                self._queue_metrics.ended(item.key)
                metrics.active(self.kind.kind, -1)
                metrics.reconciled(item.key, result, time.monotonic() - began)
                # Whatever the runs of a worker do, the loop gets its turn between two of them.
                await asyncio.sleep(0)

    # --- one run ---

    async def _run(self, item: Item) -> metrics.Result:
        raw = self.cache.get(item.key)
        if raw is None or not self._held():
            return "success"
        run = self._new_run(raw, item)
        try:
            obj = decode(self.kind, raw)
        except InvalidObject as error:
            if "deletionTimestamp" in raw["metadata"]:
                return await self._delete(raw, run, partial(self._reconciler.delete_unreadable, raw, error))
            told = Stalled("ValidationFailed", f"{error}; correct the object")
            return await self._conclude.failure(run, told)
        if obj.deleting:
            return await self._delete(raw, run, partial(self._reconciler.delete, obj))
        if FINALIZER not in obj.metadata.finalizers:
            changed = await self._writer.finalizers(run.key, run.uid, lambda now: [*now, FINALIZER])
            if changed is None:
                return "success"
            obj = decode(self.kind, changed)
        # After the finalizer, so that a deletion passes through here even if it was never at work.
        if self._reconciler.is_suspended(obj):
            before = report.conditions_of(raw.get("status", {}))
            await self._conclude.suspended(run, self._reconciler.suspended(before))
            return "success"
        return await self._reconcile(obj, run)

    async def _reconcile(self, obj: R, run: Run) -> metrics.Result:
        try:
            interval_s = self._reconciler.interval_s(obj)  # a zero passes the schema; nothing is done then
            outcome = await self._reconciler.reconcile(obj, run)
        except Superseded:
            await self._conclude.without_report(run)
            if run.is_current():  # nothing superseded it, so nothing else brings it back
                self._conclude.retry(run.key, "superseded")
            return "requeue"
        except (ReconcileError, errors.KubeError, InvalidObject) as error:
            return await self._conclude.failure(run, error)
        except Exception as error:
            metrics.panicked(self.kind.kind)
            run.log.exception("reconcile failed unexpectedly")
            told = f"internal error ({type(error).__name__}); see the controller's log for this object"
            return await self._conclude.failure(run, Retryable(self._reconciler.failure_reason, told))
        if isinstance(outcome, UnderWay):
            await self._conclude.under_way(run, outcome)
            return "requeue_after"
        await self._conclude.success(run, outcome, interval_s)
        return "success"

    async def _delete(
        self, raw: RawObject, run: Run, undo: Callable[[Run], Awaitable[None]]
    ) -> metrics.Result:
        if FINALIZER in raw["metadata"].get("finalizers", ()):
            try:
                await undo(run)
            except Superseded:
                return "requeue"
            except (ReconcileError, errors.KubeError, InvalidObject) as error:
                return await self._conclude.failure(run, error)
            await self._conclude.without_report(run)
            await self._writer.finalizers(
                run.key, run.uid, lambda now: [name for name in now if name != FINALIZER]
            )
        self.vanished(run.key, run.uid)
        return "success"

    def _new_run(self, raw: RawObject, item: Item) -> Run:
        meta = raw["metadata"]
        asked, handled = requested_at(raw), raw.get("status", {}).get("lastHandledReconcileAt", "")
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
            asked=asked,
            requested=bool(asked) and asked != handled,
            reasons=frozenset(item.reasons),
            log=log,
            write_status=self._conclude.progress,
            is_current=self._is_current,
        )

    def _is_current(self, run: Run) -> bool:
        raw = self.cache.get(run.key, run.uid)
        if raw is None or not self._held():
            return False
        meta = raw["metadata"]
        return meta.get("generation", 0) == run.generation and "deletionTimestamp" not in meta


def _names(key: Key) -> dict[str, Any]:
    """The log's names for an object (telemetry.md 3)."""
    return {
        "name": key.name,
        "namespace": key.namespace,
        key.kind: {"name": key.name, "namespace": key.namespace},
    }
