"""Carrying out the apply part of a plan: stage after stage, one request per object that changed.

Each object is applied on its own and may be applied again: a kill between two leaves nothing that the next
run does not set right. What an apply leaves behind is remembered at once, so that the watch knows it for
ours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from kustomize_controller.kustomization.build import BuiltObject
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.decide import Desired, Plan
from kustomize_controller.kustomization.drift import Follower, explain, is_hands_off
from kustomize_controller.kustomization.established import await_ready, waited_for
from kustomize_controller.kustomization.ignored import field_paths
from kustomize_controller.kustomization.names import FIELD_MANAGER, SSA
from kustomize_controller.kustomization.remember import Applied, Drift, Memory
from kustomize_controller.kustomization.send import Sender
from kustomize_controller.kustomization.stages import GroupKind, Stage, stage_of
from kustomize_controller.kustomization.take_over import take_over
from kustomize_controller.kustomization.vanish import vanishes
from shared.api.instant import instant
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Discovery, Resource, UnsafeName
from shared.kube.ownership import FieldPath, ObjectMeta, foreign_entries, ownership
from shared.runtime.outcome import Superseded


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change log. `note` says what a repair undid."""

    subject: str
    action: str  # created, configured, deleted, skipped
    note: str = ""

    def __str__(self) -> str:
        return f"{self.subject} {self.action}" + (f" ({self.note})" if self.note else "")


