"""What was last seen of each object, as one string, and goals: "these objects show that value".

A watch posts, phases wait. A goal counts down as values come in, so that waiting for thousands of objects
costs one dictionary access for each event.
"""

import asyncio
import time
from collections.abc import Iterable


class NotReached(Exception):
    """A goal was not reached in time; the message names an object that is missing, and what it shows."""


class Goal:
    """Objects that are to show one value. `reached` maps each to the time (monotonic) it first did."""

    def __init__(self, names: Iterable[str], value: str) -> None:
        self.value = value
        self.missing = set(names)
        self.reached: dict[str, float] = {}
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.missing:
            self._end.set_result(None)

    def saw(self, name: str, value: str, at: float) -> None:
        if value == self.value and name in self.missing:
            self.missing.discard(name)
            self.reached[name] = at
            if not self.missing and not self._end.done():
                self._end.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    async def wait(self) -> None:
        await self._end

    @property
    def last(self) -> float:
        """The time at which the last object got there."""
        return max(self.reached.values())


class Board:
    def __init__(self, what: str) -> None:
        self.what = what
        self._seen: dict[str, tuple[str, float]] = {}
        self._goals: list[Goal] = []
        self._broken: Exception | None = None

    def post(self, name: str, value: str) -> None:
        at = time.monotonic()
        if self._seen.get(name, ("", 0.0))[0] == value:
            return
        self._seen[name] = (value, at)
        for goal in self._goals:
            goal.saw(name, value, at)

    def fail(self, error: Exception) -> None:
        """Nothing will be posted any more: present and future goals end with `error`."""
        self._broken = error
        for goal in self._goals:
            goal.fail(error)

    def expect(self, names: Iterable[str], value: str) -> Goal:
        """Watch for this from now on; objects that show the value already count, with the time they began."""
        goal = Goal(names, value)
        for name in list(goal.missing):
            if name in self._seen:
                goal.saw(name, *self._seen[name])
        if self._broken is not None:
            goal.fail(self._broken)
        self._goals.append(goal)
        return goal

    async def reach(self, goal: Goal, timeout_s: float) -> float:
        """Wait until all of `goal` is reached, and return `goal.last`.

        Raises:
            NotReached: not within `timeout_s`. Also whatever `fail` was given.
        """
        try:
            await asyncio.wait_for(goal.wait(), timeout_s)
        except TimeoutError:
            raise NotReached(self._told(goal, timeout_s)) from None
        finally:
            self._goals.remove(goal)
        return goal.last

    def _told(self, goal: Goal, timeout_s: float) -> str:
        name = min(goal.missing)
        shows = self._seen[name][0] if name in self._seen else "nothing"
        missing, of = len(goal.missing), len(goal.missing) + len(goal.reached)
        return (
            f"after {timeout_s:g} s {missing} of {of} {self.what} do not show '{goal.value}': "
            f"{name} shows '{shows}'"
        )
