"""One Kustomization's wait: what each object said last, and looking again at those of which a watch told.

A wait holds no worker. While it is open, a task of its own looks at what changed and wakes the Kustomization
once there is a conclusion; the queue's timer wakes it at the deadline. A wait that ended well rests: watches
go on to mark what changed, so that the next periodic run looks at nothing else.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import structlog

from kustomize_controller.kustomization.health.conclude import Conclusion, Healthy, Unhealthy, conclude
from kustomize_controller.kustomization.health.look import Looker, Viewer
from kustomize_controller.kustomization.health.targets import Target
from kustomize_controller.kustomization.health.verdict import CURRENT, Status, Verdict
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube import errors
from shared.kube.ownership import ObjectMeta
from shared.kube.watch import NotServed, Reflector

log = structlog.get_logger("runtime")

PACE_S = 0.2  # between two rounds of looks: an object that changes all the time costs five reads a second
POLL_S = 5.0  # Flux's interval, here only for objects that no watch shows, or could not be looked at
LOOKS = 2  # at once: many that wait must not take all of the client's slots
NAME_WATCHES = 50  # of one wait; what is beyond is polled


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a wait is for. Another one in any of these cancels it.

    Attributes:
        asked: the value of requestedAt that the run answers, or "".
    """

    uid: str
    generation: int
    artifact_digest: str
    revision: str
    asked: str


