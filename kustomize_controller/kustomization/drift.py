"""Drift: noticing by watch that somebody changed or deleted an object of ours.

One metadata-only watch a kind, selected by our owner label, shows every later state of an object's
managedFields. As long as our entry there is what it was after our apply, no value of ours was touched; a
steady state costs no request. `judge` is the rule, pure; `Follower` feeds it and wakes the Kustomization
whose object drifted.

A watch event may overtake the answer to our own apply, so verdicts on the objects of a Kustomization wait
while a run of it is in flight. An object that is repaired again and again is repaired less and less often
(`REPAIR_DELAY_S`).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from kustomize_controller.kustomization.names import FIELD_MANAGER, OWNER_NAME, RECONCILE, SSA
from kustomize_controller.kustomization.remember import Applied, Contest, Drift, Holding, Memory
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Discovery
from shared.kube.ownership import ObjectMeta, field_paths, foreign_entries, ownership
from shared.kube.watch import NotServed, Reflector

log = structlog.get_logger("runtime")

# Before the n-th repair of the same object within `CALM_S`. A controller that fights us is then answered
# twice a minute.
REPAIR_DELAY_S = (0.0, 0.0, 2.0, 5.0, 10.0, 20.0, 30.0)
CALM_S = 300.0
CONTESTED_FROM = 4  # repairs
NOT_SERVED_S = 5.0  # before a kind that is not served is looked for again: a CRD may come


def judge(meta: ObjectMeta, applied: Applied) -> bool:
    """Whether the live object is not as we left it.

    `reconcile: disabled` and `ssa: Ignore` on the live object mean hands off; with `ssa: Merge` what kubectl
    added stays (contract 7.4).
    """
    if is_hands_off(meta):
        return False
    if meta.uid != applied.uid:
        return True
    if ownership(meta, FIELD_MANAGER, applied.ignored) != applied.ownership:
        return True
    return meta.steering(SSA) != "merge" and bool(foreign_entries(meta, FIELD_MANAGER, applied.ignored))


def is_hands_off(meta: ObjectMeta) -> bool:
    """Whether the live object itself says that it is to be left alone (contract 7.4)."""
    return meta.steering(RECONCILE) == "disabled" or meta.steering(SSA) == "ignore"


def explain(before: ObjectMeta | None, repaired: ObjectMeta) -> str:
    """Who changed what, for people: from the drifted state and the one after the repair."""
    if before is None:
        return "was deleted"
    if before.uid != repaired.uid:
        return "was replaced by another object"
    ours = _paths(repaired, lambda manager, operation: manager == FIELD_MANAGER and operation == "Apply")
    left = _paths(before, lambda manager, operation: manager == FIELD_MANAGER and operation == "Apply")
    lost = ours - left
    takers: dict[str, list[str]] = {}
    for entry in before.managed_fields:
        if entry.manager == FIELD_MANAGER and entry.operation == "Apply":
            continue
        added = entry in foreign_entries(before, FIELD_MANAGER)
        found = field_paths(bytes(entry.fields_v1))
        touched = found & lost or (found - ours if added else set())
        if touched:
            takers.setdefault(entry.manager or "unknown", []).extend(touched)
    named = {path for paths in takers.values() for path in paths}
    parts = [f"{_some(paths)} changed by '{manager}'" for manager, paths in sorted(takers.items())]
    if removed := lost - named:
        parts.append(f"{_some(list(removed))} removed")
    return "; ".join(parts) or "changed under our own field manager's name"


def _paths(meta: ObjectMeta, wanted: Callable[[str, str], bool]) -> set[str]:
    found: set[str] = set()
    for entry in meta.managed_fields:
        if wanted(entry.manager, entry.operation) and not entry.subresource:
            found |= field_paths(bytes(entry.fields_v1))
    return found


def _some(paths: list[str]) -> str:
    shown = sorted(set(paths))
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


class Onlooker(Protocol):
    """Who else wants to know what the watches show. Calls must not block."""

    def seen(self, id_: ObjectId) -> None:
        """There is a new state of an object, or it is gone."""

    def listed(self, group: str, kind: str) -> None:
        """A watch began anew: anything may have happened to objects of the kind."""

    def lost(self, group: str, kind: str) -> None:
        """No watch shows objects of the kind until it is listed."""


class Follower:
    """Watches the kinds of our objects. `wake(owner)` is called when there is something to repair."""

    def __init__(
        self,
        client: Client,
        discovery: Discovery,
        memory: Memory,
        *,
        wake: Callable[[Key], None],
        onlooker: "Onlooker | None" = None,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._memory = memory
        self._wake = wake
        self._onlooker = onlooker
        self._running: set[Key] = set()
        self._kinds: dict[tuple[str, str], KindSink] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, group: str, kind: str, version: str) -> None:
        """Watch a kind from now on; nothing more if it is watched already."""
        known = self._kinds.get((group, kind))
        if known is not None:
            known.version = version  # the one to go on with, should the present one cease to be served
            return
        sink = self._kinds[group, kind] = KindSink(self, group, kind, version)
        task = asyncio.create_task(self._run(sink), name=f"watch {kind}.{group}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def synced(self, at_most_s: float) -> list[tuple[str, str]]:
        """Wait for the first list of every kind followed so far; the kinds for which it did not come.

        A kind that the API server does not know (any more) is not waited for.
        """
        sinks = list(self._kinds.items())
        waits = [asyncio.ensure_future(sink.answered.wait()) for _, sink in sinks]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=at_most_s)
            for wait in pending:
                wait.cancel()
        return [kind for kind, sink in sinks if not sink.listed.is_set()]

    async def _run(self, sink: "KindSink") -> None:
        """Follow a kind for ever: nothing that goes wrong may end this, or its drift would never be seen
        again."""
        while True:
            try:
                resource = await self._discovery.find_living(sink.group, sink.version, sink.kind)
                await Reflector(self._client, resource, sink, label_selector=OWNER_NAME).run()
            except (errors.NoMatch, NotServed):
                sink.answered.set()
                self._discovery.forget(sink.group)
            except errors.KubeError as error:
                log.info("watch not begun", kind=sink.kind, because=str(error))
            except Exception:
                log.exception("watch failed", kind=sink.kind)
            self.lost(sink.group, sink.kind)
            await asyncio.sleep(NOT_SERVED_S)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, owner: Key) -> None:
        """A run of `owner` may write objects from now on: verdicts on them wait until `settle`."""
        self._running.add(owner)

    def settle(self, owner: Key, tried: Mapping[ObjectId, Drift]) -> None:
        """The run writes no object any more: judge what was seen meanwhile, and what comes at once.

        Args:
            tried: what was due when the run began. Where that is still so, the run could not help, and
            another one
                at once could not either: a failure has its own retry.
        """
        self._running.discard(owner)
        holding = self._memory.holding(owner)
        seen, holding.unjudged = holding.unjudged, {}
        for id_, meta in seen.items():
            self._judge(owner, holding, id_, meta)
        left = [drift.due_at for id_, drift in holding.drifts.items() if tried.get(id_) is not drift]
        if left:
            self._wake_at(owner, min(left))

    def seen(self, id_: ObjectId, meta: ObjectMeta | None) -> None:
        """The watch shows a state of an object; None: it is gone, or has lost our label."""
        if self._onlooker is not None:
            self._onlooker.seen(id_)
        owner = self._memory.owner_of(id_)
        if owner is None:
            return
        holding = self._memory.holding(owner)
        if owner in self._running:
            holding.unjudged[id_] = meta
            return
        if self._judge(owner, holding, id_, meta):
            self._wake_at(owner, holding.drifts[id_].due_at)

    def _judge(self, owner: Key, holding: Holding, id_: ObjectId, meta: ObjectMeta | None) -> bool:
        if meta is None and id_ in holding.leaving:
            self._memory.drop(owner, id_)
            self._wake(owner)
            return False
        applied = holding.applied.get(id_)
        if applied is None:
            return False
        if meta is None and applied.vanishes:
            holding.drifts.pop(id_, None)  # made again, it would run again
            return False
        if meta is not None:
            if meta.deletion_timestamp is not None or _version(meta) <= applied.seen_version:
                return False
            if is_hands_off(meta):
                holding.hands_off.add(id_)
                holding.drifts.pop(id_, None)
                return False
            # Whoever takes "hands off" back wants what the source has by now.
            if id_ not in holding.hands_off and not judge(meta, applied):
                holding.drifts.pop(id_, None)
                return False
        now = asyncio.get_running_loop().time()
        known = holding.drifts.get(id_)
        due_at = known.due_at if known is not None else now + _delay_s(holding.contests.get(id_), now)
        holding.drifts[id_] = Drift(meta, due_at)
        return True

    def _wake_at(self, owner: Key, due_at: float) -> None:
        loop = asyncio.get_running_loop()
        if due_at <= loop.time():
            self._wake(owner)
        else:
            loop.call_at(due_at, self._wake, owner)

    def lost(self, group: str, kind: str) -> None:
        """What happens to objects of the kind is not seen until it is listed again."""
        if self._onlooker is not None:
            self._onlooker.lost(group, kind)

    def newest(self, group: str, kind: str) -> int:
        """The highest resourceVersion at which an object of the kind was applied; 0 if there is none."""
        remembered = self._memory.owned(group, kind)
        return max((self._memory.seen_version(owner, id_) for id_, owner in remembered), default=0)

    def listed(
        self, group: str, kind: str, alive: Mapping[ObjectId, ObjectMeta], *, version: int, newest: int
    ) -> None:
        """A complete list of a kind, at a resourceVersion: what is remembered and not in it is gone.

        Args:
            newest: as `newest` said before the list was asked for. What was applied meanwhile may be newer
                than the list without any past having changed, and the list says nothing of it.
        """
        if self._onlooker is not None:
            self._onlooker.listed(group, kind)
        remembered = list(self._memory.owned(group, kind))
        # By the time of a restart resourceVersions may have caught up; an object in an older state than the
        # one that we left tells all the same.
        if version < newest or any(self._is_older(alive.get(id_), owner, id_) for id_, owner in remembered):
            # The past has changed: the cluster was restored from a backup (reliability F24). What we
            # remember is of a future that did not happen, so all of it is applied again.
            log.error(
                "the cluster went back in time: everything is applied again", kind=kind, version=version
            )
            for id_, owner in remembered:
                self._memory.doubt(owner, id_)
                self._wake(owner)
            return
        for id_, owner in remembered:
            if self._memory.seen_version(owner, id_) <= version:
                self.seen(id_, alive.get(id_))

    def _is_older(self, meta: ObjectMeta | None, owner: Key, id_: ObjectId) -> bool:
        known = self._memory.holding(owner).applied.get(id_)
        if meta is None or known is None or meta.uid != known.uid:
            return False
        return 0 < _version(meta) < known.seen_version

    def due(self, owner: Key) -> dict[ObjectId, Drift]:
        """What is to be repaired now."""
        now = asyncio.get_running_loop().time()
        return {id_: d for id_, d in self._memory.holding(owner).drifts.items() if d.due_at <= now}

    def repaired(self, owner: Key, id_: ObjectId) -> bool:
        """Count a repair; returns whether the object is contested by now."""
        now = asyncio.get_running_loop().time()
        contests = self._memory.holding(owner).contests
        last = contests.get(id_)
        if last is None or now - last.last_at > CALM_S:
            contests[id_] = Contest(1, now)
            return False
        contests[id_] = Contest(last.repairs + 1, now)
        return last.repairs + 1 >= CONTESTED_FROM


class KindSink:
    """One kind's reflector feeds this."""

    def __init__(self, follower: Follower, group: str, kind: str, version: str) -> None:
        self.version = version
        self._follower = follower
        self.group = group
        self.kind = kind
        self._newest = 0
        self.listed = asyncio.Event()
        self.answered = asyncio.Event()  # listed, or known not to be served

    def _id(self, meta: ObjectMeta) -> ObjectId:
        return ObjectId(self.group, self.kind, meta.namespace, meta.name)

    def listing(self) -> None:
        self._follower.lost(self.group, self.kind)
        self._newest = self._follower.newest(self.group, self.kind)

    def replace(self, items: list[ObjectMeta], version: int) -> None:
        alive = {self._id(meta): meta for meta in items}
        self._follower.listed(self.group, self.kind, alive, version=version, newest=self._newest)
        self.listed.set()
        self.answered.set()

    def changed(self, meta: ObjectMeta) -> None:
        self._follower.seen(self._id(meta), meta)

    def removed(self, meta: ObjectMeta) -> None:
        self._follower.seen(self._id(meta), None)


def _version(meta: ObjectMeta) -> int:
    return int(meta.resource_version) if meta.resource_version.isdigit() else 0


def _delay_s(contest: Contest | None, now: float) -> float:
    if contest is None or now - contest.last_at > CALM_S:
        return 0.0
    return REPAIR_DELAY_S[min(contest.repairs, len(REPAIR_DELAY_S) - 1)]
