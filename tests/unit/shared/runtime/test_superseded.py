"""A run that stops as superseded is followed by exactly one other, whether or not something superseded it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from shared.api.kinds import KUSTOMIZATION
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.kube.client import Client
from shared.runtime.cache import RawObject
from shared.runtime.conclude import Recorder
from shared.runtime.controller import Controller
from shared.runtime.outcome import Outcome, Superseded, UnderWay
from shared.runtime.pace import Pace
from shared.runtime.reconciler import FINALIZER, Reconciler
from shared.runtime.run import Run

ME = Key("Kustomization", "team", "app")


def raw(generation: int = 1) -> RawObject:
    source = {"kind": "GitRepository", "name": "app"}
    return {
        "apiVersion": KUSTOMIZATION.api_version,
        "kind": KUSTOMIZATION.kind,
        "metadata": {
            "name": ME.name, "namespace": ME.namespace, "uid": "u", "generation": generation,
            "resourceVersion": str(generation), "finalizers": [FINALIZER],
        },
        "spec": {"interval": "1h", "prune": True, "sourceRef": source},
    }  # fmt: skip


class Stops:
    """A reconciler whose first run stops as superseded, after `meanwhile`, and whose second goes on for
    ever."""

    kind = KUSTOMIZATION
    failure_reason = status_manager = in_progress = "x"
    wakes_on = ()

    def __init__(self, meanwhile: Callable[["Stops"], object]) -> None:
        self.meanwhile = meanwhile
        self.holds = True
        self.runs: list[frozenset[str]] = []
        self.again = asyncio.Event()
        nobody = cast(Client, None), cast(Recorder, None)  # nothing is written or told
        self.controller = Controller(
            cast(Reconciler[Kustomization], self),
            client=nobody[0],
            recorder=nobody[1],
            pace=Pace(concurrent=1, min_retry_s=0.0),
            held=lambda: self.holds,
        )

    def noticed(self, old: object, new: object) -> None: ...

    def forget(self, key: Key) -> None: ...

    def is_suspended(self, obj: Kustomization) -> bool:
        return obj.spec.suspend

    def interval_s(self, obj: Kustomization) -> float:
        return obj.spec.interval_s

    async def reconcile(self, obj: Kustomization, run: Run) -> Outcome | UnderWay:  # noqa: ARG002
        self.runs.append(run.reasons)
        if len(self.runs) == 1:
            self.meanwhile(self)
            raise Superseded
        self.again.set()
        await asyncio.Event().wait()
        raise AssertionError


CASES: dict[str, tuple[Callable[[Stops], object], list[str], list[str]]] = {
    "by nothing": (lambda _: None, ["superseded"], ["superseded"]),
    "by a new spec": (lambda it: it.controller.observed(raw(2)), ["spec changed"], []),
    "by its end": (lambda it: it.controller.vanished(ME), [], []),
    "by a new leader": (lambda it: setattr(it, "holds", False), [], []),
}


@pytest.mark.parametrize(("meanwhile", "reasons", "timed"), CASES.values(), ids=CASES)
async def test_what_follows(
    meanwhile: Callable[[Stops], object],
    reasons: list[str],
    timed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Stops(meanwhile)
    queue = it.controller.queue
    armed: list[str] = []
    add_after = queue.add_after

    def note(key: Key, delay_s: float, reason: str = "interval") -> None:
        armed.append(reason)
        add_after(key, delay_s, reason)

    monkeypatch.setattr(queue, "add_after", note)
    it.controller.observed(raw())
    working = asyncio.create_task(it.controller.work())
    await _until(lambda: it.again.is_set() or (not reasons and it.runs and not queue.busy()), it.runs)
    working.cancel()
    assert it.runs == [{"appeared"}, *({reason} for reason in reasons)]
    assert armed == timed


async def _until(check: Callable[[], object], seen: Any) -> None:
    deadline = time.monotonic() + 5
    while not check():
        assert time.monotonic() < deadline, f"runs so far: {seen}"
        await asyncio.sleep(0)
