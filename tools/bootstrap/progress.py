"""Which of how many, time so far, time left: one line, rewritten, on a terminal, few lines elsewhere."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

QUIET_S = 30.0  # between two lines where no terminal rewrites them


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    seconds: float  # estimated
    computes: bool  # it takes the processor's time; a download's time says nothing about this machine's


def expected_s(task: Task, done: Sequence[tuple[Task, float]]) -> float:
    """Estimate the seconds that `task` takes on this machine.

    Args:
        done: the tasks so far and what they took; they tell how this machine compares with the measured one.
    """
    if not task.computes:
        return task.seconds
    known_s = sum(task.seconds for task, _ in done if task.computes)
    actual_s = sum(seconds for task, seconds in done if task.computes)
    # Below half a minute of evidence, noise weighs more than the machine's speed.
    pace = min(max(actual_s / known_s, 0.2), 5.0) if known_s >= 30 else 1.0
    return task.seconds * pace


def left_s(done: Sequence[tuple[Task, float]], now: Task, elapsed_s: float, coming: Sequence[Task]) -> float:
    """Estimate the seconds left.

    Args:
        now: the current task. elapsed_s: time spent on it.
    """
    # A task that outlives its estimate is taken to need a tenth of its time so far again.
    rest_s = max(expected_s(now, done) - elapsed_s, elapsed_s * 0.1)
    return rest_s + sum(expected_s(task, done) for task in coming)


def span(seconds: float) -> str:
    """Write a duration as people say it: `40s`, `4m20s`, `1h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def briefly(seconds: float) -> str:
    """Write an estimate no finer than it deserves, in few letters: `40s`, `4m`."""
    if seconds < 50:
        return f"{max(round(seconds / 10) * 10, 10)}s"
    return f"{max(round(seconds / 60), 1)}m"


def roughly(seconds: float) -> str:
    """The same in words."""
    if seconds < 50:
        return f"{max(round(seconds / 10) * 10, 10)} seconds"
    minutes = max(round(seconds / 60), 1)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


@dataclass(slots=True)
class Progress:
    tasks: Sequence[Task]
    out: TextIO
    clock: Callable[[], float] = time.monotonic
    done: list[tuple[Task, float]] = field(default_factory=list)
    _began: float = 0.0
    _shown: float = 0.0
    _width: int = 0

    def begin(self) -> None:
        self._began = self._shown = self.clock()
        self._line(*self._text(0.0), last=not self.out.isatty())

    def tick(self) -> None:
        now = self.clock()
        if self.out.isatty() or now - self._shown >= QUIET_S:
            self._shown = now
            self._line(*self._text(now - self._began), last=not self.out.isatty())

    def end(self) -> None:
        task = self.tasks[len(self.done)]
        actual_s = self.clock() - self._began
        self.done.append((task, actual_s))
        self._line(
            f"[{len(self.done)}/{len(self.tasks)}] {task.name}", f": done in {span(actual_s)}", last=True
        )

    def stop(self) -> None:
        """Leave the line as it is: the step failed or was interrupted, and what follows says so."""
        if self._width:
            self.out.write("\n")
            self.out.flush()

    def _text(self, elapsed_s: float) -> tuple[str, str]:
        """Give which task it is, and its times."""
        at = len(self.done)
        task = self.tasks[at]
        expected = briefly(expected_s(task, self.done))
        left = span(left_s(self.done, task, elapsed_s, self.tasks[at + 1 :]))
        times = f", about {expected}: {span(elapsed_s)} so far, about {left} left in all"
        return f"[{at + 1}/{len(self.tasks)}] {task.name}", times

    def _line(self, what: str, times: str, *, last: bool) -> None:
        text = what + times
        if self.out.isatty():
            room = shutil.get_terminal_size().columns - 1  # a line that wraps is not rewritten by \r
            if len(text) > room:
                text = f"{what[: max(room - len(times) - 1, 0)]}…{times}"
            shown = text[:room]
            self.out.write("\r" + shown.ljust(self._width) + ("\n" if last else ""))
            self._width = 0 if last else len(shown)
        else:
            self.out.write(text + "\n")
        self.out.flush()
