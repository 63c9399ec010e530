"""How a run ends: one status patch if something changed, events for what is news, a place in the queue.

What a run says before it ends (progress, fields that must be there first) is written here too, so that there
is one place in which a status is made.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from shared.api.kinds import InvalidObject
from shared.api.meta import Key
from shared.kube import errors
from shared.runtime import conditions, metrics, report
from shared.runtime.cache import Cache, RawObject
from shared.runtime.outcome import Event, Outcome, ReconcileError, Retryable, Stalled, UnderWay, Waiting
from shared.runtime.pace import Pace
from shared.runtime.queue import Queue
from shared.runtime.report import Finding
from shared.runtime.run import Run
from shared.runtime.write import Writer

TELL_WAIT_S = 1.0


class Recorder(Protocol):
    """Where events go. Never blocks."""

    def record(self, raw: RawObject, event: Event) -> None:
        """`raw` is the object that the event is about."""


class Concluder:
    """Ends the runs of one kind.

    Args:
        retried: called for each retry with backoff.
        failure_reason: of Ready=False for an error that brings none of its own.
        in_progress: see `Reconciler`.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        queue: Queue,
        writer: Writer,
        recorder: Recorder,
        pace: Pace,
        retried: Callable[[], None],
        failure_reason: str,
        in_progress: str,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._writer = writer
        self._recorder = recorder
        self._pace = pace
        self._retried = retried
        self._failure_reason = failure_reason
        self._in_progress = in_progress
        self._failures: dict[Key, int] = {}
        self._waited: set[Key] = set()  # whose wait began and was not told yet

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._waited.discard(key)

    async def success(self, run: Run, outcome: Outcome, interval_s: float) -> None:
        await run.end()
        marks, drop = conditions.of_success(outcome)
        found = Finding(marks=marks, drop=drop, fields=outcome.status, observed=True, handled=run.asked)
        await self._write(run, found)
        self._tell(run, (*run.events, *outcome.events))
        self.forget(run.key)
        again_s = self._pace.jittered(interval_s) if outcome.requeue_s is None else outcome.requeue_s
        self._queue.add_after(run.key, again_s)

    async def under_way(self, run: Run, so_far: UnderWay) -> None:
        """What the run began goes on: no generation is observed and no request answered before it ends."""
        await run.end()
        if so_far.tell:
            marks, drop = conditions.of_progress(run.last_progress or "", ready=self._in_progress)
            found = Finding(marks=(*so_far.marks, *marks), drop=drop, fields=so_far.status)
            await self._write(run, found)
        self._tell(run, (*run.events, *so_far.events))
        self.forget(run.key)
        self._queue.add_after(run.key, so_far.requeue_s, "under way")

    async def failure(
        self, run: Run, failed: ReconcileError | errors.KubeError | InvalidObject
    ) -> metrics.Result:
        await run.end()
        error = self._classified(failed)
        raw = self._cache.get(run.key, run.uid)
        if raw is None:
            return "error"
        if self._hold_back(run, error):
            return "requeue_after"
        self._requeue_after(run, error)
        before = report.conditions_of(raw.get("status", {}))
        marks, drop = conditions.of_error(error, progress=run.last_progress, old=before)
        is_news = run.requested or report.is_news(before, marks, run.key.namespace)
        found = Finding(
            marks=marks,
            drop=drop,
            fields=error.status,
            observed=isinstance(error, Stalled),
            handled=run.asked,
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

    async def without_report(self, run: Run) -> None:
        """The object is about to go, or another run follows at once: only what was done is told."""
        await run.end()
        self._tell(run, tuple(run.events))

    async def suspended(self, run: Run, found: Finding) -> None:
        """Nothing was done; that a run was asked for is answered all the same."""
        await self._write(run, replace(found, handled=run.asked))

    async def progress(self, run: Run, fields: RawObject, message: str | None) -> None:
        """What a run that is under way wants written: `fields`, and what it is at."""
        marks, drop = (
            conditions.of_progress(message, ready=self._in_progress) if message is not None else ((), ())
        )
        found = Finding(marks=(*run.progress_marks, *marks), drop=drop, fields=fields)
        await self._write(run, found)

    def retry(self, key: Key, why: str) -> None:
        """Work on it again, later with each failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._queue.add_after(key, self._pace.backoff_s(failures), why)
        self._retried()

    def tell(self, key: Key, event: Event) -> None:
        """Record an event about an object that no run is about."""
        raw = self._cache.get(key)
        if raw is not None:
            self._recorder.record(raw, event)

    def _classified(self, error: ReconcileError | errors.KubeError | InvalidObject) -> ReconcileError:
        if isinstance(error, ReconcileError):
            return error
        if isinstance(error, InvalidObject):
            return Stalled("ValidationFailed", str(error))
        return Retryable(self._failure_reason, str(error))

    def _hold_back(self, run: Run, error: ReconcileError) -> bool:
        """Whether a wait is too young to be told: most are over within a second, and a status write is
        dear."""
        if not isinstance(error, Waiting) or run.requested or run.key in self._waited:
            self._waited.discard(run.key)
            return False
        self._waited.add(run.key)
        self._queue.add_after(run.key, TELL_WAIT_S, "waiting")
        return True

    def _requeue_after(self, run: Run, error: ReconcileError) -> None:
        if isinstance(error, Stalled):
            metrics.stalled(run.key.kind)
            self._failures.pop(run.key, None)
        elif error.retry_s is not None:
            self._queue.add_after(run.key, error.retry_s, "retry")
        elif isinstance(error, Waiting):
            self._queue.add_after(run.key, self._pace.requeue_dependency_s, "waiting")
        else:
            self.retry(run.key, "retry")

    async def _write(self, run: Run, finding: Finding) -> None:
        await self._writer.status(run.key, run.uid, run.generation, finding)

    def _tell(self, run: Run, events: tuple[Event, ...]) -> None:
        raw = self._cache.get(run.key, run.uid)
        if raw is not None:
            for event in events:
                self._recorder.record(raw, event)
