"""What the runtime does around a run, whatever the kind: which request it answers, finalizer before suspend,
what it counts.

Writes go into the cache, as the API server's answers do.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import pytest

from shared.api.kinds import KUSTOMIZATION
from shared.api.kustomization import Kustomization
from shared.api.meta import Condition, Key
from shared.kube.client import Client
from shared.runtime import metrics, report
from shared.runtime.cache import RawObject
from shared.runtime.conclude import Recorder
from shared.runtime.controller import Controller
from shared.runtime.outcome import Event, Outcome, Retryable, Stalled, UnderWay, Waiting
from shared.runtime.pace import Pace
from shared.runtime.reconciler import FINALIZER, Reconciler
from shared.runtime.report import Finding
from shared.runtime.run import Run
from shared.runtime.trigger import REQUESTED_AT
from shared.runtime.write import Writer

ME = Key("Kustomization", "team", "app")
NOW = "2026-01-01T00:00:00Z"


def raw(
    version: int = 1,
    *,
    asked: str = "",
    suspend: bool = False,
    finalizers: Sequence[str] = (FINALIZER,),
    status: Mapping[str, Any] | None = None,
) -> RawObject:
    return {
        "apiVersion": KUSTOMIZATION.api_version,
        "kind": KUSTOMIZATION.kind,
        "metadata": {
            "name": ME.name, "namespace": ME.namespace, "uid": "u", "generation": 1,
            "resourceVersion": str(version), "finalizers": list(finalizers),
            "annotations": {REQUESTED_AT: asked} if asked else {},
        },
        "spec": {
            "interval": "1h", "prune": True, "suspend": suspend,
            "sourceRef": {"kind": "GitRepository", "name": "app"},
        },
        "status": status or {},
    }  # fmt: skip


class Told:
    """A recorder of events that keeps them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, raw: RawObject, event: Event) -> None:  # noqa: ARG002
        self.events.append(event)


