"""What a source counts as having published, also when the cluster was restored from a backup."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from kustomize_controller.sources import Sources
from shared.api.kinds import GIT_REPOSITORY
from shared.api.meta import Key

KEY = Key("GitRepository", "ns", "app")


def raw(version: int, revision: str, *, uid: str = "u1") -> dict[str, Any]:
    """A source at a resourceVersion, with the artifact of a revision ("" is none)."""
    artifact = {"revision": revision, "digest": f"sha256:{revision}", "url": "http://x", "path": "x",
                "lastUpdateTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    status = {"artifact": artifact} if revision else {}
    metadata = {"name": "app", "namespace": "ns", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": status}


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """Sources that know one at revision "new", who was told of it since, and the timers that were set."""

    def __init__(self) -> None:
        self.told: list[Key] = []
        self.timers: list[tuple[Timer, Callable[[], None]]] = []
        self.sources = Sources(GIT_REPOSITORY, self.told.append, self._later)
        self.sources.observed(raw(9, "new"))
        self.told.clear()

    def _later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        assert delay_s > 0
        self.timers.append((Timer(), call))
        return cast(asyncio.TimerHandle, self.timers[-1][0])

    def ring(self) -> None:
        for timer, call in self.timers:
            if not timer.cancelled:
                call()

    @property
    def revision(self) -> str | None:
        artifact = self.sources.artifact(KEY)
        return artifact.revision if artifact is not None else None


def publishes_again(world: World) -> None:
    world.sources.observed(raw(5, "new"))


def publishes_another(world: World) -> None:
    world.sources.observed(raw(5, "newer"))


def changes_otherwise(world: World) -> None:
    world.sources.observed(raw(5, "old"))


def says_nothing(world: World) -> None:
    world.ring()


def goes_back_once_more(world: World) -> None:
    world.sources.observed(raw(2, "older"), went_back=True)


def vanishes(world: World) -> None:
    world.sources.vanished(KEY)


THEN = {
    "nothing yet": (lambda _: None, "new", False),
    "it publishes again": (publishes_again, "new", True),
    "it publishes another revision": (publishes_another, "newer", True),
    "its spec changes": (changes_otherwise, "new", False),
    "it has nothing to say for long": (says_nothing, "old", True),
    "it goes back once more": (goes_back_once_more, "older", True),
    "it is deleted": (vanishes, None, True),
}


@pytest.mark.parametrize(("then", "revision", "told"), THEN.values(), ids=THEN)
def test_an_artifact_of_the_past_is_not_believed_at_once(
    then: Callable[[World], None], revision: str | None, told: bool
) -> None:
    world = World()
    world.sources.observed(raw(4, "old"), went_back=True)
    assert not world.told
    then(world)
    assert world.revision == revision
    assert bool(world.told) == told
    world.told.clear()
    if revision != "new" or told:
        world.ring()
        assert not world.told, "a timer was left"


def test_a_source_that_is_made_anew_starts_with_nothing() -> None:
    world = World()
    world.sources.observed(raw(12, "", uid="u2"))
    assert world.revision is None
    assert world.told == [KEY]


def test_a_state_of_the_past_that_names_the_same_artifact_changes_nothing() -> None:
    world = World()
    world.sources.observed(raw(4, "new"), went_back=True)
    assert (world.revision, world.told, world.timers) == ("new", [], [])