class Wait:
    """See the module's text. Used from one event loop only.

    Attributes:
        told: the status says that it goes on.
        changed: something was applied in this attempt.
        is_over: a conclusion was reported. A failed one goes on looking, for it may become good late.
    """

    def __init__(
        self,
        key: Key,
        attempt: Attempt,
        targets: Iterable[Target],
        *,
        looker: Looker,
        viewer: Viewer,
        wake: Callable[[Key], None],
        shows: Callable[[ObjectId], bool],
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.targets = {target.id: target for target in targets}
        self.verdicts: dict[ObjectId, Verdict | None] = dict.fromkeys(self.targets)
        self.dirty: set[ObjectId] = set(self.targets)
        self.began = self.deadline = time.monotonic()
        self.fail_fast = True
        self.told = False
        self.changed = False
        self.is_over = False
        self._looker = looker
        self._viewer = viewer
        self._wake = wake
        self._shows = shows  # whether the watch of objects that we applied stands for one
        self._woken_for: type[Conclusion] | None = None
        self._stirred = asyncio.Event()
        self._reading = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._watched: set[ObjectId] = set()  # by name, and the watch stands

    @property
    def lasted_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def left_s(self) -> float:
        return max(self.deadline - time.monotonic(), 0.0)

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self.deadline - 0.01

    def inherit(self, last: "Wait") -> None:
        """Take over which of the same objects an earlier wait knows to be ready, and are so still."""
        for id_, target in self.targets.items():
            is_same = target.is_known and last.targets.get(id_) == target and id_ not in last.dirty
            if is_same and self._shows(id_) and last.verdicts[id_] == CURRENT:
                self.verdicts[id_] = CURRENT
                self.dirty.discard(id_)

    def stir(self, ids: Collection[ObjectId]) -> None:
        """These may have changed: what was seen of them does not hold any more."""
        changed = self.targets.keys() & set(ids)
        if changed:
            self.dirty |= changed
            self._stirred.set()

    def poll(self) -> None:
        """Those that are not ready may have become so, where no watch would tell."""
        self.dirty |= self._unseen()

    async def read(self) -> None:
        """Look at all that may have changed. What could not be asked for stays marked."""
        async with self._reading:
            batch = [target for id_, target in self.targets.items() if id_ in self.dirty]
            slots = asyncio.Semaphore(LOOKS)

            async def one(target: Target) -> None:
                async with slots:
                    self.dirty.discard(
                        target.id
                    )  # before the look: what changes meanwhile is looked at again
                    try:
                        self.verdicts[target.id] = await self._looker.look(target, self._viewer)
                    except BaseException as error:
                        self.dirty.add(target.id)
                        if not isinstance(error, errors.KubeError):
                            raise
                        log.debug("not looked at", object=target.id.subject, because=str(error))

            await asyncio.gather(*(one(target) for target in batch))

    def conclude(self, *, may_time_out: bool = True) -> Conclusion:
        """What all verdicts come to. An object that was ready and may have changed since is not known to
        be."""
        timed_out = may_time_out and self.is_late
        known = {
            id_: None if verdict == CURRENT and id_ in self.dirty else verdict
            for id_, verdict in self.verdicts.items()
        }
        return conclude(known, timed_out=timed_out, fail_fast=self.fail_fast)

    def follow(self) -> None:
        """Look again by itself from now on, and wake the Kustomization when there is a conclusion: once for
        each, for a run that fails before it gets here would otherwise be woken for ever."""
        self._woken_for = None
        if self._tasks:
            return
        self._tasks = [asyncio.create_task(self._follow(), name=f"health of {self.key}")]
        strangers = [target for target in self.targets.values() if not target.is_known]
        for target in strangers[:NAME_WATCHES]:
            name = f"watch {target.id.subject} for {self.key}"
            self._tasks.append(asyncio.create_task(self._watch(target), name=name))

    def end(self) -> None:
        """All is well, and reported so; or another attempt has taken its place."""
        self.is_over = True
        self.rest()

    def fail(self) -> None:
        """It did not become ready, and that is reported: tell if it does after all."""
        self.is_over = True
        self.follow()

    def rest(self) -> None:
        """Look at nothing by itself any more. Strangers are not watched then, so they count as changed."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._watched.clear()
        self.dirty |= {id_ for id_, target in self.targets.items() if not target.is_known}

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        next_poll = clock() + POLL_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_poll):
                    await self._stirred.wait()
            if clock() >= next_poll:  # however much the others stir
                next_poll = clock() + POLL_S
                if not self.is_over:
                    self.poll()
            self._stirred.clear()
            try:
                await self.read()
            except Exception:  # nothing that one object holds may end the wait: it would never be told
                log.exception("health not read", key=str(self.key))
            self._tell(self.conclude(may_time_out=False))
            await asyncio.sleep(PACE_S)

    def _tell(self, found: Conclusion) -> None:
        is_news = isinstance(found, Healthy) or (isinstance(found, Unhealthy) and not self.is_over)
        if is_news and self._woken_for is not type(found):
            self._wake(self.key)
        self._woken_for = type(found) if is_news else None

    def _unseen(self) -> set[ObjectId]:
        """Objects that are not ready, and of which no watch would tell when they are."""
        return {
            id_
            for id_, verdict in self.verdicts.items()
            if verdict is None
            or verdict.status is Status.UNKNOWN
            or (verdict.status is not Status.CURRENT and self._needs_poll(id_))
        }

    def _needs_poll(self, id_: ObjectId) -> bool:
        is_watched = (self.targets[id_].is_known and self._shows(id_)) or id_ in self._watched
        return not is_watched or id_.kind == "Pod"  # a pod that nobody takes fails by the clock

    async def _watch(self, target: Target) -> None:
        """Watch one object that is not ours, as the tenant; without that right it is polled."""
        sink = _NameSink(self, target.id)
        while True:
            try:
                id_ = target.id
                resource = await self._looker.discovery.find(id_.group, target.version, id_.kind)
                await Reflector(
                    self._looker.client,
                    resource,
                    sink,
                    namespace=id_.namespace if resource.namespaced else "",
                    field_selector=f"metadata.name={id_.name}",
                    identity=self._viewer.identity,
                ).run()
            except (errors.KubeError, NotServed) as error:
                log.debug("not watched", object=target.id.subject, because=str(error))
            except Exception:
                log.exception("watch failed", object=target.id.subject)
            self._watched.discard(target.id)
            await asyncio.sleep(POLL_S)

    def watched(self, id_: ObjectId, *, stands: bool) -> None:
        (self._watched.add if stands else self._watched.discard)(id_)


class _NameSink:
    """The reflector of one object feeds this: whatever it tells, the object is looked at."""

    def __init__(self, wait: Wait, id_: ObjectId) -> None:
        self._wait = wait
        self._id = id_

    def listing(self) -> None:
        self._wait.watched(self._id, stands=False)

    def replace(self, items: list[ObjectMeta], version: int) -> None:  # noqa: ARG002
        self._wait.watched(self._id, stands=True)
        self._wait.stir([self._id])

    def changed(self, meta: ObjectMeta) -> None:  # noqa: ARG002
        self._wait.stir([self._id])

    def removed(self, meta: ObjectMeta) -> None:  # noqa: ARG002
        self._wait.stir([self._id])
