"""Sending one object to the API server: apply, dry run, and what stands between them and an answer.

Fields that others may change are sent as they are live (`ignored`), and an object that cannot be changed is
made anew where that is wanted (`recreate`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from kustomize_controller.kustomization.built import BuiltObject
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.ignored import keep_live
from kustomize_controller.kustomization.names import FIELD_MANAGER, FORCE
from kustomize_controller.kustomization.recreate import Recreation, holds_more, may_help, repeats, with_hint
from shared.kube import apply as kube_apply
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta

__all__ = ["Sender"]

KEEP_ATTEMPTS = 5  # at an object that moves between the look at it and the apply
CONFLICT_ATTEMPTS = 2  # at others: what is over at once is no reason to delete

NOT_TAKEN = "force does not delete it, for the API server would not take a new one"
NOT_ENOUGH = (
    "spec.force does not delete it, for more would go with it than can be made anew: "
    f"if that is meant, set {FORCE}: enabled on the object itself"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends objects of one Kustomization.

    Attributes:
        identity: whom to act as, for reads and writes alike.
        force: make objects anew that cannot be changed; an object's own word counts before it.
        is_current: asked before an object is deleted.
    """

    client: Client
    contact: Contact
    identity: Identity | None
    force: bool
    is_current: Callable[[], bool]

    async def dry_run(self, content: BuiltObject, resource: Resource) -> None:
        """See that the API server would take an object, if need be as a new one.

        Raises:
            ApiError: it would not. Unreachable: it did not answer.
        """
        try:
            await self._send(content, resource, dry_run=True)
        except errors.KubeError as error:
            await self._let_recreate(content, resource, error)

    async def apply(
        self, content: BuiltObject, resource: Resource, leaving: Callable[[], None]
    ) -> ObjectMeta:
        """Apply an object; its metadata after it.

        Args:
            leaving: called before an object is deleted to be made anew: what is known of it is not true any
                more. Killed after that, the next run finds it missing, and in the inventory.

        Raises:
            ApiError: it was refused. Unreachable: whether it was applied is not known.
            Superseded: the run is not to go on; an object may be deleted and not made yet.
        """
        try:
            return await self._send(content, resource, dry_run=False)
        except errors.KubeError as error:
            await self._let_recreate(content, resource, error)
        leaving()
        await self._recreation(content, resource).remove()
        return await self._send(content, resource, dry_run=False)

    async def create(self, content: BuiltObject, resource: Resource) -> ObjectMeta | None:
        """Make an object that is not there; None, and nothing is changed, if it is.

        Raises:
            ApiError: it was refused. Unreachable: whether it was made is not known.
        """
        return await kube_apply.create(
            self.client,
            resource,
            content.namespace,
            content.name,
            content.body,
            manager=FIELD_MANAGER,
            identity=self.identity,
        )

    async def _send(self, content: BuiltObject, resource: Resource, *, dry_run: bool) -> ObjectMeta:
        place = (self.client, resource, content.namespace, content.name)
        attempts = KEEP_ATTEMPTS if content.ignored else CONFLICT_ATTEMPTS
        for attempt in range(attempts):
            body = content.body
            if content.ignored:
                body = await keep_live(*place, identity=self.identity, body=body, pointers=content.ignored)
            try:
                return await kube_apply.apply(
                    *place, body, manager=FIELD_MANAGER, identity=self.identity, dry_run=dry_run
                )
            except errors.Conflict:
                if attempt == attempts - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _let_recreate(self, content: BuiltObject, resource: Resource, error: errors.KubeError) -> None:
        """See that an object that was refused with `error` may be deleted and made anew.

        Raises:
            KubeError: `error`, with a hint if that was asked for and is not done.
        """
        if not may_help(error) or (isinstance(error, errors.Conflict) and content.ignored):
            raise error
        is_forced = await self._is_forced(content, resource)
        if not is_forced and not (self.force and not content.says("force", "disabled")):
            raise error
        objection = await self._recreation(content, resource).objection(error)
        if objection is not None:
            told = "" if repeats(objection, error) else f": {objection}"
            raise with_hint(error, NOT_TAKEN + told) from error
        if not is_forced:
            raise with_hint(error, NOT_ENOUGH) from error

    async def _is_forced(self, content: BuiltObject, resource: Resource) -> bool:
        if content.says("force", "enabled") or content.says("force", "disabled"):
            return content.says("force", "enabled")
        if self.force and not holds_more(resource):
            return True
        live = await self.contact.look(resource, content.namespace, content.name, self.identity, fresh=True)
        return live is not None and live.steering(FORCE) == "enabled"

    def _recreation(self, content: BuiltObject, resource: Resource) -> Recreation:
        return Recreation(
            client=self.client,
            resource=resource,
            namespace=content.namespace,
            name=content.name,
            identity=self.identity,
            body=content.body,
            is_current=self.is_current,
        )
