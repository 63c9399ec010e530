"""The waits of all Kustomizations, and who is told of an object that changed.

The controller's metadata-only watches of applied objects (drift.py) show each new state of an object, its
status included, since that moves the resourceVersion. A wait takes that as the sign to look at the object
again, as the tenant; so a wait costs a request for each change of what it waits for, and none otherwise.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kustomize_controller.kustomization.health.look import Looker, Viewer
from kustomize_controller.kustomization.health.targets import Target
from kustomize_controller.kustomization.health.wait import Attempt, Wait
from shared.api.meta import Key
from shared.api.objects import ObjectId

_NOTHING: Final = MappingProxyType[Key, Wait]({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one run asks for.

    Attributes:
        timeout_s: what is left of spec.timeout.
        began_s_ago: the wait was under way before the process was started; None if not.
        applied: what this run applied: it is not as it was seen last.
        fail_fast: see `conclude`.
    """

    key: Key
    attempt: Attempt
    targets: tuple[Target, ...]
    viewer: Viewer
    timeout_s: float
    began_s_ago: float | None = None
    applied: Collection[ObjectId] = ()
    fail_fast: bool = True


class Waits:
    """Used from one event loop only.

    Args:
        wake: called when there is a conclusion about a Kustomization.
    """

    def __init__(self, looker: Looker, *, wake: Callable[[Key], None]) -> None:
        self.looker = looker
        self._wake = wake
        self._waits: dict[Key, Wait] = {}
        self._by_object: dict[ObjectId, dict[Key, Wait]] = {}
        self._listed: set[tuple[str, str]] = set()  # kinds whose watch stands

    def goes_on(self, key: Key, attempt: Attempt) -> bool:
        """Whether this very attempt is only waiting, so that there is nothing to be done anew."""
        wait = self._waits.get(key)
        return wait is not None and wait.attempt == attempt and not wait.is_over

    def superseded(self, key: Key, attempt: Attempt) -> Attempt | None:
        """End the wait of another attempt; that attempt, if people were told of the wait and it was not
        over.

        One that failed ends as well: that it becomes good late is of no use to anybody now.
        """
        wait = self._waits.get(key)
        if wait is None or wait.attempt == attempt:
            return None
        is_told = wait.told and not wait.is_over
        wait.end()
        return wait.attempt if is_told else None

    async def look(self, order: Order) -> Wait:
        """Begin the wait, or go on with it, and look at what may have changed.

        The same attempt keeps its clock. One that ended begins anew, with what is known still.
        """
        wait = self._waits.get(order.key)
        targets = {target.id: target for target in order.targets}
        if wait is None or wait.attempt != order.attempt or wait.is_over or wait.targets != targets:
            wait = self._begin(order, wait)
        wait.stir(order.applied)
        if wait.is_late:
            wait.poll()
        await wait.read()
        return wait

    def _begin(self, order: Order, last: Wait | None) -> Wait:
        wait = Wait(
            order.key,
            order.attempt,
            order.targets,
            looker=self.looker,
            viewer=order.viewer,
            wake=self._wake,
            shows=self._shows,
        )
        wait.fail_fast = order.fail_fast
        if last is not None:
            wait.inherit(last)
        if last is not None and last.attempt == order.attempt and not last.is_over:
            wait.began, wait.deadline = last.began, last.deadline
            wait.told, wait.changed = last.told, last.changed
        else:
            ago_s = order.began_s_ago
            if last is None and ago_s is not None and ago_s < order.timeout_s:
                wait.began, wait.told = wait.began - ago_s, True
            wait.deadline = wait.began + order.timeout_s
        self.forget(order.key)
        self._waits[order.key] = wait
        for id_ in wait.targets:
            self._by_object.setdefault(id_, {})[order.key] = wait
        return wait

    def stop(self, key: Key) -> None:
        """The spec changed, or the object is about to go: look at nothing more for its sake."""
        wait = self._waits.get(key)
        if wait is not None:
            wait.rest()

    def forget(self, key: Key) -> None:
        """Nothing is waited for any more."""
        wait = self._waits.pop(key, None)
        if wait is None:
            return
        wait.rest()
        for id_ in wait.targets:
            waiting = self._by_object.get(id_, {})
            waiting.pop(key, None)
            if not waiting:
                self._by_object.pop(id_, None)

    # --- what the watches of applied objects tell ---

    def seen(self, id_: ObjectId) -> None:
        """A watch showed a new state of an object, or its end."""
        for wait in self._by_object.get(id_, _NOTHING).values():
            wait.stir([id_])

    def listed(self, group: str, kind: str) -> None:
        """A watch began anew: what happened to objects of the kind meanwhile is not known."""
        self._listed.add((group, kind))
        for id_, waiting in self._by_object.items():
            if (id_.group, id_.kind) == (group, kind):
                for wait in waiting.values():
                    wait.stir([id_])

    def lost(self, group: str, kind: str) -> None:
        """No watch shows objects of the kind until it is listed again: they are polled."""
        self._listed.discard((group, kind))

    def _shows(self, id_: ObjectId) -> bool:
        return (id_.group, id_.kind) in self._listed

    async def close(self) -> None:
        for key in list(self._waits):
            self.forget(key)
        await self.looker.expressions.close()
