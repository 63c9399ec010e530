"""Waiting for a condition instead of sleeping: with a deadline, and with what was seen when it passes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_POLL_S = 0.05

T = TypeVar("T")


class NotInTime(AssertionError):
    """The condition did not come true; the message says what was seen instead."""


def eventually(check: Callable[[], T], timeout_s: float, what: str) -> T:
    """Poll `check` until it gives something true, and return that. An exception counts as "not yet".

    Raises:
        NotInTime: names `what`, and the last value or exception that was seen instead.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            seen: T | Exception = check()
        except Exception as error:  # whatever it is, it is what was seen
            seen = error
        if seen and not isinstance(seen, Exception):
            return seen
        if time.monotonic() > deadline:
            raise _not_in_time(what, timeout_s, seen)
        time.sleep(_POLL_S)


async def eventually_async(check: Callable[[], Awaitable[T]], timeout_s: float, what: str) -> T:
    """`eventually` for a check that awaits; other tasks of the loop go on meanwhile."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            seen: T | Exception = await check()
        except Exception as error:
            seen = error
        if seen and not isinstance(seen, Exception):
            return seen
        if time.monotonic() > deadline:
            raise _not_in_time(what, timeout_s, seen)
        await asyncio.sleep(_POLL_S)


def _not_in_time(what: str, timeout_s: float, seen: object) -> NotInTime:
    shown = repr(seen)
    shown = shown if len(shown) <= 3000 else shown[:3000] + "…"
    failure = NotInTime(f"not within {timeout_s:g} s: {what}; seen instead: {shown}")
    failure.__cause__ = seen if isinstance(seen, Exception) else None
    return failure
