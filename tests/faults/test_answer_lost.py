"""F04: connections that break in the middle of a write, before the server saw it or after it has done it.

Half of the first writes of a story are struck, the odd ones or the even ones, so that retries are struck too.
"""

import pytest

from tests.faults.lane import Lane
from tests.faults.rules import Cut, Rule
from tests.faults.stories import DELETION, FIRST_APPLY, KINDS, PRUNE, UPDATE, Story

STRUCK = 12  # of the first writes of a story, every second one
RETRIES_S = 30.0  # each failure costs spec.retryInterval, a second


@pytest.mark.parametrize("first", [1, 2], ids=["odd writes", "even writes"])
@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("story", [FIRST_APPLY, UPDATE, PRUNE, DELETION], ids=lambda story: str(story.name))
def test_every_other_write_breaks(story: Story, after: bool, first: int, lane: Lane) -> None:
    case = lane.case()
    story.prepare(case)
    numbers = range(first, STRUCK + 1, 2)
    lane.proxy.obey(
        *(Rule(do=Cut(), verb="write", leave_out="events", nth=nth, after=after) for nth in numbers)
    )
    story.happen(case)
    case.await_settled(RETRIES_S)
    assert any(exchange.fault for exchange in lane.proxy.history.changes())
    lane.proxy.obey()
    case.check(KINDS)
    case.leave()
