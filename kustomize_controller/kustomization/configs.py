"""ConfigMaps and Secrets that Kustomizations refer to: which state they are in, and that they changed.

Only those with the label that users set for it (`reconcile.fluxcd.io/watch: Enabled`) are watched, and only
their metadata, so that no content of a Secret is held. For all others a change is found at the next run.

Source: behaviour-kustomize.md 1, triggers.
"""

import asyncio
from collections.abc import Callable

import structlog

from kustomize_controller.kustomization.variables import RESOURCES
from shared.api.meta import Key
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.ownership import ObjectMeta
from shared.kube.watch import Reflector

log = structlog.get_logger("runtime")

AGAIN_S = 15.0  # after a watch that ended for good: that should not be, and must not end this


class Configs:
    """Watches ConfigMaps and Secrets. Used from one event loop only.

    Args:
        selector: label selector of what is watched; None watches nothing.
        namespace: the only one to watch; "" is all.
        changed: called with what changed, came or went.
    """

    def __init__(
        self, client: Client, selector: str | None, namespace: str, changed: Callable[[Key], None]
    ) -> None:
        self._client = client
        self._selector = selector
        self._namespace = namespace
        self._sinks = {kind: _Sink(kind, changed) for kind in RESOURCES}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        if self._selector is None:
            return
        for kind in RESOURCES:
            self._tasks.append(asyncio.create_task(self._run(kind), name=f"watch {kind}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def version(self, key: Key) -> str | None:
        """`uid/resourceVersion` of an object as the watch shows it; None if it does not show the object."""
        return self._sinks[key.kind].versions.get(key)

    async def _run(self, kind: str) -> None:
        selector = self._selector or ""
        while True:
            try:
                await Reflector(
                    self._client,
                    RESOURCES[kind],
                    self._sinks[kind],
                    label_selector=selector,
                    namespace=self._namespace,
                ).run()
            except errors.KubeError as error:
                log.info("watch ended", kind=kind, because=str(error))
            except Exception:
                log.exception("watch failed", kind=kind)
            self._sinks[kind].versions.clear()
            await asyncio.sleep(AGAIN_S)


class _Sink:
    """One kind's reflector feeds this."""

    def __init__(self, kind: str, changed: Callable[[Key], None]) -> None:
        self._kind = kind
        self._changed = changed
        self.versions: dict[Key, str] = {}

    def listing(self) -> None:
        """What comes between a list's question and its answer is in the answer."""

    def replace(self, items: list[ObjectMeta], version: int) -> None:  # noqa: ARG002  # the list is complete
        before, self.versions = self.versions, {self._key(meta): _version(meta) for meta in items}
        for key in before.keys() | self.versions.keys():
            if before.get(key) != self.versions.get(key):
                self._changed(key)

    def changed(self, meta: ObjectMeta) -> None:
        key = self._key(meta)
        if self.versions.get(key) != _version(meta):
            self.versions[key] = _version(meta)
            self._changed(key)

    def removed(self, meta: ObjectMeta) -> None:
        key = self._key(meta)
        if self.versions.pop(key, None) is not None:
            self._changed(key)

    def _key(self, meta: ObjectMeta) -> Key:
        return Key(self._kind, meta.namespace, meta.name)


def _version(meta: ObjectMeta) -> str:
    return f"{meta.uid}/{meta.resource_version}"
