"""The objects of one kind as last seen: by the watch, or in the answer to a write of ours, whichever is
newer.

Keyed by name, since that is how others refer to them; every change is checked against the UID, so that what
is said of an object never lands on another one that took its name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from shared.api.meta import Key

RawObject = Mapping[str, Any]


class Held(NamedTuple):
    """One object's identity and state."""

    uid: str
    version: int  # resourceVersion; 0 if it is no number

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Self:
        version = str(meta.get("resourceVersion", ""))
        return cls(meta.get("uid", ""), int(version) if version.isdigit() else 0)


class Cache:
    """Used from one event loop only."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._objects: dict[Key, RawObject] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def key_of(self, raw: RawObject) -> Key:
        return Key.of(self.kind, raw)

    def get(self, key: Key, uid: str | None = None) -> RawObject | None:
        """The object; with a `uid`, only if it is that very one."""
        raw = self._objects.get(key)
        if raw is None or (uid is not None and raw["metadata"].get("uid") != uid):
            return None
        return raw

    def keys(self) -> set[Key]:
        return set(self._objects)

    def held(self) -> dict[Key, Held]:
        """What is held, and in which state."""
        return {key: Held.of(raw["metadata"]) for key, raw in self._objects.items()}

    def put(self, raw: RawObject, *, went_back: bool = False) -> tuple[bool, RawObject | None]:
        """Take a newer state; returns whether it was taken, and what was there before.

        Args:
            went_back: the cluster was restored from a backup, so an older state is the true one.
        """
        key = self.key_of(raw)
        old = self._objects.get(key)
        if old is not None and not went_back and _is_older(raw["metadata"], old["metadata"]):
            return False, old
        self._objects[key] = raw
        return True, old

    def drop(self, key: Key, uid: str | None = None) -> bool:
        """The object is gone; with a `uid`, only if it is that very one. False when nothing was dropped."""
        if self.get(key, uid) is None:
            return False
        del self._objects[key]
        return True


def _is_older(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether metadata `a` is an older state of the same object than `b`.

    resourceVersions of one resource are ordered numbers since Kubernetes 1.35 (KEP-5504) and were so before
    in fact.
    """
    before, after = Held.of(a), Held.of(b)
    return before.uid == after.uid and 0 < before.version < after.version
