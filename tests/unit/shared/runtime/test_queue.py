"""The work queue's promises."""

import asyncio
import math

import pytest

from shared.api.meta import Key
from shared.runtime import queue as queue_module
from shared.runtime.queue import Priority, Queue

A, B, C = (Key("Kustomization", "ns", name) for name in "abc")


async def taken(queue: Queue, count: int) -> list[Key]:
    keys = []
    for _ in range(count):
        item = await asyncio.wait_for(queue.get(), 1)
        keys.append(item.key)
        queue.done(item.key)
    return keys


async def test_first_come_first_served() -> None:
    queue = Queue()
    for key in (B, A, C):
        queue.add(key, "x")
    assert await taken(queue, 3) == [B, A, C]


async def test_a_change_goes_before_a_periodic_run() -> None:
    queue = Queue()
    queue.add(A, "interval", Priority.RESYNC)
    queue.add(B, "revision", Priority.MOVE)
    queue.add(C, "spec changed", Priority.CHANGE)
    assert await taken(queue, 3) == [C, B, A]


async def test_a_key_waits_once_with_its_most_urgent_priority_and_every_reason() -> None:
    queue = Queue()
    queue.add(A, "interval", Priority.RESYNC)
    queue.add(B, "revision", Priority.MOVE)
    queue.add(A, "drift", Priority.CHANGE)
    queue.add(A, "interval", Priority.RESYNC)
    first = await queue.get()
    assert (first.key, first.reasons) == (A, {"interval", "drift"})
    queue.done(A)
    assert await taken(queue, 1) == [B]
    assert (len(queue), queue.busy()) == (0, 0)


async def test_a_key_is_never_worked_on_twice_at_a_time() -> None:
    queue = Queue()
    queue.add(A, "one")
    await queue.get()
    queue.add(A, "two")
    queue.add(A, "three")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.05)
    queue.done(A)
    again = await asyncio.wait_for(queue.get(), 1)
    assert again.reasons == {"two", "three"}


async def test_a_timed_add_comes_when_it_is_due_and_replaces_an_earlier_one() -> None:
    queue = Queue()
    loop = asyncio.get_running_loop()
    queue.add_after(A, 30.0)
    queue.add_after(A, 0.05, "retry")
    began = loop.time()
    item = await asyncio.wait_for(queue.get(), 2)
    assert (item.key, item.reasons, item.priority) == (A, {"retry"}, Priority.RESYNC)
    assert loop.time() - began >= 0.04
    queue.done(A)
    assert (len(queue), queue.busy()) == (0, 0)


async def test_timed_adds_that_are_due_at_once_all_come() -> None:
    queue = Queue()
    for key in (A, B, C):
        queue.add_after(key, 0.0)
    assert set(await taken(queue, 3)) == {A, B, C}


async def test_long_delays_end_together_and_never_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LONG_S", 0.01)
    queue = Queue()
    loop = asyncio.get_running_loop()
    began = loop.time()
    tick = math.ceil((began + 0.1) / queue_module.TICK_S) * queue_module.TICK_S
    queue.add_after(A, tick - 0.04 - loop.time())
    queue.add_after(B, tick - 0.02 - loop.time())
    first = await asyncio.wait_for(queue.get(), 2)
    assert len(queue) == 1  # the other one came in the same tick
    assert loop.time() >= tick - 0.005  # the loop's clock has milliseconds
    queue.done(first.key)


async def test_what_is_forgotten_does_not_come() -> None:
    queue = Queue()
    queue.add(A, "x")
    queue.add_after(B, 0.01)
    queue.forget(A)
    queue.forget(B)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.1)


async def test_a_closed_queue_hands_out_nothing() -> None:
    queue = Queue()
    queue.add(A, "x")
    queue.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.05)


async def test_each_key_that_begins_to_wait_is_counted_once() -> None:
    counted = []
    queue = Queue(added=lambda: counted.append(len(queue)))
    queue.add(A, "one")
    queue.add(A, "two")
    queue.add(B, "one")
    await queue.get()
    queue.add(A, "while it is worked on")
    queue.add(A, "again")
    assert len(counted) == 3
