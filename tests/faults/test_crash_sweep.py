"""F01: kill -9 before and after every write, start again, converge; nothing orphaned, nothing lost.

A learning run counts the writes of a story (events left out: they say nothing that is read again). Then
each write is struck twice: before the server sees it, and after the server has done it and the answer is
lost. `--sweep=some` takes every third point, for a quick look.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.faults.lane import CONVERGE_S, Lane, World
from tests.faults.rules import Kill, Rule
from tests.faults.stories import DELETION, FIRST_APPLY, KINDS, PRUNE, UPDATE, Story
from tests.harness.invariants import Evidence, InvariantsViolated, check_invariants
from tests.harness.wait import NotInTime, eventually

LANES = 2  # as many as cores: a lane is one busy controller
TRIES = 3  # a run may have one write fewer than another: a progress message comes only after a second


@dataclass(frozen=True, slots=True)
class Point:
    nth: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} write {self.nth}"


@dataclass(frozen=True, slots=True)
class Ran:
    point: Point
    killed: bool  # False: the run had fewer writes
    wrong: str  # "" when all is right


@pytest.fixture(scope="module")
def lanes(world: World) -> Iterator[list[Lane]]:
    with ExitStack() as stack:
        started = [stack.enter_context(Lane(world)) for _ in range(LANES)]
        yield started
        for lane in started:
            lane.outlets.search((), ())


@pytest.mark.parametrize("story", [FIRST_APPLY, UPDATE, PRUNE, DELETION], ids=lambda story: str(story.name))
def test_killed_at_every_write(story: Story, lanes: list[Lane], request: pytest.FixtureRequest) -> None:
    writes = learn(story, lanes[0])
    points = [Point(nth, after) for nth in range(1, writes + 1) for after in (False, True)]
    if request.config.getoption("--sweep") != "all":
        points = points[::3]
    left = iter(points)
    with ThreadPoolExecutor(LANES) as pool:
        ran = [one for part in pool.map(lambda lane: sweep(story, lane, left), lanes) for one in part]
    killed = {one.point for one in ran if one.killed}
    print(f"{story.name}: {writes} writes, {len(points)} points, {len(killed)} of them reached")
    failures = [one.wrong for one in ran if one.wrong]
    assert not failures, "\n\n".join([f"{len(failures)} of {len(points)} points failed", *failures])
    assert writes >= story.writes
    missed = [str(point) for point in points if point not in killed and point.nth <= story.writes]
    assert not missed, f"not reached, so not tested: {missed}"


def test_nothing_is_orphaned_by_any_of_them(lanes: list[Lane]) -> None:
    """The whole cluster, all kinds, after all stories: what a single run's check could have overlooked."""
    one = lanes[0]
    evidence = Evidence(outlets=one.outlets)
    check_invariants(one.world.cluster.client, store=one.world.sources.storage, evidence=evidence)


def learn(story: Story, lane: Lane) -> int:
    """Run the story without a fault; returns the number of its writes."""
    case = lane.case()
    story.prepare(case)
    before = len(case.lane.proxy.history.changes())
    story.happen(case)
    case.await_converged()
    case.check(KINDS)
    writes = len(case.lane.proxy.history.changes()) - before
    case.leave()
    return writes


def sweep(story: Story, lane: Lane, points: Iterator[Point]) -> list[Ran]:
    """Take points until none is left."""
    return [strike_at(story, lane, point) for point in points]


def strike_at(story: Story, lane: Lane, point: Point) -> Ran:
    """The first run that reaches the point or goes wrong, else the last."""
    for _ in range(TRIES):
        ran = strike(story, lane, point)
        if ran.killed or ran.wrong:
            break
    return ran


def strike(story: Story, lane: Lane, point: Point) -> Ran:
    """One run of the story with one kill."""
    case = lane.case()
    story.prepare(case)
    fault = Kill(lane.controller.pid)
    lane.proxy.obey(Rule(do=fault, verb="write", leave_out="events", nth=point.nth, after=point.after))
    story.happen(case)
    eventually(lambda: _is_killed(lane) or case.is_done(), 30, f"{case.token}: a kill {point}, or the end")
    killed = _is_killed(lane)
    if killed:
        lane.controller.restart()
    began = time.monotonic()
    wrong = []
    try:
        case.await_converged(CONVERGE_S)
        case.check(KINDS)
    except (NotInTime, InvariantsViolated) as error:
        title = f"--- killed {point}, {time.monotonic() - began:.1f} s after the restart:"
        wrong = [title, str(error), str(lane.proxy.history)]
    case.leave()
    return Ran(point, killed, "\n".join(wrong))


def _is_killed(lane: Lane) -> bool:
    return lane.controller.process.exit_code() is not None
