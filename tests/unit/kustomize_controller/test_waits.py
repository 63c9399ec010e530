"""When a wait looks again, whom it wakes, and what ends it."""

import asyncio
import time
from dataclasses import replace
from typing import cast

import pytest

from kustomize_controller.kustomization.health import wait as wait_module
from kustomize_controller.kustomization.health.conclude import Healthy, Pending, Unhealthy
from kustomize_controller.kustomization.health.look import Looker, Viewer
from kustomize_controller.kustomization.health.targets import Target
from kustomize_controller.kustomization.health.verdict import CURRENT, Verdict, failed, in_progress
from kustomize_controller.kustomization.health.wait import Attempt
from kustomize_controller.kustomization.health.waits import Order, Waits
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube.errors import Unreachable

ME = Key("Kustomization", "team", "app")
A = ObjectId("apps", "Deployment", "team", "a")
B = ObjectId("apps", "Deployment", "team", "b")
TARGETS = tuple(Target(id=id_, version="v1", is_known=True) for id_ in (A, B))
FIRST = Attempt("uid", 1, "sha256:1", "main@sha1:1", "")
BUSY = in_progress("Replicas: 0/2")


class World:
    """Waits over objects that are as `said`."""

    def __init__(self) -> None:
        self.said: dict[ObjectId, Verdict | Exception] = {A: BUSY, B: CURRENT}
        self.looked: list[ObjectId] = []
        self.stirring: ObjectId | None = None
        self.woken = asyncio.Event()
        self.waits = Waits(cast(Looker, self), wake=lambda _: self.woken.set())
        self.waits.listed("apps", "Deployment")
        self.order = Order(
            key=ME,
            attempt=FIRST,
            targets=TARGETS,
            viewer=Viewer(namespace="team", identity=None),
            timeout_s=60.0,
        )

    async def look(self, target: Target, _: Viewer) -> Verdict:
        self.looked.append(target.id)
        if target.id == self.stirring:
            self.waits.seen(target.id)
        said = self.said[target.id]
        if isinstance(said, Exception):
            raise said
        return said

    async def awaken(self) -> None:
        async with asyncio.timeout(2):
            await self.woken.wait()
        self.woken.clear()

    async def rounds(self, number: int) -> None:
        """Let the wait look at B that often."""
        for _ in range(number):
            self.looked.clear()
            self.waits.seen(B)
            async with asyncio.timeout(2):
                while B not in self.looked:
                    await asyncio.sleep(0.001)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wait_module, "PACE_S", 0.001)
    return World()


async def test_what_a_watch_shows_is_looked_at_and_nothing_else(world: World) -> None:
    wait = await world.waits.look(world.order)
    assert wait.conclude() == Pending()
    wait.follow()
    world.looked.clear()
    world.said[A] = CURRENT
    world.waits.seen(A)
    await world.awaken()
    assert (wait.conclude(), world.looked) == (Healthy(), [A])
    world.waits.forget(ME)


async def test_a_failure_wakes_at_once(world: World) -> None:
    wait = await world.waits.look(world.order)
    wait.follow()
    world.said[A] = failed("no")
    world.waits.seen(A)
    await world.awaken()
    assert isinstance(wait.conclude(), Unhealthy)
    world.waits.forget(ME)


async def test_what_becomes_good_after_its_time_wakes(world: World) -> None:
    wait = await world.waits.look(replace(world.order, timeout_s=0.0))
    assert isinstance(wait.conclude(), Unhealthy)
    wait.fail()
    assert not world.waits.goes_on(ME, FIRST)
    world.said[A] = CURRENT
    world.waits.listed("apps", "Deployment")
    await world.awaken()
    assert (await world.waits.look(world.order)).conclude() == Healthy()
    world.waits.forget(ME)


async def test_a_conclusion_wakes_once(world: World) -> None:
    """The run that it wakes may fail before it comes to look."""
    wait = await world.waits.look(world.order)
    wait.follow()
    world.said[A] = CURRENT
    world.waits.seen(A)
    await world.awaken()
    await world.rounds(3)
    assert not world.woken.is_set()
    world.said[B] = BUSY
    await world.rounds(2)
    assert not world.woken.is_set()
    world.said[B] = CURRENT
    world.waits.seen(B)
    await world.awaken()
    world.waits.forget(ME)


async def test_a_run_that_saw_less_is_told_again(world: World) -> None:
    wait = await world.waits.look(world.order)
    wait.follow()
    world.said[A] = CURRENT
    world.waits.seen(A)
    await world.awaken()
    world.waits.seen(A)
    assert wait.conclude() == Pending()
    wait.follow()
    await world.awaken()
    world.waits.forget(ME)


