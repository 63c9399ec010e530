"""Which Kustomizations are to run when something else changed: their source, an object of theirs, one
another that they wait for, or a ConfigMap or Secret that they refer to.

A new artifact wakes all consumers of the source, those first whose builds it changes: what is asked is only
whether an input of the last build moved, which needs the unpacked artifact and no build. The others follow,
for the revision in their status.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from kustomize_controller.kustomization.prepare import Preparer
from kustomize_controller.sources import Sources
from shared.api.kinds import KUSTOMIZATION, InvalidObject, decode
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.runtime.cache import RawObject
from shared.runtime.controller import Controller
from shared.runtime.outcome import Event
from shared.runtime.queue import Priority

log = structlog.get_logger("runtime")


class Dependents:
    """Kustomizations that wait for others: for their readiness, or for an object that moves to them."""

    def __init__(self, enqueue: Callable[[Key, str, Priority], None]) -> None:
        self._enqueue = enqueue
        self._waiting: dict[Key, set[Key]] = {}
        self._curious: dict[Key, set[Key]] = {}

    def wait(self, waiting: Key, on: Iterable[Key], *, for_anything: bool = False) -> None:
        """Wake `waiting` once any of `on` changes in what others look at.

        Args:
            for_anything: any change counts: an expression of the user's looks at the whole object.
        """
        waits = self._curious if for_anything else self._waiting
        for key in on:
            waits.setdefault(key, set()).add(waiting)

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        key = Key.of(KUSTOMIZATION.kind, new)
        woken: set[Key] = set()
        if old is None or _as_dependency(old) != _as_dependency(new):
            woken |= self._waiting.pop(key, set())
        if key in self._curious and (old is None or _content(old) != _content(new)):
            woken |= self._curious.pop(key)
        for one in woken:
            self._enqueue(one, f"dependency {key} changed", Priority.CHANGE)


class Waker:
    """Between the sources, the watch of managed objects, and the queue. `connect` before anything is
    watched."""

    def __init__(self) -> None:
        self._preparer: Preparer | None = None
        self._controller: Controller[Kustomization] | None = None
        self._sources: Mapping[str, Sources] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(
        self, controller: Controller[Kustomization], preparer: Preparer, sources: Mapping[str, Sources]
    ) -> None:
        self._controller = controller
        self._preparer = preparer
        self._sources = sources

    def lookup(self, key: Key) -> RawObject | None:
        return self._connected.cache.get(key)

    def enqueue(self, key: Key, reason: str, priority: Priority) -> None:
        self._connected.queue.add(key, reason, priority)

    def drifted(self, key: Key) -> None:
        if self.lookup(key) is not None:
            self.enqueue(key, "drift", Priority.CHANGE)

    def health_known(self, key: Key) -> None:
        """There is a conclusion about what a Kustomization waits for."""
        if self.lookup(key) is not None:
            self.enqueue(key, "health", Priority.CHANGE)

    def arrived(self, key: Key, reason: str) -> None:
        """A kind that a Kustomization lacked is served."""
        if self.lookup(key) is not None:
            self.enqueue(key, reason, Priority.CHANGE)

    def tell(self, key: Key, event: Event) -> None:
        self._connected.tell(key, event)

    def source_changed(self, source: Key) -> None:
        """The artifact of a source is another one, or the source came or went."""
        task = asyncio.create_task(self._wake_consumers(source), name=f"consumers of {source}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake_consumers(self, source: Key) -> None:
        artifact = self._sources[source.kind].artifact(source)
        consumers = self.of_source(source)
        changed = set(consumers)
        if artifact is not None and consumers and self._preparer is not None:
            try:
                changed = await self._preparer.changed_by(artifact, consumers)
            except Exception as error:  # the run of each consumer will meet and report it
                log.debug("artifact not compared", source=str(source), error=str(error))
        reason = f"{source} changed"
        for key in consumers:
            if key in changed:
                self.enqueue(key, reason, Priority.CHANGE)
        for key in consumers:
            if key not in changed:
                self.enqueue(key, reason, Priority.MOVE)

    def config_changed(self, config: Key) -> None:
        """A ConfigMap or Secret that is watched is another one, or came or went."""
        cache = self._connected.cache
        for key in cache.keys():  # noqa: SIM118  # not a mapping
            raw = cache.get(key)
            if key.namespace == config.namespace and raw is not None and config in _configs_of(key, raw):
                self.enqueue(key, f"{config} changed", Priority.CHANGE)

    def of_source(self, source: Key) -> list[Key]:
        """The Kustomizations that refer to a source."""
        cache = self._connected.cache
        keys = cache.keys()
        return [key for key in keys if _source_of(cache.get(key)) == source]

    @property
    def _connected(self) -> Controller[Kustomization]:
        if self._controller is None:
            raise RuntimeError("the waker is used before it is connected")
        return self._controller


def _as_dependency(raw: RawObject) -> tuple[Any, ...]:
    """What dependents look at."""
    status = raw.get("status", {})
    ready = [c.get("status") for c in status.get("conditions", ()) if c.get("type") == "Ready"]
    generation = raw["metadata"].get("generation")
    return (ready, status.get("lastAppliedRevision"), status.get("observedGeneration"), generation)


def _content(raw: RawObject) -> tuple[Any, ...]:
    """All that an expression may look at, without what every write moves."""
    meta = raw["metadata"]
    return (raw.get("spec"), raw.get("status"), meta.get("labels"), meta.get("annotations"))


def _configs_of(key: Key, raw: RawObject) -> list[Key]:
    """The ConfigMaps and Secrets that a Kustomization refers to; none if it cannot be read."""
    try:
        found = decode(KUSTOMIZATION, raw).configs
    except InvalidObject:
        return []
    return [one for one in found if one.namespace == key.namespace]


def _source_of(raw: RawObject | None) -> Key | None:
    if raw is None:
        return None
    ref = raw.get("spec", {}).get("sourceRef", {})
    namespace = ref.get("namespace") or raw["metadata"].get("namespace", "")
    return Key(ref.get("kind", ""), namespace, ref.get("name", ""))
