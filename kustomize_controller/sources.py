"""The sources that Kustomizations refer to, as last seen, and who refers to them.

A `KindSink` for each source kind. A source whose artifact changed is told to `on_artifact`; whether a
source's Ready is True is nobody's business here, only its artifact counts (behaviour-kustomize.md 1).

After a restore from a backup a source names an artifact of the past until its own controller has looked
again, which it does at once. To apply that one in between would undo, and prune, what Git still asks for.
So what the source published last stays in use until it publishes again, or for `BELIEVED_AFTER_S`, since
upstream may in truth have gone back as well.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shared.api.artifact import Artifact
from shared.api.kinds import Kind
from shared.api.meta import Key
from shared.runtime.cache import Cache, Held, RawObject

BELIEVED_AFTER_S = 30.0
Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


def _later(delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay_s, call)


class Sources:
    """Sources of one kind."""

    def __init__(self, kind: Kind[Any], on_artifact: Callable[[Key], None], later: Later = _later) -> None:
        self.kind = kind
        self._cache = Cache(kind.kind)
        self._on_artifact = on_artifact
        self._later = later
        self._kept: dict[Key, tuple[Mapping[str, Any], asyncio.TimerHandle]] = {}  # artifacts, see above

    def observed(self, raw: RawObject, *, went_back: bool = False) -> None:
        taken, old = self._cache.put(raw, went_back=went_back)
        if not taken or _identity(old) == _identity(raw):
            return
        key = self._cache.key_of(raw)
        if went_back and key not in self._kept and (published := _published(old)):
            timer = self._later(BELIEVED_AFTER_S, lambda: self._believe(key))
            self._kept[key] = (published, timer)
            return
        self._believe(key)

    def _believe(self, key: Key) -> None:
        """What the source says is so."""
        _, timer = self._kept.pop(key, (None, None))
        if timer is not None:
            timer.cancel()
        self._on_artifact(key)

    def vanished(self, key: Key, uid: str | None = None) -> None:
        if self._cache.drop(key, uid):
            self._believe(key)

    def held(self) -> dict[Key, Held]:
        return self._cache.held()

    def exists(self, key: Key) -> bool:
        return self._cache.get(key) is not None

    def artifact(self, key: Key) -> Artifact | None:
        """What the source published last; None if nothing yet, or nothing that can be read."""
        kept, _ = self._kept.get(key, (None, None))
        published = kept or _published(self._cache.get(key))
        if not published:
            return None
        try:
            return msgspec.convert(published, Artifact)
        except msgspec.ValidationError:
            return None


def _published(raw: RawObject | None) -> Mapping[str, Any] | None:
    artifact: Mapping[str, Any] | None = (raw or {}).get("status", {}).get("artifact")
    return artifact


def _identity(raw: RawObject | None) -> tuple[Any, ...]:
    if raw is None:
        return (False,)
    artifact = _published(raw) or {}
    return (True, artifact.get("revision"), artifact.get("digest"), artifact.get("url"))
