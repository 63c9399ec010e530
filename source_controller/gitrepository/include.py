"""Which GitRepositories include which others: their artifacts, and who is woken when one of them changes.

A chain of includes is followed by watch events alone; the contract's 30 seconds remain as a safety net. A
ring of includes would grow for ever, each artifact with the others inside, so it is refused on all its
members.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepository
from shared.api.kinds import GIT_REPOSITORY
from shared.api.meta import Key
from shared.artifacts.store import folder_of, lies_in
from shared.runtime.cache import RawObject

Lookup = Callable[[Key], RawObject | None]
Wake = Callable[[Key, str], None]


class IncludeUnavailable(Exception):
    """An included repository has nothing to include yet; reason and message are the contract's.

    Attributes:
        on: what is waited for.
    """

    def __init__(self, reason: str, message: str, on: Key) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.on = on


class Includes:
    """`connect` before anything is watched."""

    def __init__(self) -> None:
        self._lookup: Lookup | None = None
        self._wake: Wake | None = None
        self._included: dict[Key, tuple[Key, ...]] = {}  # those with any
        self._consumers: dict[Key, set[Key]] = {}

    def connect(self, lookup: Lookup, wake: Wake) -> None:
        self._lookup = lookup
        self._wake = wake

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        """A GitRepository appeared or changed: whoever includes it may go on."""
        key = Key.of(GIT_REPOSITORY.kind, new)
        self._remember(key, included_by(new))
        if old is None or _offer(old) != _offer(new):
            self._wake_consumers(key, f"included {key} changed")

    def forget(self, key: Key) -> None:
        """A GitRepository is gone."""
        self._remember(key, ())
        self._wake_consumers(key, f"included {key} is gone")

    def artifacts(self, repository: GitRepository) -> tuple[Artifact, ...]:
        """What the repositories in `spec.include` have, in its order.

        Raises:
            IncludeUnavailable: one of them is missing, has no artifact, or includes `repository` itself.
        """
        if not repository.includes:
            return ()
        ring = find_ring(repository.key, lambda key: self._included.get(key, ()))
        if ring:
            names = " → ".join(key.name for key in ring)
            told = f"spec.include goes round in a ring: {names}; remove one of these includes"
            raise IncludeUnavailable("IncludeRing", told, ring[1])
        return tuple(self._artifact(key) for key in repository.includes)

    def _artifact(self, key: Key) -> Artifact:
        raw = self._lookup(key) if self._lookup is not None else None
        if raw is None:
            told = f"could not get resource for include '{key.name}': "
            missing = f'{GIT_REPOSITORY.kind}.{GIT_REPOSITORY.group} "{key.name}" not found'
            raise IncludeUnavailable("NotFound", told + missing, key)
        artifact = _artifact_of(raw)
        if artifact is None:
            raise IncludeUnavailable("NoArtifact", f"no artifact available for include '{key.name}'", key)
        if not lies_in(artifact.path, folder_of(*key)):
            told = f"no artifact available for include '{key.name}': its status.artifact.path is not its own"
            raise IncludeUnavailable("NoArtifact", told, key)
        return artifact

    def _remember(self, key: Key, now: tuple[Key, ...]) -> None:
        before = self._included.get(key, ())
        if now == before:
            return
        for one in before:
            consumers = self._consumers.get(one, set())
            consumers.discard(key)
            if not consumers:
                self._consumers.pop(one, None)
        for one in now:
            self._consumers.setdefault(one, set()).add(key)
        if now:
            self._included[key] = now
        else:
            self._included.pop(key, None)

    def _wake_consumers(self, key: Key, reason: str) -> None:
        if self._wake is not None:
            for consumer in self._consumers.get(key, ()):
                self._wake(consumer, reason)


def find_ring(start: Key, included: Callable[[Key], Iterable[Key]]) -> list[Key]:
    """A way along includes from `start` back to `start`, both ends in it; [] if there is none."""
    came_from: dict[Key, Key] = {}
    ahead = [start]
    while ahead:
        key = ahead.pop()
        for one in included(key):
            if one == start:
                way = [start]
                while key != start:
                    way.append(key)
                    key = came_from[key]
                return [start, *reversed(way)]
            if one not in came_from:
                came_from[one] = key
                ahead.append(one)
    return []


def included_by(raw: RawObject) -> tuple[Key, ...]:
    """The GitRepositories that one includes; none for an object that cannot be read."""
    listed = raw.get("spec", {}).get("include")
    namespace = raw["metadata"].get("namespace", "")
    try:
        names = [one["repository"]["name"] for one in listed or ()]
    except (TypeError, KeyError):
        return ()
    return tuple(Key(GIT_REPOSITORY.kind, namespace, name) for name in names if isinstance(name, str))


def _artifact_of(raw: RawObject) -> Artifact | None:
    try:
        return msgspec.convert(raw.get("status", {}).get("artifact"), Artifact | None)
    except msgspec.ValidationError:
        return None


def _offer(raw: RawObject) -> tuple[object, ...]:
    """What those who include it look at."""
    artifact: Mapping[str, Any] = raw.get("status", {}).get("artifact") or {}
    return artifact.get("path"), artifact.get("revision"), artifact.get("digest"), included_by(raw)
