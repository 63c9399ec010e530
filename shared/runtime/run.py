"""One run for one object, as its reconciler sees it: why it runs, and how it may speak up before it ends.

Status is written once, at the end, by `conclude.py`. Two things may be written earlier: fields that must
be there before something is done (an inventory before an apply), and progress, but only of a run that lasts
longer than `PROGRESS_AFTER_S`: a status write costs the API server as much as two applies.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from shared.api.meta import Key
from shared.runtime.outcome import Event, Mark

PROGRESS_AFTER_S = 1.0

WriteStatus = Callable[["Run", Mapping[str, Any], str | None], Awaitable[None]]


class Run:
    """Handed to a reconciler.

    Attributes:
        key, uid, generation: of the object as it was when the run began. asked: the value of
        `reconcile.fluxcd.io/requestedAt` when the run began, which its end answers; None if
            there was none. What is asked for while it is under way is for the next run to answer: this one
            may have looked before.
        requested: a person asked for this run.
        reasons: why it runs, for people.
        log: bound to the object and the run's id.
        last_progress: the last progress message, or None; progress_marks: what came with it.
    """

    def __init__(
        self,
        *,
        key: Key,
        uid: str,
        generation: int,
        asked: str | None,
        requested: bool,
        reasons: frozenset[str],
        log: structlog.stdlib.BoundLogger,
        write_status: WriteStatus,
        is_current: Callable[["Run"], bool],
    ) -> None:
        self.key = key
        self.uid = uid
        self.generation = generation
        self.asked = asked
        self.requested = requested
        self.reasons = reasons
        self.log = log
        self.last_progress: str | None = None
        self.progress_marks: tuple[Mark, ...] = ()
        self.events: list[Event] = []
        self._write_status = write_status
        self._is_current = is_current
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = (
            None  # a task for each short run would cost more than the run
        )
        self._ticker: asyncio.Task[None] | None = None
        self._shown: str | None = None

    def is_current(self) -> bool:
        """Whether the object still is what the run began with: same UID and generation, not being deleted.

        Asked between steps; a run that is not current stops, and the next one starts at once.
        """
        return self._is_current(self)

    def event(self, event: Event) -> None:
        """Tell it when the run ends, however it ends."""
        self.events.append(event)

    def progress(self, message: str, *marks: Mark) -> None:
        """What the run is at, and what it found to hold. Reaches the status only if the run goes on for a
        while."""
        self.last_progress = message
        self.progress_marks = marks
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PROGRESS_AFTER_S, self._begin_to_show)

    async def patch_status(self, fields: Mapping[str, Any]) -> None:
        """Write status fields now, with the progress so far, since that costs nothing more.

        Raises:
            ApiError, Unreachable: nothing may be done that relied on it.
        """
        async with self._lock:
            self._shown = self.last_progress
            await self._write_status(self, fields, self.last_progress)

    async def end(self) -> None:
        """No progress is written after this returns."""
        if self._timer is not None:
            self._timer.cancel()
        if self._ticker is not None:
            # A write under way ends first, or it could overtake the final one.
            async with self._lock:
                self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)

    def _begin_to_show(self) -> None:
        self._ticker = asyncio.create_task(self._show_progress(), name=f"progress of {self.key}")

    async def _show_progress(self) -> None:
        while True:
            async with self._lock:
                if self.last_progress != self._shown:
                    self._shown = self.last_progress
                    try:
                        await self._write_status(self, {}, self.last_progress)
                    except Exception as error:  # only a courtesy: the final report decides
                        self.log.debug("progress not written", error=str(error))
            await asyncio.sleep(PROGRESS_AFTER_S)
