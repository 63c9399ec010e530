"""Making an object anew that cannot be changed (`spec.force`, or `force: enabled` on the object).

An immutable field is told by an Invalid or Conflict, and so is a plain mistake in the manifest. Flux deletes
the object in either case, and has none in the end if it was a mistake. So before a delete the API server is
asked, by a dry run under another name, whether it would take the object as a new one. Unless it says yes, or
its objections come of that name or of the old object's being there, the old object stays.

Source: behaviour-kustomize.md 7.4.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

from kustomize_controller.kustomization.drift import is_hands_off
from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube import apply as kube_apply
from shared.kube import errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta
from shared.runtime.outcome import Superseded

__all__ = ["Recreation", "holds_more", "is_excused", "may_help", "repeats", "with_hint"]

ATTEMPTS = 5  # at an object that changes while it is to be deleted
GONE_S = 60.0
POLL_S = (0.05, 0.1, 0.2, 0.5, 1.0)

_TEXTS = ("is immutable", "immutable field")
_SUFFIX = "-headrace-dry-run"
_PREFIX = "headrace-dry-run."
_LONGEST_NAME = 253
_QUOTA = "exceeded quota"  # the last plugin that an API server asks: nobody else objects

# Kinds whose names are `<something>.<spec.group>`, so that another name needs another group.
_NAMED_BY_GROUP = frozenset(
    {("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService")}
)
_HOLD_MORE = _NAMED_BY_GROUP | {("", "Namespace"), ("", "PersistentVolumeClaim"), ("", "PersistentVolume")}


def may_help(error: errors.KubeError) -> TypeGuard[errors.ApiError]:
    """Whether an object that was refused so may be accepted as a new one."""
    if not isinstance(error, errors.ApiError):
        return False
    is_invalid = isinstance(error, errors.Invalid) and error.reason == "Invalid"
    return is_invalid or isinstance(error, errors.Conflict) or any(text in str(error) for text in _TEXTS)


def holds_more(resource: Resource) -> bool:
    """Whether more goes with an object of the kind than can be made anew: custom resources, data."""
    return (resource.group, resource.kind) in _HOLD_MORE


def with_hint(error: errors.ApiError, hint: str) -> errors.ApiError:
    """The same refusal, and why force does not help."""
    return type(error)(error.status, error.reason, f"{error.message}; {hint}", error.retry_after_s)


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

    async def objection(self, refusal: errors.ApiError) -> errors.ApiError | None:
        """What the API server has against a new object, by a dry run under another name; None: nothing.

        Args:
            refusal: of the change of the object.

        Raises:
            Unreachable, ServerError, Unauthorized, TooManyRequests: it says nothing of the object.
        """
        name, probe = _probe(self.name, self.body, (self.resource.group, self.resource.kind))
        try:
            await kube_apply.apply(
                self.client,
                self.resource,
                self.namespace,
                name,
                probe,
                manager=FIELD_MANAGER,
                identity=self.identity,
                dry_run=True,
            )
        except errors.ApiError as error:
            if isinstance(error, errors.ABSENT):
                raise
            return None if is_excused(error, refusal) else error
        return None

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


def is_excused(objection: errors.ApiError, refusal: errors.ApiError) -> bool:
    """Whether what was said against the dry run would not be said against a new object.

    The long name may itself be refused, an address be in use; the old object counts in a quota. Whatever
    cannot be told from a real objection (another policy, a webhook that is down, no right) is one.
    """
    if isinstance(objection, errors.Forbidden):
        return _QUOTA in str(objection)
    if not isinstance(objection, errors.Invalid):
        return False
    is_told = bool(_complaints(objection) and _complaints(refusal))
    return is_told and not repeats(objection, refusal)


def repeats(objection: errors.ApiError, refusal: errors.ApiError) -> bool:
    """Whether both find fault with the same."""
    return bool(_complaints(objection) & _complaints(refusal))


def _probe(name: str, body: bytes, kind: tuple[str, str]) -> tuple[str, bytes]:
    """Name and content of an object like this one that is not there."""
    probe: dict[str, Any] = msgspec.json.decode(body)
    spec = probe.get("spec")
    if kind in _NAMED_BY_GROUP and isinstance(spec, dict):
        first, _, rest = name.partition(".")
        renamed = f"{first}.{_PREFIX}{rest}"
        spec["group"] = f"{_PREFIX}{spec.get('group', '')}"
    else:
        renamed = name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
    probe["metadata"]["name"] = renamed
    return renamed, msgspec.json.encode(probe)


def _complaints(error: errors.KubeError) -> set[str]:
    """The single findings of an Invalid: what stands after `… is invalid: `, in brackets if there are many.

    As they would be of the object itself, under its own name. Empty where they cannot be read.
    """
    _, _, found = str(error).replace(_SUFFIX, "").replace(_PREFIX, "").partition(" is invalid: ")
    return {part for part in found.removeprefix("[").removesuffix("]").split(", ") if ":" in part}