@dataclass(slots=True)
class Result:
    """What an apply did. `failures` are whole sentences, one per object that was refused; `missing` are kinds
    (group, version, kind) that are not served; `unwatched` are objects of strangers that were passed by, and
    whose end no watch will tell."""

    changes: list[Change] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refused: set[ObjectId] = field(default_factory=set)
    missing: set[tuple[str, str, str]] = field(default_factory=set)
    unwatched: set[ObjectId] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Applies the objects of one Kustomization.

    Attributes:
        identity: whom to act as, for reads and writes alike.
        drifts: what is being repaired, for the change log.
        recorded: the inventory as it was when the run began: the only objects that a run without a memory
            expects to find.
        is_current: asked before each stage.
        impossible: why objects are refused without a request.
    """

    client: Client
    discovery: Discovery
    contact: Contact
    memory: Memory
    follower: Follower
    owner: Key
    identity: Identity | None
    bodies: Mapping[ObjectId, BuiltObject]
    drifts: Mapping[ObjectId, Drift]
    recorded: Collection[ObjectId]
    custom_kinds: Collection[GroupKind]
    concurrent: int
    is_current: Callable[[], bool]
    sender: Sender
    impossible: dict[ObjectId, errors.KubeError] = field(default_factory=dict)

    async def find_impossible(self, new: Iterable[Desired]) -> frozenset[ObjectId]:
        """Those of `new` that cannot come to be now; `run` refuses them, so they need not be in an inventory.

        Their kind is unknown and no definition of this build brings it, or the API server refused them
        last time and still does.

        Raises:
            Unreachable, ServerError, Unauthorized, TooManyRequests: the API server is not there.
        """
        brought = {
            id_.name.partition(".")[2] for id_ in self.bodies if id_.kind == "CustomResourceDefinition"
        }
        for one in new:
            try:
                resource = await self._resource(one)
                if one.id in self.memory.holding(self.owner).refused:
                    await self.sender.dry_run(self.bodies[one.id], resource)
            except errors.KubeError as error:
                if isinstance(error, errors.ABSENT):
                    raise
                if one.id.group not in brought:
                    self.impossible[one.id] = error
        return frozenset(self.impossible)

    async def run(self, plan: Plan) -> Result:
        """Apply all stages of `plan`; stops after the first stage in which an object was refused.

        Raises:
            Superseded: nothing of the stages that follow was applied. Unreachable, ServerError,
            Unauthorized: the API server is not there; what was applied is remembered.
        """
        result = Result()
        for members in plan.stages:
            if not self.is_current():
                raise Superseded
            stage = stage_of(members[0].id, self.custom_kinds)
            if stage in plan.dry_run and not await self._dry_run(members, result):
                break
            await self._each(members, lambda one: self._apply(one, result))
            if result.failures:
                break
            await self._await_ready(stage, members, result)
            if result.failures:
                break
        # Objects of a stage are applied at once; people read the change log in the order of apply.
        place = {one.id.subject: at for at, one in enumerate(one for stage in plan.stages for one in stage)}
        result.changes.sort(key=lambda change: place[change.subject])
        return result

    async def _await_ready(self, stage: Stage, members: tuple[Desired, ...], result: Result) -> None:
        needed = waited_for(stage, members)
        if needed:
            why = await await_ready(needed, self.client, self.discovery, self.identity, self.is_current)
            result.failures += [why] if why else []

    async def _each(self, members: tuple[Desired, ...], do: Callable[[Desired], Awaitable[None]]) -> None:
        slots = asyncio.Semaphore(self.concurrent)

        async def one(member: Desired) -> None:
            async with slots:
                await do(member)

        tasks = [asyncio.ensure_future(one(member)) for member in members]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    # --- one object ---

    async def _dry_run(self, members: tuple[Desired, ...], result: Result) -> bool:
        """Whether the API server would take all of `members`."""

        async def check(one: Desired) -> None:
            if self._may_be_left_alone(one):
                return
            try:
                await self.sender.dry_run(self.bodies[one.id], await self._resource(one))
            except errors.KubeError as error:
                self._refuse(one, error, result, asked_only=True)

        await self._each(members, check)
        return not result.failures

    async def _apply(self, one: Desired, result: Result) -> None:
        if not self.is_current():
            raise Superseded
        try:
            resource = await self._resource(one)
            known = self.memory.holding(self.owner).applied.get(one.id)
            drift = self.drifts.get(one.id)
            before = drift.live if drift is not None else None
            is_unseen = known is None or (drift is not None and drift.live is None)
            taken, after = False, None
            if is_unseen and self._is_absent(one, known):
                after = await self._create(one, resource)
            if after is None:
                if is_unseen or self._may_be_left_alone(one):  # what is there decides what is written
                    before = await self._look(one, resource, known)
                    if before is not None and self._leave_alone(one, before):
                        self._pass_by(one, result)
                        return
                taken = before is not None and await self._take_over(one, resource, before)
                after = await self._send(one, resource)
            if self._is_foreign(one, after) and await self._take_over(one, resource, after):
                taken, after = True, await self._send(one, resource)
        except errors.KubeError as error:
            self._refuse(one, error, result, asked_only=False)
            return
        self._remember(one, after)
        action = _action(one, before, after, known, taken)
        if action is None:
            return
        note = ""
        if drift is not None:
            note = explain(drift.live or before, after)
            if self.follower.repaired(self.owner, one.id):
                note += "; contested: repairs are delayed until it stops"
        result.changes.append(Change(one.id.subject, action, note))

    async def _resource(self, one: Desired) -> Resource:
        if (error := self.impossible.get(one.id)) is not None:
            raise error
        resource = await self.discovery.find(one.id.group, one.version, one.id.kind)
        try:
            resource.path(one.id.namespace, one.id.name)
        except UnsafeName as error:
            raise errors.Invalid(422, "", str(error)) from error
        if resource.namespaced and not one.id.namespace:
            raise _NoNamespace
        return resource

    def _is_absent(self, one: Desired, known: Applied | None) -> bool:
        """Whether an unseen object is probably not there, so that one request makes it without a look.

        One of the inventory that is not remembered probably is there: this process has just started.
        """
        return known is not None or one.id not in self.recorded

    async def _look(self, one: Desired, resource: Resource, known: Applied | None) -> ObjectMeta | None:
        # A list of two seconds ago is no answer where something was found or lost just now, or where what is
        # there decides whether we write at all.
        fresh = known is not None or one.id not in self.recorded
        fresh = fresh or self.bodies[one.id].says("ssa", "IfNotPresent")
        return await self.contact.look(resource, one.id.namespace, one.id.name, self.identity, fresh=fresh)

    async def _create(self, one: Desired, resource: Resource) -> ObjectMeta | None:
        """Make the object; None if there is one. Raises as `_send` does."""
        with self._forgotten_if_unknown(one):
            return await self.sender.create(self.bodies[one.id], resource)

    async def _send(self, one: Desired, resource: Resource) -> ObjectMeta:
        """Apply the object, whether it is there or not."""
        with self._forgotten_if_unknown(one):
            return await self.sender.apply(
                self.bodies[one.id], resource, leaving=lambda: self.memory.drop(self.owner, one.id)
            )

    @contextmanager
    def _forgotten_if_unknown(self, one: Desired) -> Iterator[None]:
        """Where the outcome of a write is not known, what is remembered of the object is not true any
        more."""
        try:
            yield
        except (errors.Unreachable, errors.ServerError, asyncio.CancelledError):
            self.memory.drop(self.owner, one.id)
            raise

    def _is_foreign(self, one: Desired, after: ObjectMeta) -> bool:
        """Whether an object that was applied without a look still has fields that kubectl wrote."""
        return not is_hands_off(after) and bool(
            foreign_entries(after, FIELD_MANAGER, self._ignored(one, after))
        )

    def _ignored(self, one: Desired, after: ObjectMeta) -> tuple[FieldPath, ...]:
        """The fields of an object that others may change."""
        content = self.bodies[one.id]
        return field_paths(content.body, content.ignored, after.managed_fields) if content.ignored else ()

    def _may_be_left_alone(self, one: Desired) -> bool:
        """Whether an object that we know may still say that it is not to be written."""
        holding = self.memory.holding(self.owner)
        return one.id in holding.hands_off or self.bodies[one.id].says("ssa", "IfNotPresent")

    def _pass_by(self, one: Desired, result: Result) -> None:
        holding = self.memory.holding(self.owner)
        holding.drifts.pop(one.id, None)
        result.changes.append(Change(one.id.subject, "skipped"))
        if one.id not in holding.applied:
            result.unwatched.add(one.id)

    def _leave_alone(self, one: Desired, live: ObjectMeta) -> bool:
        """Skip rules that need the live object (contract 7.4)."""
        return is_hands_off(live) or self.bodies[one.id].says("ssa", "IfNotPresent")

    async def _take_over(self, one: Desired, resource: Resource, before: ObjectMeta) -> bool:
        if self.bodies[one.id].says("ssa", "Merge") or before.steering(SSA) == "merge":
            return False
        return await take_over(self.client, resource, before, self.identity, instant())

    def _remember(self, one: Desired, after: ObjectMeta) -> None:
        ignored = self._ignored(one, after)
        ours = ownership(after, FIELD_MANAGER, ignored)
        if ours is None:  # an object without any field but its name
            return
        version = int(after.resource_version) if after.resource_version.isdigit() else 0
        applied = Applied(
            one.version, one.digest, after.uid, ours, version, ignored, vanishes(self.bodies[one.id])
        )
        self.memory.remember(self.owner, one.id, applied)
        self.follower.follow(one.id.group, one.id.kind, one.version)

    def _refuse(self, one: Desired, error: errors.KubeError, result: Result, *, asked_only: bool) -> None:
        if isinstance(error, errors.ABSENT):
            raise error  # not about this object
        if isinstance(error, errors.ApiError) and error.status == 404:
            self.discovery.forget(one.id.group)  # the version may not be served any more: the retry asks
        if isinstance(error, errors.NoMatch):
            result.missing.add((one.id.group, one.version, one.id.kind))
        content = self.bodies[one.id]
        where = f" [from {content.origin}]" if content.origin else ""
        told = content.without_secrets(f"{_refusal(error, asked_only=asked_only)}: {error}")
        result.failures.append(f"{one.id.subject} {told}{where}")
        if asked_only or not isinstance(error, errors.InternalError):
            result.refused.add(one.id)  # else it may have been made all the same: it stays recorded
        self.memory.drop(self.owner, one.id)
        self.memory.holding(self.owner).refused.add(one.id)


def _refusal(error: errors.KubeError, *, asked_only: bool) -> str:
    """What happened, in the contract's words (7.4): there a dry run comes before each apply, so whatever a
    dry run would have found is told as its finding. Where we ask by the apply itself, nothing was changed
    either."""
    if isinstance(error, _NoNamespace):
        return "namespace not specified"
    if isinstance(error, errors.ApiError) and error.status == 404:
        return "not found"
    is_late = isinstance(error, errors.Conflict | errors.InternalError) and not asked_only
    reason = f" ({error.reason})" if isinstance(error, errors.ApiError) and error.reason else ""
    return f"{'apply' if is_late else 'dry-run'} failed{reason}"


class _NoNamespace(errors.Invalid):
    """An object of a namespaced kind that names no namespace."""

    def __init__(self) -> None:
        super().__init__(422, "", "set metadata.namespace in the source, or spec.targetNamespace")


def _action(
    one: Desired, before: ObjectMeta | None, after: ObjectMeta, known: Applied | None, taken: bool
) -> str | None:
    """`created`, `configured`, or None when the API server had it so already."""
    if before is None and known is None:
        return "created"
    if before is not None:
        if before.uid != after.uid:
            return "created"
        return "configured" if taken or before.resource_version != after.resource_version else None
    if known is None:
        return "configured"
    if known.uid != after.uid:
        return "created"
    # A time in managedFields has whole seconds: two applies within one second leave the same entry.
    is_other = one.digest != known.digest and after.resource_version != str(known.seen_version)
    is_other = is_other or ownership(after, FIELD_MANAGER, known.ignored) != known.ownership
    return "configured" if is_other else None
