"""Deleting objects that left the source, and those of a Kustomization that is deleted.

An object is deleted only if it is in our inventory, carries both owner labels of this very Kustomization,
does not say `prune: disabled`, and still has the UID that was looked at. It leaves the inventory when it is
gone, not when its deletion was asked for: a finalizer may hold it. A kind that the API server does not know
(any more) is no proof of anything.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from kustomize_controller.kustomization.apply import Change
from kustomize_controller.kustomization.decide import Entry
from kustomize_controller.kustomization.names import OWNER_NAME, OWNER_NAMESPACE, PRUNE, RECONCILE, SSA
from kustomize_controller.kustomization.remember import Memory
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube import apply as kube_apply
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Discovery, Resource
from shared.kube.ownership import ObjectMeta
from shared.runtime.outcome import Superseded

ATTEMPTS = 5  # at an object that changes while it is to be deleted: a status may be written all the time


@dataclass(slots=True)
class Pruned:
    """What a prune did.

    Attributes:
        gone: ids that leave the inventory: deleted, absent, or let go.
        leaving: ids whose deletion is under way, or that wait for their new owner.
    """

    changes: list[Change] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    gone: set[ObjectId] = field(default_factory=set)
    leaving: set[ObjectId] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Deletes objects of one Kustomization, one after the other, as the identity that applied them."""

    client: Client
    discovery: Discovery
    memory: Memory
    owner: Key
    identity: Identity | None
    spared: Collection[ObjectId] = ()  # another Kustomization is about to take these: they are not deleted
    may_go_on: Callable[[], bool]  # asked before each delete: we still lead, and the plan is not outdated

    async def run(self, entries: Iterable[Entry]) -> Pruned:
        """Delete `entries` in their order; a failure does not stop the others.

        Raises:
            Superseded: what follows was not touched.
            Unreachable, ServerError, Unauthorized: the API server is not there.
        """
        result = Pruned()
        together = tuple(entries)
        for entry in together:
            if not self.may_go_on():
                raise Superseded
            try:
                await self._prune(entry, result, together)
            except errors.KubeError as error:
                if isinstance(error, errors.ABSENT):
                    raise
                result.failures.append(f"{entry.id.subject} delete failed: {error};")
        return result

    async def _prune(self, entry: Entry, result: Pruned, together: tuple[Entry, ...]) -> None:
        id_ = entry.id
        try:
            resource = await self._resource(entry)
        except errors.NoMatch:
            if not await self._went_with_its_definition(id_, together):
                raise
            self._let_go(id_, result)
            return
        for attempt in range(ATTEMPTS):
            live = await self._look(resource, id_)
            if not self._may_delete(live, id_, result):
                return
            assert live is not None  # noqa: S101  # _may_delete says so
            try:
                await self._delete(resource, id_, live, result)
                return
            except (
                errors.Conflict
            ):  # it changed since we looked: whose it is, and whether it may go, is asked anew
                if attempt == ATTEMPTS - 1:
                    raise

    def _may_delete(self, live: ObjectMeta | None, id_: ObjectId, result: Pruned) -> bool:
        """Whether the object as it is now is ours to delete; else what becomes of it is noted in `result`."""
        if live is None:
            self._let_go(id_, result)
            return False
        if not self._is_ours(live) or _keeps_itself(live):
            result.changes.append(Change(id_.subject, "skipped"))
            self._let_go(id_, result)
            return False
        if id_ in self.spared:
            result.leaving.add(id_)
            return False
        if live.deletion_timestamp is not None:
            self._expect_end(id_, result)
            return False
        return True

    async def _delete(self, resource: Resource, id_: ObjectId, live: ObjectMeta, result: Pruned) -> None:
        await kube_apply.delete(
            self.client,
            resource,
            id_.namespace,
            id_.name,
            uid=live.uid,
            resource_version=live.resource_version,
            identity=self.identity,
        )
        result.changes.append(Change(id_.subject, "deleted"))
        after = await self._look(resource, id_)
        if after is None or after.deletion_timestamp is None:
            self._let_go(id_, result)
        else:
            self._expect_end(id_, result)

    def _expect_end(self, id_: ObjectId, result: Pruned) -> None:
        result.leaving.add(id_)
        self.memory.expect_end(self.owner, id_)

    async def _look(self, resource: Resource, id_: ObjectId) -> ObjectMeta | None:
        try:
            return await self._get(resource, id_)
        except errors.ApiError as error:
            if error.status != 404:
                raise
            # The kind is not served (any more) in this version: what we knew of the group is out of date.
            self.discovery.forget(id_.group)
            living = await self.discovery.find_preferred(id_.group, id_.kind)
            return await self._get(living, id_)

    async def _resource(self, entry: Entry) -> Resource:
        return await self.discovery.find_living(entry.id.group, entry.version, entry.id.kind)

    async def _went_with_its_definition(self, id_: ObjectId, together: tuple[Entry, ...]) -> bool:
        """Whether the CustomResourceDefinitions of the object's group that are deleted with it are all gone.

        That its kind is unknown is no proof. But the API server lets a definition go only after all of its
        objects, and a kill may come between that and the write that was to tell of it.
        """
        definitions = [
            one
            for one in together
            if one.id.kind == "CustomResourceDefinition" and one.id.name.partition(".")[2] == id_.group
        ]
        for one in definitions:
            if await self._look(await self._resource(one), one.id) is not None:
                return False
        return bool(definitions)

    async def _get(self, resource: Resource, id_: ObjectId) -> ObjectMeta | None:
        return await kube_apply.get_metadata(
            self.client, resource, id_.namespace, id_.name, identity=self.identity
        )

    def _let_go(self, id_: ObjectId, result: Pruned) -> None:
        result.gone.add(id_)
        self.memory.drop(self.owner, id_)

    def _is_ours(self, live: ObjectMeta) -> bool:
        return (
            live.labels.get(OWNER_NAME) == self.owner.name
            and live.labels.get(OWNER_NAMESPACE) == self.owner.namespace
        )


def _keeps_itself(live: ObjectMeta) -> bool:
    return (
        live.steering(PRUNE) == "disabled"
        or live.steering(RECONCILE) == "disabled"
        or live.steering(SSA) == "ignore"
    )
