"""The sources that Kustomizations refer to, as last seen, and who refers to them.

A `KindSink` for each source kind. A source whose artifact changed is told to `on_artifact`; whether a
source's Ready is True is nobody's business here, only its artifact counts (behaviour-kustomize.md 1).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from shared.api.artifact import Artifact
from shared.api.kinds import Kind
from shared.api.meta import Key
from shared.runtime.cache import Cache, Held, RawObject


class Sources:
    """Sources of one kind."""

    def __init__(self, kind: Kind[Any], on_artifact: Callable[[Key], None]) -> None:
        self.kind = kind
        self._cache = Cache(kind.kind)
        self._on_artifact = on_artifact

    def observed(self, raw: RawObject, *, went_back: bool = False) -> None:
        taken, old = self._cache.put(raw, went_back=went_back)
        if taken and _identity(old) != _identity(raw):
            self._on_artifact(self._cache.key_of(raw))

    def vanished(self, key: Key, uid: str | None = None) -> None:
        if self._cache.drop(key, uid):
            self._on_artifact(key)

    def held(self) -> dict[Key, Held]:
        return self._cache.held()

    def exists(self, key: Key) -> bool:
        return self._cache.get(key) is not None

    def artifact(self, key: Key) -> Artifact | None:
        """What the source published last; None if nothing yet, or nothing that can be read."""
        raw = self._cache.get(key)
        published = (raw or {}).get("status", {}).get("artifact")
        if not published:
            return None
        try:
            return msgspec.convert(published, Artifact)
        except msgspec.ValidationError:
            return None


def _identity(raw: RawObject | None) -> tuple[Any, ...]:
    if raw is None:
        return (False,)
    artifact = raw.get("status", {}).get("artifact") or {}
    return (True, artifact.get("revision"), artifact.get("digest"), artifact.get("url"))
