"""What is done to the controllers, one function a phase. Each returns its figures; all times are in seconds.

A push counts from the moment the source controller is told to look, which is right after `git push` returned;
a hand-made change counts from the moment its request is sent. Ends are when the bench's watch shows them.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bench import load as loads
from bench.board import NotReached
from bench.load import Application
from bench.measure import percentile
from bench.watch import KUSTOMIZATIONS, REPOSITORIES
from bench.world import CONTROLLERS, KUSTOMIZE, TIMEOUT_S, World, say

Figures = Mapping[str, float]
Phase = Callable[[World], Awaitable[Figures]]

_KUSTOMIZATIONS_IN_HOME = KUSTOMIZATIONS.replace("/v1/", f"/v1/namespaces/{loads.HOME}/")
_REPOSITORIES_IN_HOME = REPOSITORIES.replace("/v1/", f"/v1/namespaces/{loads.HOME}/")
_PLACES = 5  # in the order of names, from first to last
_ROUNDS_OF_ONE = 2
_ROUNDS_OF_ALL = 3
_DRIFTS = 100
_POLL_S = 0.1
_BUSY_CPU_S = 0.02  # within _POLL_S: two clock ticks
_RESTED_S = 1.5
_RUNS = re.compile(
    r'^controller_runtime_reconcile_total\{controller="kustomization",[^}]*\} ([0-9.e+]+)', re.MULTILINE
)


async def cold(world: World) -> Figures:
    """From the first create request until all Kustomizations are Ready; the controllers are up and idle."""
    ready = world.cluster.kustomizations.expect(world.names, _revision(world.worktree.head()))
    bodies = [application.kustomization() for application in world.load.applications]
    began = time.monotonic()
    await world.cluster.send("POST", _REPOSITORIES_IN_HOME, loads.git_repository(world.git_url))
    await world.cluster.create_all(_KUSTOMIZATIONS_IN_HOME, bodies)
    created = time.monotonic()
    end = await world.reach(world.cluster.kustomizations, ready)
    await world.quiet()
    return {
        "created_s": created - began,
        "first_ready_s": min(ready.reached.values()) - began,
        "all_ready_s": end - began,
    }


async def push_one(world: World) -> Figures:
    """Commits that change one object of one application, at places from the first name to the last."""
    pushes = []
    for turn in range(_ROUNDS_OF_ONE):
        for application in world.load.spread(_PLACES):
            value = f"one-{turn}"
            pushes.append(await _push(world, [application], application.touched(value), value))
            await world.quiet()
    applied = [push.applied_s for push in pushes]
    everywhere = [push.everywhere_s for push in pushes]
    return {
        "pushes": len(pushes),
        "fetched_p50_s": percentile([push.fetched_s for push in pushes], 50),
        "applied_p50_s": percentile(applied, 50),
        "applied_max_s": max(applied),
        "all_on_revision_p50_s": percentile(everywhere, 50),
        "all_on_revision_max_s": max(everywhere),
    }


async def push_all(world: World) -> Figures:
    """Commits that change one object of every application."""
    pushes = []
    for turn in range(_ROUNDS_OF_ALL):
        value = f"all-{turn}"
        applications = list(world.load.applications)
        pushes.append(await _push(world, applications, world.load.touched(value), value))
        await world.quiet()
    return {
        "pushes": len(pushes),
        "fetched_p50_s": percentile([push.fetched_s for push in pushes], 50),
        "all_applied_max_s": max(push.applied_s for push in pushes),
        "all_on_revision_p50_s": percentile([push.everywhere_s for push in pushes], 50),
        "all_on_revision_max_s": max(push.everywhere_s for push in pushes),
    }


async def drift(world: World) -> Figures:
    """Hand-made changes of markers, one after the other, each on another application as long as there are."""
    applications = world.load.applications
    step = max(len(applications) // _DRIFTS, 1)
    took = []
    for number in range(_DRIFTS):
        application = applications[number * step % len(applications)]
        took.append(await _repair(world, application, f"by-hand-{number}"))
        if number % 25 == 24:
            say(f"  {number + 1} of {_DRIFTS} changes repaired")
    await world.quiet()
    return {
        "changes": len(took),
        "repaired_p50_s": percentile(took, 50),
        "repaired_p99_s": percentile(took, 99),
        "repaired_max_s": max(took),
    }


async def restart(world: World) -> Figures:
    """Both controllers end and start anew, and nothing has changed; the end is when they come to rest.

    Nothing is written then that a watch could show, so rest is told by CPU time, and that all Kustomizations
    had their run by the controller's own count.
    """
    for name in CONTROLLERS:
        await asyncio.to_thread(world.controllers[name].halt)
    began = time.monotonic()
    for name in CONTROLLERS:
        world.controllers[name].start(ready=False)
    await asyncio.gather(*(asyncio.to_thread(world.controllers[name].await_ready) for name in CONTROLLERS))
    ready = time.monotonic()
    busy, runs = await _rested(world)
    return {"ready_s": ready - began, "at_rest_s": busy - began, "runs": runs}


def steady(seconds: float) -> Phase:
    """Nothing happens for this long: only what timers do."""

    async def wait(world: World) -> Figures:
        del world  # it is looked at from outside
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            say(f"  {left:.0f} s left")
            await asyncio.sleep(min(left, 30))
        return {"minutes": seconds / 60}

    return wait


@dataclass(frozen=True, slots=True, kw_only=True)
class _Push:
    fetched_s: float  # the GitRepository shows the revision
    applied_s: float  # the last changed object shows its value
    everywhere_s: float  # the last Kustomization is Ready at the revision


async def _push(world: World, changed: list[Application], files: Mapping[str, str], value: str) -> _Push:
    commit = await asyncio.to_thread(world.worktree.publish, files)
    revision = _revision(commit)
    cluster = world.cluster
    fetched = cluster.repositories.expect([loads.REPOSITORY], revision)
    applied = cluster.markers.expect((application.name for application in changed), value)
    everywhere = cluster.kustomizations.expect(world.names, revision)
    asked = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": commit}}}
    began = time.monotonic()
    await cluster.merge(f"{_REPOSITORIES_IN_HOME}/{loads.REPOSITORY}", asked)
    push = _Push(
        fetched_s=await world.reach(cluster.repositories, fetched) - began,
        applied_s=await world.reach(cluster.markers, applied) - began,
        everywhere_s=await world.reach(cluster.kustomizations, everywhere) - began,
    )
    world.values.update((application.name, value) for application in changed)
    place = changed[0].name if len(changed) == 1 else "all"
    told = f"fetched {push.fetched_s:.2f}, applied {push.applied_s:.2f}, all {push.everywhere_s:.2f} s"
    say(f"  {place}: {told}")
    return push


async def _repair(world: World, application: Application, value: str) -> float:
    markers = world.cluster.markers
    changed = markers.expect([application.name], value)
    began = time.monotonic()
    await world.cluster.merge(application.marker, {"data": {loads.MARKER_KEY: value}})
    await world.reach(markers, changed)
    repaired = markers.expect([application.name], world.values[application.name])
    return await world.reach(markers, repaired) - began


async def _rested(world: World) -> tuple[float, int]:
    """When the controllers last did something, and how many runs they had."""
    deadline = time.monotonic() + TIMEOUT_S
    used, busy, runs = world.meter.controllers_cpu_s(), time.monotonic(), 0
    while time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        now = world.meter.controllers_cpu_s()
        if now - used >= _BUSY_CPU_S:
            busy = time.monotonic()
        used = now
        if time.monotonic() - busy < _RESTED_S:
            continue
        world.check_alive()
        metrics = await asyncio.to_thread(world.controllers[KUSTOMIZE].metrics)  # work of its own: asked last
        runs = int(sum(float(number) for number in _RUNS.findall(metrics)))
        if runs >= len(world.names):
            return busy, runs
    raise NotReached(f"{runs} of {len(world.names)} Kustomizations had a run within {TIMEOUT_S:g} s")


def _revision(commit: str) -> str:
    return f"main@sha1:{commit}"
