"""Goals count what is seen before, at and after they are set, and say what is missing."""

import pytest

from bench.board import Board, NotReached


async def test_object_that_shows_the_value_already_counts_with_the_time_it_began() -> None:
    board = Board("markers")
    board.post("app-0", "new")
    began = board.expect(["app-0"], "new").reached["app-0"]
    board.post("app-0", "new")
    assert board.expect(["app-0"], "new").reached["app-0"] == began


async def test_goal_is_reached_with_the_last_of_its_objects() -> None:
    board = Board("markers")
    goal = board.expect(["app-0", "app-1"], "new")
    for name, value in (("app-1", "new"), ("app-0", "old"), ("stranger", "new"), ("app-0", "new")):
        board.post(name, value)
    assert await board.reach(goal, 1) == goal.reached["app-0"]


async def test_value_that_was_shown_only_for_a_moment_counts() -> None:
    board = Board("markers")
    goal = board.expect(["app-0"], "by hand")
    board.post("app-0", "by hand")
    board.post("app-0", "from git")
    await board.reach(goal, 1)


async def test_goal_out_of_time_names_an_object_and_what_it_shows() -> None:
    board = Board("markers")
    board.post("app-0", "new")
    board.post("app-1", "old")
    goal = board.expect(["app-0", "app-1"], "new")
    with pytest.raises(NotReached, match="1 of 2 markers do not show 'new': app-1 shows 'old'"):
        await board.reach(goal, 0.01)


@pytest.mark.parametrize("first", [True, False], ids=["broken before the goal", "broken after the goal"])
async def test_broken_watch_ends_the_wait(first: bool) -> None:
    board = Board("markers")
    if first:
        board.fail(ConnectionError("gone"))
    goal = board.expect(["app-0"], "new")
    if not first:
        board.fail(ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        await board.reach(goal, 1)
