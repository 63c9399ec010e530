"""Who is woken for which drift: never for ever, never not at all."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from kustomize_controller.kustomization.drift import Follower, KindSink
from kustomize_controller.kustomization.remember import Applied, Memory
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube.client import Client
from shared.kube.discovery import Discovery
from shared.kube.ownership import ObjectMeta, Ownership

ME, OTHER = Key("Kustomization", "ns", "me"), Key("Kustomization", "ns", "other")
THING = ObjectId("", "ConfigMap", "ns", "thing")
SECOND = ObjectId("", "ConfigMap", "ns", "second")
APPLIED = Applied("v1", "sha256:1", "u1", Ownership("d", "t"), 5)


class World:
    """A follower that watches nothing, and whom it woke."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.woken: list[Key] = []
        nobody = cast(Client, None), cast(Discovery, None)  # not asked: nothing is followed
        self.follower = Follower(*nobody, self.memory, wake=self.woken.append)
        self.memory.remember(ME, THING, APPLIED)
        self.memory.remember(ME, SECOND, APPLIED)


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_drift_wakes_its_owner(world: World) -> None:
    world.follower.seen(THING, None)
    assert world.woken == [ME]
    assert world.follower.due(ME).keys() == {THING}


async def test_a_run_that_could_not_help_is_not_followed_by_another_at_once(world: World) -> None:
    world.follower.seen(THING, None)
    world.woken.clear()
    world.follower.begin(ME)
    world.follower.settle(ME, tried=world.follower.due(ME))
    assert world.woken == []
    assert world.follower.due(ME).keys() == {THING}  # the retry of the failure will find it


async def test_what_drifted_during_a_run_wakes_again(world: World) -> None:
    world.follower.seen(THING, None)
    world.follower.begin(ME)
    tried = world.follower.due(ME)
    world.woken.clear()
    world.follower.seen(SECOND, None)
    assert world.woken == []  # verdicts wait while a run may write
    world.follower.settle(ME, tried=tried)
    assert world.woken == [ME]


async def test_the_same_object_drifting_again_during_a_run_wakes_again(world: World) -> None:
    world.follower.seen(THING, None)
    world.follower.begin(ME)
    tried = world.follower.due(ME)
    world.woken.clear()
    world.follower.seen(THING, None)
    world.follower.settle(ME, tried=tried)
    assert world.woken == [ME]


class Onlooker:
    """Which kinds have a watch, as it was told."""

    def __init__(self) -> None:
        self.standing: set[tuple[str, str]] = set()

    def seen(self, id_: ObjectId) -> None:
        """Of no concern here."""

    def listed(self, group: str, kind: str) -> None:
        self.standing.add((group, kind))

    def lost(self, group: str, kind: str) -> None:
        self.standing.discard((group, kind))


async def test_an_onlooker_knows_which_watches_stand() -> None:
    onlooker = Onlooker()
    nobody = cast(Client, None), cast(Discovery, None)
    follower = Follower(*nobody, Memory(), wake=lambda _: None, onlooker=onlooker)
    sink = KindSink(follower, "apps", "Deployment", "v1")
    sink.listing()
    assert not onlooker.standing
    sink.replace([], 7)
    assert onlooker.standing == {("apps", "Deployment")}
    sink.listing()
    assert not onlooker.standing


async def test_a_contested_object_wakes_later(world: World) -> None:
    for _ in range(3):
        world.follower.repaired(ME, THING)
    world.follower.seen(THING, None)
    await asyncio.sleep(0)
    assert world.woken == []
    assert world.follower.due(ME) == {}


async def test_what_is_not_applied_any_more_does_not_drift(world: World) -> None:
    world.memory.keep_only(ME, {SECOND})
    world.follower.seen(THING, None)
    assert world.woken == []


async def test_the_end_of_what_is_being_deleted_is_told(world: World) -> None:
    world.memory.expect_end(ME, THING)
    world.memory.keep_only(ME, {SECOND})
    world.follower.seen(THING, None)
    assert world.woken == [ME]
    assert world.memory.owner_of(THING) is None


async def test_an_object_that_changed_hands_is_forgotten_by_its_old_owner(world: World) -> None:
    world.memory.remember(OTHER, THING, APPLIED)
    assert THING not in world.memory.digests(ME)
    assert world.memory.owner_of(THING) == OTHER


async def test_what_vanishes_by_itself_is_no_drift(world: World) -> None:
    """Another state of it still is, until it is gone."""
    world.memory.remember(ME, THING, replace(APPLIED, vanishes=True))
    world.follower.seen(THING, ObjectMeta(name="thing", uid="u2", resource_version="9"))
    assert world.follower.due(ME).keys() == {THING}
    world.woken.clear()
    world.follower.seen(THING, None)
    assert world.woken == []
    assert not world.follower.due(ME)
    assert world.memory.digests(ME)[THING] == APPLIED.digest  # so only other content is applied again


def seen_at(version: int, *, uid: str = "u1") -> ObjectMeta:
    return ObjectMeta(name="thing", uid=uid, resource_version=str(version))


# What a complete list says of THING (as it was applied: at version 5), at which version, and what was known
# to be applied when it was asked for; whether all that is remembered of the kind is void, whether it drifted.
Row = tuple[ObjectMeta | None, int, int, bool, bool]
LISTS: dict[str, Row] = {
    "nothing changed": (seen_at(5), 9, 5, False, False),
    "a change": (seen_at(8), 9, 5, False, True),
    "it was deleted": (None, 9, 5, False, True),
    "asked for before it was applied": (None, 4, 3, False, False),
    "the cluster is older than we know": (seen_at(3), 4, 5, True, False),
    "that, and it was deleted": (None, 4, 5, True, False),
    "versions have caught up, it is older than we know": (seen_at(4), 9, 5, True, False),
    "made anew, at whatever version": (seen_at(4, uid="u2"), 9, 5, False, False),
    "made anew, later": (seen_at(7, uid="u2"), 9, 5, False, True),
}


@pytest.mark.parametrize("row", LISTS.values(), ids=LISTS)
async def test_a_complete_list(row: Row, world: World) -> None:
    live, version, newest, void, drift = row
    elsewhere = ObjectId("", "Secret", "ns", "thing")
    world.memory.remember(ME, elsewhere, APPLIED)
    world.memory.drop(ME, SECOND)
    alive = {THING: live} if live is not None else {}
    world.follower.listed("", "ConfigMap", alive, version=version, newest=newest)
    assert (THING not in world.memory.digests(ME)) == void
    assert world.memory.holding(ME).doubted == void
    assert (THING in world.follower.due(ME)) == drift
    assert world.woken == ([ME] if void or drift else [])
    assert elsewhere in world.memory.digests(ME)  # another kind has a list of its own
