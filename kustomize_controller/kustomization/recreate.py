"""Making an object anew that cannot be changed (`spec.force`, or `force: enabled` on the object).

An immutable field is told by an Invalid or Conflict, and so is a plain mistake in the manifest. Flux deletes
the object in either case, and has none in the end if it was a mistake. So before a delete the API server is
asked, by a dry run under another name, whether it would take the object as a new one; what it finds wrong
with that as well is no matter of immutability, and the object stays.

Source: behaviour-kustomize.md 7.4.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from kustomize_controller.kustomization.drift import is_hands_off
from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube import apply as kube_apply
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta
from shared.runtime.outcome import Superseded

__all__ = ["Recreation", "may_help"]

ATTEMPTS = 5  # at an object that changes while it is to be deleted
GONE_S = 60.0
POLL_S = (0.05, 0.1, 0.2, 0.5, 1.0)

_TEXTS = ("is immutable", "immutable field")
_PROBE = "-headrace-dry-run"
_LONGEST_NAME = 253

# Kinds whose names follow from their content, so that another name proves nothing.
_NAMED_BY_CONTENT = frozenset(
    {("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService")}
)


def may_help(error: errors.KubeError) -> bool:
    """Whether an object that was refused so may be accepted as a new one."""
    if not isinstance(error, errors.ApiError):
        return False
    is_invalid = isinstance(error, errors.Invalid) and error.reason == "Invalid"
    return is_invalid or isinstance(error, errors.Conflict) or any(text in str(error) for text in _TEXTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recreation:
    """One object that is to be made anew, as the tenant.

    Attributes:
        body: what the new one is made of.
        is_current: asked before the delete and while it is waited for.
    """

    client: Client
    resource: Resource
    namespace: str
    name: str
    identity: Identity | None
    body: bytes
    is_current: Callable[[], bool]

    async def would_be_accepted(self, refusal: errors.KubeError) -> bool:
        """Whether `refusal` is about changing the object, as far as a dry run under another name can tell."""
        if (self.resource.group, self.resource.kind) in _NAMED_BY_CONTENT:
            return True
        probe: dict[str, Any] = msgspec.json.decode(self.body)
        name = self.name[: _LONGEST_NAME - len(_PROBE)] + _PROBE
        probe["metadata"]["name"] = name
        try:
            await kube_apply.apply(
                self.client,
                self.resource,
                self.namespace,
                name,
                msgspec.json.encode(probe),
                manager=FIELD_MANAGER,
                identity=self.identity,
                dry_run=True,
            )
        except errors.Invalid as error:
            # The long name may itself be refused, an address be in use: only what was wrong before counts.
            return not (_complaints(error) & _complaints(refusal))
        except errors.ApiError as error:
            if isinstance(error, errors.ABSENT):
                raise
        return True

    async def remove(self) -> None:
        """Delete the object and wait until it is gone. Asked again for one that is on its way, it waits.

        Raises:
            Superseded: the run is not to go on.
            Conflict: it is held by finalizers, or changes all the time.
            ApiError, Unreachable: it cannot be looked at, or deleted.
        """
        for _ in range(ATTEMPTS):
            live = await self._look()
            if live is None or is_hands_off(live):
                return None
            if not self.is_current():
                raise Superseded
            try:
                if live.deletion_timestamp is None:
                    await kube_apply.delete(
                        self.client,
                        self.resource,
                        self.namespace,
                        self.name,
                        uid=live.uid,
                        resource_version=live.resource_version,
                        identity=self.identity,
                    )
                return await self._await_end(live.uid)
            except errors.Conflict as error:
                if isinstance(error, _Held):
                    raise
        raise errors.Conflict(409, "", "changes all the time, so it could not be deleted to be made anew")

    async def _await_end(self, uid: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_S
        for attempt in range(1_000_000):
            live = await self._look()
            if live is None or live.uid != uid:
                return
            if not self.is_current():
                raise Superseded
            if loop.time() > deadline:
                raise _Held(
                    409, "", "was deleted to be made anew, and is held by its finalizers; remove them"
                )
            await asyncio.sleep(POLL_S[min(attempt, len(POLL_S) - 1)])

    async def _look(self) -> ObjectMeta | None:
        return await kube_apply.get_metadata(
            self.client, self.resource, self.namespace, self.name, identity=self.identity
        )


class _Held(errors.Conflict):
    """Its deletion does not end."""


def _complaints(error: errors.KubeError) -> set[str]:
    """The single findings of an Invalid: what stands after `… is invalid: `, in brackets if there are
    many."""
    _, _, found = str(error).partition(" is invalid: ")
    return {part for part in found.removeprefix("[").removesuffix("]").split(", ") if ":" in part}
