"""Prometheus metrics under the names of Flux and controller-runtime: existing dashboards and alerts work.

Recording is a function per happening. Children of labelled metrics are kept in dictionaries, since looking
one up in the client library costs several times the increment. `render` is what /metrics answers.

Left out because they say nothing true about a Python process: `go_*`. Left out because Flux no longer sets
them: `gotk_reconcile_condition`, `gotk_suspend_status`. Our own metrics begin with `headrace_`.

Source: the contract, telemetry.md 2; controller-runtime's names, labels and buckets.
"""

import time
from collections.abc import Callable, Hashable
from functools import cache
from typing import Final, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from shared.api.meta import Key
from shared.runtime.durations import Durations

__all__ = [
    "CONTENT_TYPE", "REGISTRY", "QueueMetrics", "Result", "active", "event_dropped", "forget", "leading",
    "panicked", "reconciled", "render", "requested", "stalled", "started", "timed_out",
]  # fmt: skip

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
REGISTRY: Final = CollectorRegistry()
_durations: Final = Durations()
Result = Literal["success", "error", "requeue", "requeue_after"]

# A `_created` series beside each counter and histogram would add a fourth to what is stored, for nothing.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)

_RECONCILE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
    1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
)  # fmt: skip
_QUEUE_BUCKETS = tuple(10.0**power for power in range(-8, 4))

_CONTROLLER = ("controller",)
_QUEUE = ("name", "controller")


def _counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, labels: tuple[str, ...]) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


_total = _counter("controller_runtime_reconcile_total", "Reconciles by result.", ("controller", "result"))
_errors = _counter("controller_runtime_reconcile_errors_total", "Reconciles that failed.", _CONTROLLER)
_terminal = _counter(
    "controller_runtime_terminal_reconcile_errors_total",
    "Failed reconciles that only a change can help.",
    _CONTROLLER,
)
_panics = _counter("controller_runtime_reconcile_panics_total", "Exceptions nobody expected.", _CONTROLLER)
_timeouts = _counter(
    "controller_runtime_reconcile_timeouts_total", "Reconciles that ran out of time.", _CONTROLLER
)
_time = _histogram(
    "controller_runtime_reconcile_time_seconds", "Duration of reconciles.", _CONTROLLER, _RECONCILE_BUCKETS
)
_workers = _gauge("controller_runtime_max_concurrent_reconciles", "Most reconciles at once.", _CONTROLLER)
_active = _gauge("controller_runtime_active_workers", "Reconciles that run now.", _CONTROLLER)

_depth = _gauge("workqueue_depth", "Keys that are due and wait for a worker.", (*_QUEUE, "priority"))
_adds = _counter("workqueue_adds_total", "Keys that were queued.", _QUEUE)
_waited = _histogram(
    "workqueue_queue_duration_seconds", "How long a key was due before it ran.", _QUEUE, _QUEUE_BUCKETS
)
_worked = _histogram("workqueue_work_duration_seconds", "How long a key's run took.", _QUEUE, _QUEUE_BUCKETS)
_retries = _counter("workqueue_retries_total", "Keys that were queued again after a failure.", _QUEUE)
_unfinished = _gauge("workqueue_unfinished_work_seconds", "Time spent so far in all runs under way.", _QUEUE)
_longest = _gauge(
    "workqueue_longest_running_processor_seconds", "Time spent so far in the longest run.", _QUEUE
)

_requests = _counter("rest_client_requests_total", "Requests to API servers.", ("code", "host", "method"))
_master = _gauge("leader_election_master_status", "1 while this process holds the Lease.", ("name",))
_dropped = _counter("headrace_events_dropped_total", "Events that were not delivered.", ("sink", "why"))


def reconciled(key: Key, result: Result, duration_s: float) -> None:
    """Count one reconcile, good or bad."""
    controller = key.kind.lower()
    _durations.observe(key, duration_s)
    _time_of(controller).observe(duration_s)
    _total_of(controller, result).inc()
    if result == "error":
        _errors_of(controller).inc()


def forget(key: Key) -> None:
    """Drop the series of an object that is gone."""
    _durations.forget(key)


def started(kind: str, workers: int) -> None:
    """A controller runs: its series exist from now on with zeros, so that a rate sees the first increment."""
    controller = kind.lower()
    _workers.labels(controller).set(workers)
    _active_of(controller).set(0)
    _errors_of(controller)
    for result in ("success", "error", "requeue", "requeue_after"):
        _total_of(controller, result)
    for counter in (_terminal, _panics, _timeouts):
        counter.labels(controller)


def active(kind: str, change: int) -> None:
    """A worker took a key (+1) or put it down (-1)."""
    _active_of(kind.lower()).inc(change)


def panicked(kind: str) -> None:
    _panics.labels(kind.lower()).inc()


def stalled(kind: str) -> None:
    """A reconcile failed in a way that a retry cannot help."""
    _terminal.labels(kind.lower()).inc()


def timed_out(kind: str) -> None:
    """A reconcile was not done within its object's spec.timeout."""
    _timeouts.labels(kind.lower()).inc()


def requested(code: int | str, host: str, method: str) -> None:
    """A request to an API server was answered; `code` is `<error>` where no answer came (as in client-go)."""
    _requests_of(str(code), host, method).inc()


def leading(name: str, held: bool) -> None:
    """Whether this process holds the Lease `name`."""
    _master.labels(name).set(held)


def event_dropped(sink: Literal["kubernetes", "notification"], why: str) -> None:
    _dropped.labels(sink, why).inc()


class QueueMetrics:
    """What one work queue tells.

    Args:
        name: the controller's, as in `kustomization`.
        depth: how many keys are due and wait; asked at the time of a scrape, from another thread.
    """

    def __init__(self, name: str, depth: Callable[[], int]) -> None:
        self._running: dict[Hashable, float] = {}  # key → monotonic start
        self._adds, self._retries = _adds.labels(name, name), _retries.labels(name, name)
        self._waited, self._worked = _waited.labels(name, name), _worked.labels(name, name)
        # Asked at the time of the scrape: nothing has to tick for them.
        _depth.labels(name, name, "0").set_function(depth)
        _unfinished.labels(name, name).set_function(lambda: sum(self._ages()))
        _longest.labels(name, name).set_function(lambda: max(self._ages(), default=0.0))

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def began(self, key: Hashable, waited_s: float) -> None:
        self._waited.observe(waited_s)
        self._running[key] = time.monotonic()

    def ended(self, key: Hashable) -> None:
        start = self._running.pop(key, None)
        if start is not None:
            self._worked.observe(time.monotonic() - start)

    def _ages(self) -> list[float]:
        now = time.monotonic()
        return [now - start for start in tuple(self._running.values())]


def render() -> bytes:
    """All metrics in Prometheus' text format. Takes a while for a thousand objects: call it in a thread."""
    return prometheus_client.generate_latest(REGISTRY) + _durations.render()


# Their labels are few: kinds, results, status codes, clusters.
@cache
def _total_of(controller: str, result: str) -> Counter:
    return _total.labels(controller, result)


@cache
def _errors_of(controller: str) -> Counter:
    return _errors.labels(controller)


@cache
def _time_of(controller: str) -> Histogram:
    return _time.labels(controller)


@cache
def _active_of(controller: str) -> Gauge:
    return _active.labels(controller)


@cache
def _requests_of(code: str, host: str, method: str) -> Counter:
    return _requests.labels(code, host, method)
