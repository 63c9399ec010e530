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
from kustomize_controller.kustomization.recreate import Recreation, may_help
from shared.kube import apply as kube_apply
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta

__all__ = ["Sender"]

KEEP_ATTEMPTS = 5  # at an object that moves between the look at it and the apply


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
            if not await self._is_to_be_recreated(content, resource, error):
                raise

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
            if not await self._is_to_be_recreated(content, resource, error):
                raise
        leaving()
        await self._recreation(content, resource).remove()
        return await self._send(content, resource, dry_run=False)

    async def _send(self, content: BuiltObject, resource: Resource, *, dry_run: bool) -> ObjectMeta:
        place = (self.client, resource, content.namespace, content.name)
        for attempt in range(KEEP_ATTEMPTS):
            body = content.body
            if content.ignored:
                body = await keep_live(*place, identity=self.identity, body=body, pointers=content.ignored)
            try:
                return await kube_apply.apply(
                    *place, body, manager=FIELD_MANAGER, identity=self.identity, dry_run=dry_run
                )
            except errors.Conflict:
                if not content.ignored or attempt == KEEP_ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _is_to_be_recreated(
        self, content: BuiltObject, resource: Resource, error: errors.KubeError
    ) -> bool:
        """Whether an object that was refused with `error` is to be deleted and made anew."""
        if not may_help(error) or (isinstance(error, errors.Conflict) and content.ignored):
            return False
        if not await self._is_forced(content, resource):
            return False
        return await self._recreation(content, resource).would_be_accepted(error)

    async def _is_forced(self, content: BuiltObject, resource: Resource) -> bool:
        if content.says("force", "enabled") or content.says("force", "disabled"):
            return content.says("force", "enabled")
        if self.force:
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
