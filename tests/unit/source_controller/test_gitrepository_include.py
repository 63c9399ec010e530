"""Who includes whom: what is there to include, who is woken, and which ring is refused."""

from typing import Any

import pytest

from shared.api.gitrepository import GitRepository
from shared.api.kinds import GIT_REPOSITORY, decode
from shared.api.meta import Key
from source_controller.gitrepository.include import Includes, IncludeUnavailable, find_ring

Object = dict[str, Any]
ARTIFACT = {
    "path": "gitrepository/ns/base/aaaa.tar.gz",
    "url": "http://store/gitrepository/ns/base/aaaa.tar.gz",
    "revision": "main@sha1:" + "a" * 40,
    "digest": "sha256:" + "0" * 64,
    "lastUpdateTime": "2026-01-01T00:00:00Z",
}


def key(name: str, namespace: str = "ns") -> Key:
    return Key(GIT_REPOSITORY.kind, namespace, name)


def repository(name: str, *includes: str, artifact: object = None, namespace: str = "ns") -> Object:
    spec = {"url": "https://git.example/x", "interval": "1m"}
    included = [{"repository": {"name": one}} for one in includes]
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}"},
        "spec": {**spec, "include": included} if included else spec,
        "status": {"artifact": artifact} if artifact else {},
    }


class World:
    """The cache of the controller, and what was put into its queue."""

    def __init__(self, *objects: Object) -> None:
        self.objects: dict[Key, Object] = {}
        self.woken: list[str] = []
        self.includes = Includes()
        self.includes.connect(self.objects.get, lambda one, _: self.woken.append(one.name))
        for one in objects:
            self.put(one)

    def put(self, new: Object) -> list[str]:
        """Returns who was woken by it."""
        self.woken.clear()
        name = Key.of(GIT_REPOSITORY.kind, new)
        old = self.objects.get(name)
        self.objects[name] = new
        self.includes.noticed(old, new)
        return sorted(self.woken)

    def remove(self, name: str) -> list[str]:
        self.woken.clear()
        del self.objects[key(name)]
        self.includes.forget(key(name))
        return sorted(self.woken)

    def decoded(self, name: str) -> GitRepository:
        return decode(GIT_REPOSITORY, self.objects[key(name)])


BASE = repository("base", artifact=ARTIFACT)
UNAVAILABLE: dict[str, tuple[Object | None, str, str]] = {
    "it is not there": (
        None,
        "NotFound",
        "could not get resource for include 'base': GitRepository.source.toolkit.fluxcd.io \"base\" not",
    ),
    "it has no artifact yet": (
        repository("base"),
        "NoArtifact",
        "no artifact available for include 'base'",
    ),
    "its artifact cannot be read": (
        repository("base", artifact={"path": 1}),
        "NoArtifact",
        "no artifact available for include 'base'",
    ),
    "its status names the artifact of another": (
        repository("base", artifact={**ARTIFACT, "path": "gitrepository/other/base/aaaa.tar.gz"}),
        "NoArtifact",
        "no artifact available for include 'base': its status.artifact.path is not its own",
    ),
    "it lies in another namespace": (
        repository("base", artifact=ARTIFACT, namespace="other"),
        "NotFound",
        "could not get resource for include 'base': ",
    ),
    "it includes the one that asks": (
        repository("base", "app", artifact=ARTIFACT),
        "IncludeRing",
        "spec.include goes round in a ring: app → base → app; ",
    ),
}


