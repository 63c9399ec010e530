"""Time left, and how it is told."""

import io
from dataclasses import replace

import pytest

from tools.bootstrap.progress import Progress, Task, briefly, left_s, roughly, span

NOW, NEXT = Task("compile kubectl", 100, computes=True), Task("compile kwok", 50, computes=True)
DONE = Task("compile etcd", 60, computes=True)
FETCHED = Task("Python packages", 60, computes=False)
Row = tuple[tuple[list[tuple[Task, float]], Task, float, list[Task]], float]
LEFT: dict[str, Row] = {
    "nothing done yet": (([], NOW, 0, [NEXT]), 150),
    "in the middle of the first task": (([], NOW, 40, [NEXT]), 110),
    "a machine of half the speed": (([(DONE, 120)], NOW, 0, [NEXT]), 300),
    "a machine of twice the speed": (([(DONE, 30)], NOW, 0, [NEXT]), 75),
    "a slow network says nothing about compiling": (([(FETCHED, 120)], NOW, 0, [NEXT]), 150),
    "a slow machine says nothing about downloads": (([(DONE, 120)], NOW, 0, [FETCHED]), 260),
    "too little evidence to tell the speed": (([(replace(DONE, seconds=10), 100)], NOW, 0, [NEXT]), 150),
    "a pace beyond belief is capped": (([(DONE, 6000)], NOW, 0, []), 500),
    "a task that outlives its estimate": (([], NOW, 200, [NEXT]), 70),
}


@pytest.mark.parametrize(("now", "seconds"), LEFT.values(), ids=LEFT)
def test_left(now: tuple[list[tuple[Task, float]], Task, float, list[Task]], seconds: float) -> None:
    assert left_s(*now) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (260, "4m20s"), (3900, "1h05m")]
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "10 seconds"), (38, "40 seconds"), (55, "a minute"), (840, "14 minutes")]
)
def test_roughly(seconds: float, text: str) -> None:
    assert roughly(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(1, "10s"), (38, "40s"), (55, "1m"), (260, "4m")])
def test_briefly(seconds: float, text: str) -> None:
    assert briefly(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def play(out: io.StringIO) -> str:
    """Run two tasks of 60 s; look at the clock each second, as the set-up does."""
    clock = Clock()
    progress = Progress([FETCHED, DONE], out, clock)
    for _ in range(2):
        progress.begin()
        for _ in range(60):
            clock.now += 1
            progress.tick()
        progress.end()
    return out.getvalue()


def test_a_log_gets_few_lines() -> None:
    assert play(io.StringIO()).splitlines() == [
        "[1/2] Python packages, about 1m: 0s so far, about 2m00s left in all",
        "[1/2] Python packages, about 1m: 30s so far, about 1m30s left in all",
        "[1/2] Python packages, about 1m: 1m00s so far, about 1m06s left in all",
        "[1/2] Python packages: done in 1m00s",
        "[2/2] compile etcd, about 1m: 0s so far, about 1m00s left in all",
        "[2/2] compile etcd, about 1m: 30s so far, about 30s left in all",
        "[2/2] compile etcd, about 1m: 1m00s so far, about 6s left in all",
        "[2/2] compile etcd: done in 1m00s",
    ]


def test_a_terminal_gets_one_line_per_step() -> None:
    shown = play(Terminal())
    assert shown.count("\n") == 2
    # What a terminal shows in the end: the last text after a return, over what stood there before.
    last = [line.split("\r")[-1] for line in shown.splitlines() if line]
    assert [line.rstrip() for line in last][-1] == "[2/2] compile etcd: done in 1m00s"


SLOW = Task("compile kube-controller-manager 1.37.2", 205, computes=True)


def test_a_narrow_terminal_shows_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line may not wrap; of the name enough is left to know it by."""
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    Progress([SLOW], out, Clock()).begin()
    shown = out.getvalue().removeprefix("\r")
    assert shown == "[1/1] compile kube-controller-ma…, about 3m: 0s so far, about 3m25s left in all"
    assert len(shown) == 79


def test_a_steps_own_time_follows_the_machines_speed() -> None:
    out = io.StringIO()
    progress = Progress([DONE, SLOW], out, Clock(), done=[(DONE, 120)])
    progress.begin()
    assert out.getvalue().startswith("[2/2] compile kube-controller-manager 1.37.2, about 7m: 0s so far")
