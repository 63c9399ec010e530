"""What we want to reach, and the rows that say how far we are.

Goals are for a calm machine of two cores with the control plane on it, at 300 and at 1,000 Kustomizations; a
smaller load is held against the first, for a larger one only those hold that do not depend on the size.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.audit import applies, writes
from bench.measure import TOGETHER
from bench.result import Phase, Result
from bench.world import CONTROLLERS, KUSTOMIZE

_WRITES_PER_KUSTOMIZATION = 5  # beside one for each object: finalizer, status, events


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """Seconds, gigabytes of PSS, and requests."""

    cold_s: float | None = None
    cold_cpu_s: float | None = None
    one_applied_p50_s: float | None = None
    one_applied_max_s: float | None = None
    one_everywhere_s: float | None = None
    all_s: float | None = None
    restart_s: float | None = None
    memory_gb: float | None = None
    repaired_p50_s: float = 0.1
    repaired_p99_s: float = 1.0
    steady_requests: float = 10.0  # a minute
    steady_cpu_s: float = 0.6  # a minute


GOALS = {
    300: Goals(
        cold_s=6,
        cold_cpu_s=4,
        one_applied_p50_s=0.4,
        one_applied_max_s=0.8,
        one_everywhere_s=1.5,
        all_s=6,
        restart_s=3,
        memory_gb=0.35,
    ),
    1000: Goals(
        cold_s=20,
        cold_cpu_s=10,
        one_applied_p50_s=0.5,
        one_applied_max_s=1,
        one_everywhere_s=4,
        all_s=20,
        restart_s=6,
        memory_gb=0.4,
    ),
}


def goals_for(kustomizations: int) -> tuple[int, Goals]:
    """The size of the smallest load with goals that is not smaller, and these; 0 and the rest beyond all."""
    sizes = [size for size in sorted(GOALS) if kustomizations <= size]
    return (sizes[0], GOALS[sizes[0]]) if sizes else (0, Goals())


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measured: float
    unit: str
    goal: float | None = None  # at most

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.measured > self.goal


def rows(result: Result) -> list[Row]:
    """One row for each figure that has a goal, and some beside them; phases that did not run have none."""
    _, goals = goals_for(result.kustomizations)
    makers = {"cold": _cold, "push_one": _push_one, "push_all": _push_all, "drift": _drift}
    makers |= {"restart": _restart, "steady": _steady}
    made = [
        row
        for name, maker in makers.items()
        if name in result.phases
        for row in maker(result, result.phases[name], goals)
    ]
    peak = max((phase.window.peak[TOGETHER].pss for phase in result.phases.values()), default=0) / 1e9
    return [*made, Row("peak memory of both, PSS", peak, "GB", goals.memory_gb)]


Rows = Iterator[Row]
Maker = Callable[[Result, Phase, Goals], Rows]


def _cold(result: Result, phase: Phase, goals: Goals) -> Rows:
    counts = Counter(phase.requests)
    allowed = result.objects + _WRITES_PER_KUSTOMIZATION * result.kustomizations
    by_kustomize = sum(number for what, number in counts.items() if what.user == KUSTOMIZE)
    yield Row("cold: all Ready", phase.figures["all_ready_s"], "s", goals.cold_s)
    yield Row("cold: CPU of both", _cpu_s(phase), "s", goals.cold_cpu_s)
    yield Row("cold: write requests", writes(counts), "", allowed)
    yield Row("cold: requests per applied object", by_kustomize / result.objects, "")


def _push_one(_: Result, phase: Phase, goals: Goals) -> Rows:
    figures = phase.figures
    yield Row("push of one: fetched, p50", figures["fetched_p50_s"], "s")
    yield Row("push of one: applied, p50", figures["applied_p50_s"], "s", goals.one_applied_p50_s)
    yield Row("push of one: applied, max", figures["applied_max_s"], "s", goals.one_applied_max_s)
    everywhere = goals.one_everywhere_s
    yield Row("push of one: all on the revision, max", figures["all_on_revision_max_s"], "s", everywhere)
    yield Row("push of one: CPU of both, each", _cpu_s(phase) / figures["pushes"], "s")


def _push_all(_: Result, phase: Phase, goals: Goals) -> Rows:
    goal = goals.all_s
    yield Row("push of all: all applied, max", phase.figures["all_applied_max_s"], "s", goal)
    yield Row("push of all: all on the revision, max", phase.figures["all_on_revision_max_s"], "s", goal)
    yield Row("push of all: CPU of both, each", _cpu_s(phase) / phase.figures["pushes"], "s")


def _drift(_: Result, phase: Phase, goals: Goals) -> Rows:
    yield Row("drift: repaired, p50", phase.figures["repaired_p50_s"], "s", goals.repaired_p50_s)
    yield Row("drift: repaired, p99", phase.figures["repaired_p99_s"], "s", goals.repaired_p99_s)


def _restart(_: Result, phase: Phase, goals: Goals) -> Rows:
    yield Row("restart: at rest", phase.figures["at_rest_s"], "s", goals.restart_s)
    yield Row("restart: objects applied", applies(Counter(phase.requests)), "", 0)
    yield Row("restart: CPU of both", _cpu_s(phase), "s")


def _steady(_: Result, phase: Phase, goals: Goals) -> Rows:
    minutes, cpu = phase.figures["minutes"], phase.window.cpu_s
    requests = sum(phase.requests.values()) / minutes
    yield Row("nothing happening: requests a minute", requests, "", goals.steady_requests)
    yield Row("nothing happening: CPU of both a minute", _cpu_s(phase) / minutes, "s", goals.steady_cpu_s)
    for name in (*CONTROLLERS, "kube-apiserver", "etcd"):
        yield Row(f"nothing happening: CPU of {name} a minute", cpu[name] / minutes, "s")


def _cpu_s(phase: Phase) -> float:
    return sum(phase.window.cpu_s[name] for name in CONTROLLERS)