async def test_what_no_watch_shows_is_polled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much another object stirs: each look at B shows a new state of it."""
    monkeypatch.setattr(wait_module, "POLL_S", 0.02)
    world.waits.lost("apps", "Deployment")
    world.stirring = B
    (await world.waits.look(world.order)).follow()
    world.said[A] = failed("no")
    await world.awaken()
    world.waits.forget(ME)


async def test_at_the_end_what_no_watch_shows_is_looked_at(world: World) -> None:
    world.waits.lost("apps", "Deployment")
    wait = await world.waits.look(world.order)
    world.said[A] = CURRENT
    assert (await world.waits.look(world.order)).conclude() == Pending()
    wait.deadline = time.monotonic()
    assert (await world.waits.look(world.order)).conclude() == Healthy()


async def test_the_clock_of_an_attempt_goes_on(world: World) -> None:
    first = await world.waits.look(world.order)
    again = await world.waits.look(replace(world.order, targets=TARGETS[:1], timeout_s=500.0))
    assert again.deadline == first.deadline
    assert world.waits.goes_on(ME, FIRST)


async def test_the_clock_goes_on_after_a_restart(world: World) -> None:
    wait = await world.waits.look(replace(world.order, began_s_ago=40.0))
    assert (round(wait.lasted_s), round(wait.left_s), wait.told) == (40, 20, True)


async def test_a_wait_that_nobody_kept_watch_over_begins_anew(world: World) -> None:
    wait = await world.waits.look(replace(world.order, began_s_ago=4000.0))
    assert (round(wait.lasted_s), round(wait.left_s)) == (0, 60)


OTHERS = {
    "a new revision": replace(FIRST, revision="main@sha1:2", artifact_digest="sha256:2"),
    "another spec": replace(FIRST, generation=2),
    "a request": replace(FIRST, asked="now"),
    "another object of that name": replace(FIRST, uid="other"),
}


@pytest.mark.parametrize("attempt", OTHERS.values(), ids=OTHERS)
async def test_another_attempt_ends_the_wait(world: World, attempt: Attempt) -> None:
    first = await world.waits.look(world.order)
    first.told = True
    first.began = first.deadline = time.monotonic() - 10
    assert not world.waits.goes_on(ME, attempt)
    assert world.waits.superseded(ME, attempt) == FIRST
    assert world.waits.superseded(ME, attempt) is None
    fresh = await world.waits.look(replace(world.order, attempt=attempt))
    assert fresh.conclude() == Pending()
    assert round(fresh.left_s) == 60


@pytest.mark.parametrize("attempt", OTHERS.values(), ids=OTHERS)
async def test_another_attempt_ends_a_failed_wait_too(world: World, attempt: Attempt) -> None:
    """Its own run may fail before it comes to look, and what A's objects do is nothing to it."""
    wait = await world.waits.look(replace(world.order, timeout_s=0.0))
    wait.told = True
    wait.fail()
    assert _following()
    assert world.waits.superseded(ME, FIRST) is None
    await asyncio.sleep(0)
    assert _following()
    assert world.waits.superseded(ME, attempt) is None  # nothing was canceled: it had failed
    await asyncio.sleep(0)
    assert not _following()


def _following() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name == f"health of {ME}"]


async def test_a_wait_that_nobody_heard_of_ends_in_silence(world: World) -> None:
    await world.waits.look(world.order)
    assert world.waits.superseded(ME, OTHERS["a request"]) is None


async def test_what_is_known_still_is_not_looked_at_again(world: World) -> None:
    world.said[A] = CURRENT
    (await world.waits.look(world.order)).end()
    world.looked.clear()
    assert (await world.waits.look(world.order)).conclude() == Healthy()
    assert world.looked == []
    world.waits.seen(B)
    assert (await world.waits.look(world.order)).conclude() == Healthy()
    assert world.looked == [B]


async def test_only_what_was_ready_is_taken_over(world: World) -> None:
    (await world.waits.look(replace(world.order, timeout_s=0.0))).fail()
    world.looked.clear()
    world.said[A] = CURRENT
    assert (await world.waits.look(world.order)).conclude() == Healthy()
    assert world.looked == [A]


async def test_what_no_watch_shows_is_not_taken_over(world: World) -> None:
    world.said[A] = CURRENT
    (await world.waits.look(world.order)).end()
    world.waits.lost("apps", "Deployment")
    world.said[A] = BUSY
    assert (await world.waits.look(world.order)).conclude() == Pending()


async def test_what_was_just_applied_is_looked_at(world: World) -> None:
    """The watch may be later than the answer to the apply."""
    world.said[A] = CURRENT
    (await world.waits.look(world.order)).end()
    world.looked.clear()
    await world.waits.look(replace(world.order, applied={A}))
    assert world.looked == [A]


async def test_strangers_are_looked_at_in_each_run(world: World) -> None:
    world.said[A] = CURRENT
    strangers = tuple(replace(target, is_known=False) for target in TARGETS)
    (await world.waits.look(replace(world.order, targets=strangers))).end()
    world.looked.clear()
    await world.waits.look(replace(world.order, targets=strangers))
    assert sorted(world.looked) == [A, B]


async def test_without_an_answer_nothing_is_called_ready(world: World) -> None:
    world.said[A] = CURRENT
    (await world.waits.look(world.order)).end()
    world.said[A] = Unreachable("no answer")
    wait = await world.waits.look(replace(world.order, applied={A}))
    assert wait.conclude() == Pending()
