"""Kinds that were not served when a Kustomization wanted them: noticing that they come.

A definition often comes with another Kustomization, or by hand a minute later. Who waits for it is woken as
soon as the API server serves the kind, and not by his retry interval. The definitions are watched, metadata
only, and only while somebody waits. Where the watch is not allowed, and for kinds of an aggregated API, the
retry interval has to do.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

import structlog

from shared.api.meta import Key
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Discovery
from shared.kube.ownership import ObjectMeta
from shared.kube.watch import NotServed, Reflector

log = structlog.get_logger("runtime")

Missing = tuple[str, str, str]  # group, version, kind

_DEFINITION = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
# A definition is there before its kind is served, usually by less than a tenth of a second.
_LOOKS_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_AGAIN_S = 5.0  # before a watch that ended is begun again


class Arrivals:
    """Who waits for which kinds. `wake(owner, reason)` is called when one of his is served."""

    def __init__(self, client: Client, discovery: Discovery, *, wake: Callable[[Key, str], None]) -> None:
        self._client = client
        self._discovery = discovery
        self._wake = wake
        self._waiting: dict[Key, frozenset[Missing]] = {}
        self._defined: set[str] = set()  # names of the definitions that exist, "<plural>.<group>"
        self._watch: asyncio.Task[None] | None = None
        self._looks: dict[str, asyncio.Task[None]] = {}  # by group

    def wait(self, owner: Key, missing: Collection[Missing]) -> None:
        """`owner` lacks these kinds, and none but these; an empty collection: nothing any more."""
        before = self._waiting.pop(owner, frozenset())
        if missing:
            self._waiting[owner] = frozenset(missing)
        if not self._waiting:
            self._stop_watching()
        elif self._watch is None:
            self._watch = asyncio.create_task(self._run(), name="watch definitions")
        elif before != self._waiting.get(owner, frozenset()):
            # A definition may have come between the look that missed it and this call.
            self._look(_groups(self._defined) & {group for group, _, _ in missing})

    async def close(self) -> None:
        tasks = [*self._looks.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the reflector calls ---

    def listing(self) -> None:
        """Nothing depends on what was before a list."""

    def replace(self, items: list[ObjectMeta], version: int) -> None:  # noqa: ARG002  # the reflector's
        self._defined = {meta.name for meta in items}
        self._look(_groups(self._defined))

    def changed(self, meta: ObjectMeta) -> None:
        self._defined.add(meta.name)
        self._look(_groups([meta.name]))

    def removed(self, meta: ObjectMeta) -> None:
        self._defined.discard(meta.name)

    # --- inside ---

    async def _run(self) -> None:
        while True:
            try:
                resource = await self._discovery.find(*_DEFINITION)
                await Reflector(self._client, resource, self).run()
            except (errors.KubeError, NotServed) as error:
                log.info("watch not begun", kind="CustomResourceDefinition", because=str(error))
            await asyncio.sleep(_AGAIN_S)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            self._defined = set()

    def _look(self, groups: Iterable[str]) -> None:
        wanted = {group for missing in self._waiting.values() for group, _, _ in missing}
        for group in wanted.intersection(groups):
            if group in self._looks:
                self._looks.pop(group).cancel()  # from the beginning: what is new may take its time
            task = self._looks[group] = asyncio.create_task(self._find(group), name=f"look for {group}")
            task.add_done_callback(lambda done, group=group: self._looked(group, done))  # type: ignore[misc]

    def _looked(self, group: str, task: "asyncio.Task[None]") -> None:
        if self._looks.get(group) is task:
            del self._looks[group]
        if not task.cancelled() and task.exception() is not None:
            log.error("look for a kind failed", group=group, because=str(task.exception()))

    async def _find(self, group: str) -> None:
        """Ask which kinds of the group are served, until nobody waits for one or it takes too long."""
        for delay_s in _LOOKS_S:
            await asyncio.sleep(delay_s)
            self._discovery.forget(group)
            wanted = {one for missing in self._waiting.values() for one in missing if one[0] == group}
            for one in wanted:
                if await self._is_served(one):
                    self._arrived(one)
            if not any(one[0] == group for missing in self._waiting.values() for one in missing):
                return

    async def _is_served(self, one: Missing) -> bool:
        try:
            await self._discovery.find(*one)
        except errors.KubeError:
            return False
        return True

    def _arrived(self, one: Missing) -> None:
        for owner in [owner for owner, missing in self._waiting.items() if one in missing]:
            self.wait(owner, ())
            self._wake(owner, f"{one[2]} is served")


def _groups(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[2] for name in names}