@pytest.mark.parametrize(("base", "reason", "text"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_what_is_waited_for(base: Object | None, reason: str, text: str) -> None:
    world = World(repository("app", "base"), *([base] if base else []))
    with pytest.raises(IncludeUnavailable) as raised:
        world.includes.artifacts(world.decoded("app"))
    assert raised.value.reason == reason
    assert raised.value.message.startswith(text)
    assert raised.value.on == key("base")


def test_artifacts_come_in_the_order_of_the_spec() -> None:
    other = {**ARTIFACT, "path": "gitrepository/ns/other/bbbb.tar.gz"}
    world = World(repository("app", "other", "base"), BASE, repository("other", artifact=other))
    found = world.includes.artifacts(world.decoded("app"))
    assert [one.path for one in found] == [other["path"], ARTIFACT["path"]]
    world.put(repository("app"))
    assert world.includes.artifacts(world.decoded("app")) == ()


NEWER = {**ARTIFACT, "revision": "main@sha1:" + "b" * 40, "digest": "sha256:" + "1" * 64}
CHANGES: dict[str, tuple[Object, list[str]]] = {
    "nothing": (BASE, []),
    "a new revision": (repository("base", artifact=NEWER), ["app", "site"]),
    "the same revision, other bytes": (
        repository("base", artifact={**ARTIFACT, "digest": "sha256:" + "1" * 64}),
        ["app", "site"],
    ),
    "another address": (repository("base", artifact={**ARTIFACT, "url": "http://elsewhere"}), []),
    "its artifact is lost": (repository("base"), ["app", "site"]),
    "conditions": ({**BASE, "status": {"artifact": ARTIFACT, "conditions": [{"type": "Ready"}]}}, []),
    "what it includes itself": (repository("base", "lib", artifact=ARTIFACT), ["app", "site"]),
    "one of that name elsewhere": (repository("base", artifact=NEWER, namespace="other"), []),
    "one that nobody includes": (repository("lone", artifact=NEWER), []),
}


@pytest.mark.parametrize(("new", "woken"), CHANGES.values(), ids=CHANGES)
def test_who_is_woken(new: Object, woken: list[str]) -> None:
    world = World(repository("app", "base"), repository("site", "other", "base"), repository("x"), BASE)
    assert world.put(new) == woken


def test_who_waits_is_woken_by_what_appears_and_by_what_goes() -> None:
    world = World(repository("app", "base"))
    assert world.put(repository("base")) == ["app"]
    assert world.put(BASE) == ["app"]
    assert world.remove("base") == ["app"]
    assert world.remove("app") == []
    assert world.put(BASE) == [], "who is gone is not woken"


def test_who_ceases_to_include_is_left_alone() -> None:
    world = World(repository("app", "base"), BASE)
    world.put(repository("app", "other"))
    assert world.put(repository("base", artifact=NEWER)) == []


RINGS: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "none": ({"a": ["b", "c"], "b": ["c"], "c": []}, []),
    "itself": ({"a": ["a"]}, ["a", "a"]),
    "two": ({"a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
    "three, beside others": ({"a": ["x", "b"], "b": ["c"], "c": ["a"], "x": []}, ["a", "b", "c", "a"]),
    "one that it only leads to": ({"a": ["b"], "b": ["c"], "c": ["b"]}, []),
    "two ways to the same": ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
}


@pytest.mark.parametrize(("edges", "ring"), RINGS.values(), ids=RINGS)
def test_rings(edges: dict[str, list[str]], ring: list[str]) -> None:
    found = find_ring(key("a"), lambda one: [key(name) for name in edges[one.name]])
    assert [one.name for one in found] == ring


def test_a_long_chain_is_no_ring() -> None:
    """Longer than Python's stack is deep."""
    assert (
        find_ring(key("0"), lambda one: [key(str(int(one.name) + 1))] if int(one.name) < 5_000 else []) == []
    )


MALFORMED = {"a text": "base", "a number": [1], "no repository": [{}], "no name": [{"repository": {}}]}


@pytest.mark.parametrize("include", MALFORMED.values(), ids=MALFORMED)
def test_an_object_that_cannot_be_read_disturbs_nobody(include: object) -> None:
    world = World(BASE)
    bad = repository("bad")
    bad["spec"]["include"] = include
    assert world.put(bad) == []
