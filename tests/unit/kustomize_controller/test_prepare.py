"""When the content of what was prepared is to be had, and when one has to prepare again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from kustomize_controller.kustomization import prepare
from kustomize_controller.kustomization.build import Build, Builder, BuiltObject
from kustomize_controller.kustomization.inputs import Inputs
from kustomize_controller.kustomization.prepare import Outdated, Preparer
from kustomize_controller.kustomization.substitute import Substituter
from kustomize_controller.kustomization.variables import Known
from shared.api.artifact import Artifact
from shared.api.kinds import KUSTOMIZATION, decode
from shared.api.kustomization import Kustomization
from shared.artifacts.cache import ArtifactCache, Content
from shared.artifacts.tree import Tree

ARTIFACT = Artifact(path="a", url="http://127.0.0.1/a", revision="r", digest="sha256:1", last_update_time="t")
TREE = Tree({"app/a.yaml": "sha256:1"}, {})


def kustomization(name: str, *, substituted: bool) -> Kustomization:
    spec: dict[str, Any] = {
        "interval": "1h",
        "prune": True,
        "path": "./app",
        "sourceRef": {"kind": "GitRepository", "name": "app"},
    }
    if substituted:
        spec["postBuild"] = {"substituteFrom": [{"kind": "Secret", "name": "login"}]}
    metadata = {"name": name, "namespace": "team"}
    return decode(KUSTOMIZATION, {"metadata": metadata, "spec": spec})


@dataclass
class World:
    """A process that builds one object out of a Secret, which no watch shows; and what it did."""

    secret: str = "v1"
    process: str = "first"  # its random key
    builds: int = 0
    preparer: Preparer = field(init=False)

    def __post_init__(self) -> None:
        self.preparer = Preparer(
            cast(ArtifactCache, self), cast(Builder, _Builder(self)), cast(Substituter, _Substituter(self))
        )

    @asynccontextmanager
    async def open(self, url: str, digest: str) -> AsyncIterator[Content]:  # noqa: ARG002
        yield Content(Path("artifact"), TREE)

    def built(self, digest: str, body: str) -> Build:
        self.builds += 1
        one = BuiltObject(
            group="", version="v1", kind="ConfigMap", namespace="team", name="a",
            body=body.encode(), digest=digest, steering={}, origin="",
        )  # fmt: skip
        inputs = Inputs(reads=("app/a.yaml",), lists=(), misses=())
        return Build(objects=(one,), inputs=inputs, digest="sha256:all", left_out=(), warnings=())

    async def prepared(self, obj: Kustomization) -> str:
        (one,) = (await self.preparer.prepare(obj, ARTIFACT, lambda: None)).desired
        return one.digest

    async def body(self, obj: Kustomization) -> str:
        (one,) = (await self.preparer.bodies(obj, ARTIFACT)).values()
        return one.body.decode()

    def restart(self, obj: Kustomization) -> "World":
        after = World(self.secret, "second")
        saved = self.preparer.saved(obj.key)
        assert saved is not None
        after.preparer.recall(obj.key, saved)
        return after


@dataclass
class _Builder:
    world: World

    async def version(self) -> str:
        return "1"

    async def build(self, _: object) -> Build:
        return self.world.built("sha256:plain", "plain")


@dataclass
class _Substituter:
    world: World

    def _known(self) -> Known:
        return Known((f"Secret/login u/{self.world.secret}",), f"{self.world.process} {self.world.secret}")

    async def build(self, *_: object) -> tuple[Build, Known]:
        known = self._known()
        return self.world.built(f"keyed:{known.digest}", self.world.secret), known

    async def stands(self, _: object, known: Known, *, fresh: bool) -> Known | None:  # noqa: ARG002
        now = self._known()
        return now if known.versions == now.versions else None


PLAIN = kustomization("plain", substituted=False)
APP = kustomization("app", substituted=True)
OTHER = kustomization("other", substituted=False)


async def test_the_content_of_the_last_build_is_kept() -> None:
    world = World()
    await world.prepared(APP)
    assert (await world.body(APP), world.builds) == ("v1", 1)


@pytest.mark.parametrize("restarted", [False, True], ids=["evicted", "after a restart"])
async def test_content_without_variables_is_built_again(
    monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    world = World()
    await world.prepared(PLAIN)
    world = await _lost(world, PLAIN, monkeypatch, restarted=restarted)
    before = world.builds
    assert await world.prepared(PLAIN) == "sha256:plain"
    assert (await world.body(PLAIN), world.builds) == ("plain", before + 1)


async def test_evicted_content_with_the_same_variables_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    await world.prepared(APP)
    await _lost(world, APP, monkeypatch)
    assert await world.body(APP) == "v1"


LOST = {
    "evicted, and the Secret is another": (False, True),
    "after a restart": (True, False),
    "after a restart, and the Secret is another": (True, True),
}


@pytest.mark.parametrize(("restarted", "changed"), LOST.values(), ids=LOST)
async def test_what_is_not_to_be_had_is_prepared_again(
    monkeypatch: pytest.MonkeyPatch, *, restarted: bool, changed: bool
) -> None:
    """And then what was decided on and what is applied are of the same build."""
    world = World()
    await world.prepared(APP)
    world = await _lost(world, APP, monkeypatch, restarted=restarted)
    await world.prepared(APP)
    if changed:
        world.secret = "v2"
    with pytest.raises(Outdated):
        await world.body(APP)
    assert await world.prepared(APP) == f"keyed:{world.process} {world.secret}"
    before = world.builds
    assert (await world.body(APP), world.builds) == (world.secret, before)


async def test_a_new_revision_does_not_make_old_digests_ours() -> None:
    """After a restart: its inputs are the same, so nothing is built."""
    world = World()
    await world.prepared(APP)
    world = world.restart(APP)
    moved = Artifact(
        path="b", url="http://127.0.0.1/b", revision="s", digest="sha256:2", last_update_time="t"
    )
    await world.preparer.prepare(APP, moved, lambda: None)
    assert world.builds == 0
    with pytest.raises(Outdated):
        await world.preparer.bodies(APP, moved)


async def _lost(
    world: World, obj: Kustomization, monkeypatch: pytest.MonkeyPatch, *, restarted: bool = False
) -> World:
    """The world, without the content of `obj`."""
    if restarted:
        return world.restart(obj)
    monkeypatch.setattr(prepare, "BODIES_BYTES", 1)
    await world.prepared(OTHER)  # takes its place
    return world
