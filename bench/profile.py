"""Where the controllers' Python processes spend their time: py-spy, which the development packages bring.

It samples from outside, so that the measured code runs as it is, its children included. Only samples of a
thread that holds the interpreter's lock count: threads that wait would fill the profile otherwise. So time in
system calls and in compression is left out.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_RATE = 200  # samples a second
_TIMEOUT_S = 60.0
# What stands at the outer end of every stack, and py-spy's own headings.
_SCAFFOLDING = re.compile(r"process |thread |<module> |.*\((<frozen runpy>|threading\.py)\)")


class NoProfiler(Exception):
    """py-spy is missing."""


def profiler() -> str:
    """The program. Raises NoProfiler."""
    pinned = Path(sys.executable).with_name("py-spy")  # and none of PATH, where a virtual environment has it
    found = str(pinned) if os.access(pinned, os.X_OK) else shutil.which("py-spy")
    if found is None:
        raise NoProfiler("--profile needs py-spy: start through ./run, which installs it, or put it on PATH")
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """One function: its share of all samples, with those it called, and alone."""

    function: str
    total_percent: float
    own_percent: float


class Profile:
    """Samples some processes, each with its children, from `__init__` until `end`."""

    def __init__(self, program: str, pids: Mapping[str, int]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-profile-")
        self._running = {
            name: subprocess.Popen(
                _argv(program, pid, self._file(name)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._file(f"{name}.log").open("wb"),
                start_new_session=True,
            )
            for name, pid in pids.items()
        }

    def end(self) -> dict[str, list[Line]]:
        """The functions of each process with the largest share on top; none where the sampling failed."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for process in self._running.values():
            process.wait(_TIMEOUT_S)
        lines = {name: functions(_read(self._file(name))) for name in self._running}
        for name in self._running:
            if not lines[name]:
                print(self._file(f"{name}.log").read_text(errors="replace")[-500:], file=sys.stderr)
        self._folder.cleanup()
        return lines

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name


def _argv(program: str, pid: int, output: Path) -> list[str]:
    sampled = [program, "record", f"--pid={pid}", "--subprocesses", "--gil", f"--rate={_RATE}", "--nolineno"]
    return [*sampled, "--format=raw", f"--output={output}"]


def functions(stacks: Iterable[str]) -> list[Line]:
    """Add up py-spy's raw format: a stack a line, its frames from outermost to innermost, and a count:
    `process 12:"…";main (a.py);work (b.py) 17`.
    """
    total: Counter[str] = Counter()
    own: Counter[str] = Counter()
    samples = 0
    for stack in stacks:
        frames, _, number = stack.rpartition(" ")
        named = [frame for frame in frames.split(";") if not _SCAFFOLDING.match(frame)]
        if not named or not number.isdigit():
            continue
        samples += int(number)
        own[named[-1]] += int(number)
        for frame in set(named):  # a function that calls itself counts once
            total[frame] += int(number)
    return [
        Line(function, 100 * number / samples, 100 * own[function] / samples)
        for function, number in total.most_common()
    ]


def _read(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.is_file() else []
