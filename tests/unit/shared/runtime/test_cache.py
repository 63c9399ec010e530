"""What is held of our own objects, and what never replaces it."""

from typing import Any

from shared.api.meta import Key
from shared.runtime.cache import Cache, Held

KEY = Key("Kustomization", "ns", "app")


def raw(uid: str = "u1", version: str = "5") -> dict[str, Any]:
    return {"metadata": {"name": "app", "namespace": "ns", "uid": uid, "resourceVersion": version}}


def test_a_newer_state_is_taken_and_an_older_one_is_not() -> None:
    cache = Cache("Kustomization")
    assert cache.put(raw(version="5")) == (True, None)
    assert cache.put(raw(version="4")) == (False, raw(version="5"))
    assert cache.put(raw(version="10"))[0]  # numbers, not texts
    assert cache.held() == {KEY: Held("u1", 10)}


def test_another_object_of_the_same_name_is_taken_whatever_its_version() -> None:
    cache = Cache("Kustomization")
    cache.put(raw("u1", "9"))
    assert cache.put(raw("u2", "3"))[0]


def test_after_a_restore_from_backup_the_past_is_taken() -> None:
    cache = Cache("Kustomization")
    cache.put(raw(version="9"))
    assert cache.put(raw(version="3"), went_back=True)[0]
    assert cache.held() == {KEY: Held("u1", 3)}


def test_only_that_very_object_is_dropped() -> None:
    cache = Cache("Kustomization")
    cache.put(raw("u2"))
    assert not cache.drop(KEY, "u1")
    assert cache.get(KEY, "u1") is None
    assert cache.drop(KEY, "u2")
    assert len(cache) == 0
