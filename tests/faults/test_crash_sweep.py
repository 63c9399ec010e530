"""F01: kill -9 before and after every write, start again, converge; nothing orphaned, nothing lost.

A learning run counts the writes of a story (events left out: they say nothing that is read again). Then
each write is struck twice: before the server sees it, and after the server has done it and the answer is
lost. By default S1 and S3 are swept whole and every third point of the others; `--sweep=all` takes all.
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
from tests.harness.canaries import Canaries
from tests.harness.invariants import InvariantsViolated, check_invariants
from tests.harness.wait import NotInTime, eventually

LANES = 2  # as many as cores: a lane is one busy controller
SWEPT_WHOLE = (FIRST_APPLY, PRUNE)


@dataclass(frozen=True, slots=True)
class Point:
    nth: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} write {self.nth}"


@pytest.fixture(scope="module")
def lanes(world: World, canaries: Canaries) -> Iterator[list[Lane]]:
    with ExitStack() as stack:
        started = [stack.enter_context(Lane(world)) for _ in range(LANES)]
        yield started
        for lane in started:
            canaries.search("log of kustomize_controller", lane.controller.log.read_bytes())


@pytest.mark.parametrize(
    "story", [FIRST_APPLY, UPDATE, PRUNE, DELETION], ids=lambda story: str(story.name)
)
def test_killed_at_every_write(story: Story, lanes: list[Lane], request: pytest.FixtureRequest) -> None:
    writes = learn(story, lanes[0])
    points = [Point(nth, after) for nth in range(1, writes + 1) for after in (False, True)]
    if story not in SWEPT_WHOLE and request.config.getoption("--sweep") != "all":
        points = points[::3]
    left = iter(points)
    with ThreadPoolExecutor(LANES) as pool:
        failures = [text for part in pool.map(lambda lane: sweep(story, lane, left), lanes) for text in part]
    print(f"{story.name}: {writes} writes, {len(points)} kills")
    assert not failures, "\n\n".join([f"{len(failures)} of {len(points)} points failed", *failures])


def test_nothing_is_orphaned_by_any_of_them(lanes: list[Lane]) -> None:
    """The whole cluster, all kinds, after all stories: what a single run's check could have overlooked."""
    check_invariants(lanes[0].world.cluster.client, store=lanes[0].world.sources.storage)


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


def sweep(story: Story, lane: Lane, points: Iterator[Point]) -> list[str]:
    """Take points until none is left; returns what failed, in full."""
    return [failed for point in points if (failed := strike(story, lane, point))]


def strike(story: Story, lane: Lane, point: Point) -> str:
    """One run of the story with one kill; "" or what went wrong."""
    case = lane.case()
    story.prepare(case)
    fault = Kill(lane.controller.pid)
    lane.proxy.obey(Rule(do=fault, verb="write", leave_out="events", nth=point.nth, after=point.after))
    story.happen(case)
    wrong = []
    try:
        eventually(lambda: lane.controller.process.exit_code() is not None, 20, f"the kill {point}")
    except NotInTime as error:
        wrong.append(str(error))
    lane.controller.restart()
    began = time.monotonic()
    try:
        case.await_converged(CONVERGE_S)
        case.check(KINDS)
    except (NotInTime, InvariantsViolated) as error:
        wrong.append(str(error))
    took_s = time.monotonic() - began
    case.leave()
    if not wrong:
        return ""
    return "\n".join([f"--- killed {point}, {took_s:.1f} s after the restart:", *wrong, str(lane.proxy.history)])
