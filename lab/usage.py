"""What a process and all that it started have used so far, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    cpu_s: float  # user and system, of living processes and of ended ones that were waited for
    peak_rss_bytes: int  # the living processes' own peaks added up: an upper bound, peaks need not coincide
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stat:
    parent: int
    session: int
    state: str
    cpu_ticks: int


def living(leader: int) -> list[int]:
    """Process ids in the session that `leader` leads, and their descendants; zombies do not count."""
    stats = {pid: stat for pid in _all_pids() if (stat := _read_stat(pid)) is not None and stat.state != "Z"}
    found = {pid for pid, stat in stats.items() if leader in (pid, stat.session)}
    while more := {pid for pid, stat in stats.items() if stat.parent in found} - found:
        found |= more
    return sorted(found)


def measure(leader: int) -> Usage:
    pids = living(leader)
    stats = [stat for pid in pids if (stat := _read_stat(pid)) is not None]
    return Usage(
        cpu_s=sum(stat.cpu_ticks for stat in stats) / _TICKS_PER_S,
        peak_rss_bytes=sum(_peak_rss_bytes(pid) for pid in pids),
        processes=len(stats),
    )


def peak_rss_bytes_of(leader: int, program: bytes) -> int:
    """The highest peak of a living process of `leader` whose command line holds `program`; 0 without one."""
    pids = [pid for pid in living(leader) if program in _command_line(pid)]
    return max((_peak_rss_bytes(pid) for pid in pids), default=0)


def rss_bytes_of(leader: int, program: bytes) -> int:
    """As `peak_rss_bytes_of`, but what the largest of them holds now."""
    pids = [pid for pid in living(leader) if program in _command_line(pid)]
    return max((_memory_bytes(pid, "VmRSS") for pid in pids), default=0)


def cpu_s_of(leader: int, program: bytes) -> float:
    """CPU seconds of the living processes of `leader` whose command line holds `program`."""
    stats = [_read_stat(pid) for pid in living(leader) if program in _command_line(pid)]
    return sum(stat.cpu_ticks for stat in stats if stat is not None) / _TICKS_PER_S


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    stat = _read_stat(pid)
    return stat is not None and stat.state != "Z"


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read_stat(pid: int) -> _Stat | None:
    """Fields of proc_pid_stat(5); None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # from field 3 on; the name before it may hold anything
    return _Stat(
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_ticks=sum(int(ticks) for ticks in fields[11:15]),  # utime, stime, cutime, cstime
    )


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _peak_rss_bytes(pid: int) -> int:
    return _memory_bytes(pid, "VmHWM")


def _memory_bytes(pid: int, what: str) -> int:
    """A line of /proc/PID/status, see proc_pid_status(5); 0 when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(f"{what}:")]
    return int(found[0]) * 1024 if found else 0