class Scripted:
    """A reconciler whose first run ends as `end` says; the following ones, for which one waits, succeed.

    Attributes:
        runs: what each was asked, and whether it is a requested one.
        writes: "finalizer", or the value of lastHandledReconcileAt after each write of status.
    """

    kind = KUSTOMIZATION
    failure_reason = status_manager = in_progress = "x"
    wakes_on = ()

    def __init__(self, end: Callable[["Scripted"], Outcome | UnderWay]) -> None:
        self.end = end
        self.runs: list[tuple[str | None, bool]] = []
        self.writes: list[str | None] = []
        self.told = Told()
        self.controller = Controller(
            cast(Reconciler[Kustomization], self),
            client=cast(Client, None),  # `written` takes its place
            recorder=cast(Recorder, self.told),
            pace=Pace(concurrent=1, min_retry_s=60.0),
        )

    def noticed(self, old: object, new: object) -> None: ...

    def forget(self, key: Key) -> None: ...

    def is_suspended(self, obj: Kustomization) -> bool:
        return obj.spec.suspend

    def suspended(self, before: Sequence[Condition]) -> Finding:  # noqa: ARG002
        return Finding()

    def interval_s(self, obj: Kustomization) -> float:
        return obj.spec.interval_s

    async def reconcile(self, obj: Kustomization, run: Run) -> Outcome | UnderWay:  # noqa: ARG002
        self.runs.append((run.asked, run.requested))
        return self.end(self) if len(self.runs) == 1 else Outcome(ready=("Good", "fine"))

    async def until(self, check: Callable[[], object]) -> None:
        working = asyncio.create_task(self.controller.work())
        deadline = time.monotonic() + 5
        while not check():
            assert time.monotonic() < deadline, (self.runs, self.writes)
            await asyncio.sleep(0)
        working.cancel()


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes land in the cache."""

    def put(writer: Writer, raw: RawObject, **changed: Any) -> RawObject:
        version = int(raw["metadata"]["resourceVersion"]) + 1
        new = {**raw, **changed}
        new["metadata"] = {**new["metadata"], "resourceVersion": str(version)}
        writer._take(new)
        return new

    async def status(self: Writer, key: Key, uid: str, generation: int, finding: Finding) -> None:
        now = self._cache.get(key, uid)
        assert now is not None
        new = report.next_status(
            now["status"], finding, namespace=key.namespace, generation=generation, now=NOW
        )
        put(self, now, status=new)
        _script(self).writes.append(new.get("lastHandledReconcileAt"))

    async def finalizers(
        self: Writer, key: Key, uid: str, change: Callable[[list[str]], Iterable[str]]
    ) -> RawObject:
        now = self._cache.get(key, uid)
        assert now is not None
        meta = {**now["metadata"], "finalizers": list(change(now["metadata"]["finalizers"]))}
        _script(self).writes.append("finalizer")
        return put(self, now, metadata=meta)

    monkeypatch.setattr(Writer, "status", status)
    monkeypatch.setattr(Writer, "finalizers", finalizers)


def _script(writer: Writer) -> Scripted:
    """Whose writer it is."""
    took: Any = writer._took
    return cast(Scripted, took.__self__._reconciler)


def good() -> Outcome:
    return Outcome(ready=("Good", "fine"))


def fails(error: Exception) -> Callable[[], Outcome]:
    def fail() -> Outcome:
        raise error

    return fail


# How the first run ends; what lastHandledReconcileAt says after it.
ENDS: dict[str, tuple[Callable[[], Outcome | UnderWay], str | None]] = {
    "well": (good, "first"),
    "in a failure": (fails(Retryable("Bad", "later")), "first"),
    "for good": (fails(Stalled("Bad", "never")), "first"),
    "in a wait for another": (fails(Waiting("Bad", "not yet")), "first"),
    "under way": (lambda: UnderWay(requeue_s=60.0), None),
}


@pytest.mark.parametrize(("end", "handled"), ENDS.values(), ids=ENDS)
async def test_what_is_asked_for_during_a_run_is_answered_by_the_next(
    end: Callable[[], Outcome | UnderWay], handled: str | None
) -> None:
    """A run may have looked before: a fetch has listed the remote, and then somebody pushes and asks."""

    def ends(it: Scripted) -> Outcome | UnderWay:
        it.controller.observed(raw(2, asked="later"))
        return end()

    it = Scripted(ends)
    it.controller.observed(raw(asked="first"))
    await it.until(lambda: len(it.writes) == 2)
    assert it.runs == [("first", True), ("later", True)]
    assert it.writes == [handled, "later"]


async def test_a_request_that_was_answered_is_none_any_more() -> None:
    it = Scripted(lambda _: good())
    it.controller.observed(raw(asked="once", status={"lastHandledReconcileAt": "once"}))
    await it.until(lambda: it.writes)
    assert it.runs == [("once", False)]


async def test_what_is_created_suspended_has_a_finalizer() -> None:
    """behaviour-kustomize.md 1, behaviour-source.md 1.1: or it would be deleted without a look at it."""
    it = Scripted(lambda _: good())
    it.controller.observed(raw(suspend=True, finalizers=(), asked="now"))
    await it.until(lambda: len(it.writes) == 2)
    assert (it.runs, it.writes) == ([], ["finalizer", "now"])


async def test_a_stalled_run_is_counted_as_terminal() -> None:
    def count() -> float:
        name = "controller_runtime_terminal_reconcile_errors_total"
        return metrics.REGISTRY.get_sample_value(name, {"controller": "kustomization"}) or 0.0

    before = count()
    for error, more in ((Retryable("Bad", "later"), 0), (Stalled("Bad", "never"), 1)):
        it = Scripted(lambda _, error=error: fails(error)())  # type: ignore[misc]
        it.controller.observed(raw())
        await it.until(lambda it=it: it.writes)  # type: ignore[misc]
        assert count() == before + more, error
