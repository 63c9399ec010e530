"""Which state of a ConfigMap or Secret a watch shows, and when that is news."""

from typing import cast

import pytest

from kustomize_controller.kustomization.configs import Configs
from shared.api.meta import Key
from shared.kube.client import Client
from shared.kube.ownership import ObjectMeta

THE_MAP, OTHER = Key("ConfigMap", "ns", "settings"), Key("ConfigMap", "ns", "other")


def seen(name: str, version: int, uid: str = "u1") -> ObjectMeta:
    return ObjectMeta(name=name, namespace="ns", uid=uid, resource_version=str(version))


class World:
    """ConfigMaps that are watched, and what was news."""

    def __init__(self) -> None:
        self.news: list[Key] = []
        self.configs = Configs(cast(Client, None), "", "", self.news.append)
        self.sink = self.configs._sinks["ConfigMap"]  # what a reflector is given
        self.sink.replace([seen("settings", 5)], 5)
        self.news.clear()


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_listed_is_known(world: World) -> None:
    assert world.configs.version(THE_MAP) == "u1/5"
    assert world.configs.version(OTHER) is None


def test_a_change_is_news_once(world: World) -> None:
    world.sink.changed(seen("settings", 6))
    world.sink.changed(seen("settings", 6))
    assert world.news == [THE_MAP]
    assert world.configs.version(THE_MAP) == "u1/6"


def test_what_comes_and_goes_is_news(world: World) -> None:
    world.sink.changed(seen("other", 7))
    world.sink.removed(seen("settings", 8))
    world.sink.removed(seen("settings", 8))
    assert world.news == [OTHER, THE_MAP]
    assert world.configs.version(THE_MAP) is None


def test_a_list_tells_what_a_watch_missed(world: World) -> None:
    world.sink.replace([seen("settings", 5), seen("other", 9)], 9)
    assert world.news == [OTHER]
    world.news.clear()
    world.sink.replace([seen("settings", 5, uid="u2")], 11)
    assert sorted(world.news) == sorted([THE_MAP, OTHER])
