"""The work queue: which key is worked on next.

A key waits at most once, however often it is added; it keeps the most urgent of its priorities and every
reason. While a worker has it, further adds wait until `done`, so one key is never worked on twice at a
time. Timed adds are for intervals, retries and safety nets; only the earliest of a key counts, and a run
that starts for another reason leaves it standing until the next `add_after` replaces it.

Order: priority, then first come first served. No clock of its own: the event loop's.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from shared.api.meta import Key

# Long delays end together, at the next tick: waking the loop for each of a thousand periodic runs costs
# twice as much as the runs themselves, when nothing changed.
LONG_S = 10.0
TICK_S = 0.5


class Priority(IntEnum):
    """A change goes before work that only moves a revision, and both before a periodic run."""

    CHANGE = 0
    MOVE = 1
    RESYNC = 2


@dataclass(slots=True)
class Item:
    """A key on its way through the queue."""

    key: Key
    priority: Priority
    reasons: set[str] = field(default_factory=set)
    added_at: float = 0.0


class Queue:
    """Used from one event loop only.

    Args:
        added: called for each key that begins to wait.
    """

    def __init__(self, added: Callable[[], None] = lambda: None) -> None:
        self._added = added
        self._now = asyncio.get_running_loop().time
        self._waiting: dict[Key, Item] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._busy: dict[Key, Item | None] = {}  # key → what was added while it was worked on
        self._timed: dict[Key, float] = {}
        self._timers: list[tuple[float, int, Key, str]] = []
        self._sequence = itertools.count()
        self._wakeup = asyncio.Event()
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Hand out nothing more; what is worked on may end."""
        self._closed = True

    def busy(self) -> int:
        return len(self._busy)

    def add(self, key: Key, reason: str, priority: Priority = Priority.CHANGE) -> None:
        """Work on `key` as soon as its turn comes."""
        if key in self._busy:
            again = self._busy[key]
            if again is None:
                self._busy[key] = again = Item(key, priority, set(), self._now())
                self._added()
            again.reasons.add(reason)
            again.priority = min(again.priority, priority)
            return
        item = self._waiting.get(key)
        if item is None:
            item = self._waiting[key] = Item(key, priority, {reason}, self._now())
            self._added()
        elif priority < item.priority:
            item.priority = priority
        else:
            item.reasons.add(reason)
            return
        item.reasons.add(reason)
        heapq.heappush(self._heap, (priority, next(self._sequence), key))
        self._wakeup.set()

    def add_after(self, key: Key, delay_s: float, reason: str = "interval") -> None:
        """Work on `key` in `delay_s` seconds; replaces an earlier timed add of the key."""
        due = self._now() + max(delay_s, 0.0)
        if delay_s > LONG_S:
            due = math.ceil(due / TICK_S) * TICK_S
        self._timed[key] = due
        heapq.heappush(self._timers, (due, next(self._sequence), key, reason))
        self._arm()

    def forget(self, key: Key) -> None:
        """The object is gone: drop what waits. A run under way is not touched."""
        self._waiting.pop(key, None)
        self._timed.pop(key, None)
        if key in self._busy:
            self._busy[key] = None

    async def get(self) -> Item:
        """The most urgent item; its key is busy until `done`."""
        while True:
            while self._heap and not self._closed:
                priority, _, key = heapq.heappop(self._heap)
                item = self._waiting.get(key)
                if item is None or item.priority != priority:
                    continue  # forgotten, or raised to a more urgent place
                del self._waiting[key]
                self._busy[key] = None
                return item
            self._wakeup.clear()
            await self._wakeup.wait()

    def done(self, key: Key) -> None:
        """The worker is through with `key`; what was added meanwhile enters the queue."""
        again = self._busy.pop(key)
        if again is not None:
            self._waiting[key] = again
            heapq.heappush(self._heap, (again.priority, next(self._sequence), key))
            self._wakeup.set()

    def _arm(self) -> None:
        if not self._timers:
            return
        due = self._timers[0][0]
        if self._handle is not None:
            if self._armed_for <= due:
                return
            self._handle.cancel()
        self._armed_for = due  # uvloop's handles do not say
        self._handle = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = self._now()
        while self._timers and self._timers[0][0] <= now:
            due, _, key, reason = heapq.heappop(self._timers)
            if self._timed.get(key) == due:  # else replaced or forgotten
                del self._timed[key]
                self.add(key, reason, Priority.RESYNC)
        self._arm()
