"""CPU seconds and memory of processes with all their children, over a window of time."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import usage

SAMPLE_S = 0.5
TOGETHER = "both controllers"
BENCH, OTHERS = "this bench", "other processes"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process and its children. RSS counts a page in every process that maps it; PSS shares it
    out, so that the sum is what the machine gave away."""

    pss: int = 0
    rss: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss + other.pss, self.rss + other.rss)

    def or_more(self, other: "Memory") -> "Memory":
        return Memory(max(self.pss, other.pss), max(self.rss, other.rss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    began: float  # seconds since the epoch, as the audit log's times
    ended: float
    cpu_s: Mapping[str, float]  # by process, BENCH and OTHERS; of a process started anew, since its start
    peak: Mapping[str, Memory]  # by controller, and TOGETHER: the highest sum of one sample

    @property
    def seconds(self) -> float:
        return self.ended - self.began


Pids = Callable[[], Mapping[str, int]]


class Meter:
    """Samples the memory of controllers in a thread of its own while it is open.

    Args:
        pids: gives the present process ids of all processes whose CPU counts, by name.
        controllers: those names whose memory counts.
    """

    def __init__(self, pids: Pids, controllers: Sequence[str]) -> None:
        self._pids = pids
        self._controllers = controllers
        self._peak: dict[str, Memory] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_for_ever, name="memory sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def begin(self) -> "Start":
        with self._lock:
            self._peak = {}
        return Start(time.time(), self._cpu(), own_cpu_s(), busy_s())

    def end(self, start: "Start") -> Window:
        self._sample()
        now = self._cpu()
        used = {name: seconds - _before(start, name, pid) for name, (pid, seconds) in now.items()}
        # A process of ours that ended has become part of our own children's time, with its whole life.
        ended = sum(seconds for name, (pid, seconds) in start.cpu.items() if now[name][0] != pid)
        used[BENCH] = max(own_cpu_s() - start.own_cpu_s - ended, 0.0)
        used[OTHERS] = max(busy_s() - start.busy_s - sum(used.values()), 0.0)
        with self._lock:
            return Window(began=start.at, ended=time.time(), cpu_s=used, peak=dict(self._peak))

    def controllers_cpu_s(self) -> float:
        """Of all controllers together, since their start."""
        return sum(usage.measure(self._pids()[name]).cpu_s for name in self._controllers)

    def _cpu(self) -> dict[str, tuple[int, float]]:
        return {name: (pid, usage.measure(pid).cpu_s) for name, pid in self._pids().items()}

    def _sample_for_ever(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        pids = self._pids()
        now = {name: memory(pids[name]) for name in self._controllers if name in pids}
        now[TOGETHER] = sum(now.values(), Memory())
        with self._lock:
            for name, sample in now.items():
                self._peak[name] = sample.or_more(self._peak.get(name, Memory()))


@dataclass(frozen=True, slots=True)
class Start:
    at: float
    cpu: Mapping[str, tuple[int, float]]  # process id and CPU seconds by name
    own_cpu_s: float
    busy_s: float


def _before(start: Start, name: str, pid: int) -> float:
    pid_before, seconds = start.cpu.get(name, (pid, 0.0))
    return seconds if pid == pid_before else 0.0


def memory(leader: int) -> Memory:
    """Of a process and all that it started, now."""
    return sum((_rollup(pid) for pid in usage.living(leader)), Memory())


def _rollup(pid: int) -> Memory:
    """/proc/PID/smaps_rollup, proc_pid_smaps(5); nothing for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    kib = {
        key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in text.splitlines()[1:])
    }
    return Memory(pss=kib.get("Pss", 0) * 1024, rss=kib.get("Rss", 0) * 1024)


def own_cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended: git, and Git's server."""
    return sum(os.times()[:4])


def busy_s() -> float:
    """CPU seconds that all processors have spent on processes since boot: "cpu" of proc_stat(5) without idle,
    iowait and steal."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank): always one of them."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]
