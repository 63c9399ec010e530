"""In which order objects are applied. Pure.

Source: behaviour-kustomize.md 7.3. Stages are applied one after the other: what others build upon comes
first and is waited for. Within a stage objects of a kind stand together, in the order of `KIND_ORDER`.
"""

from collections.abc import Collection, Iterable
from enum import IntEnum
from typing import Protocol, TypeVar

from shared.api.objects import ObjectId

GroupKind = tuple[str, str]  # the core group is ""


class Stage(IntEnum):
    """`DEFINITIONS` and `CLASSES` are waited for before the next stage begins."""

    DEFINITIONS = 1
    CLASSES = 2
    CUSTOM = 3
    REST = 4


_DEFINITIONS = frozenset(
    {
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "Namespace"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
    }
)

KIND_ORDER = (
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}
_OTHERS = len(KIND_ORDER)
_RANK |= {kind: _OTHERS + 1 + rank for rank, kind in enumerate(_LAST)}


class HasId(Protocol):
    @property
    def id(self) -> ObjectId: ...


T = TypeVar("T", bound=HasId)


def group_kind(text: str) -> GroupKind:
    """One entry of --custom-apply-stage-kinds: `group/Kind`, or `Kind` alone in the core group, as in Flux.

    Raises:
        ValueError: it is neither; the message says how to write it.
    """
    group, slash, kind = text.rpartition("/")
    if not kind or "/" in group or (slash and not group):
        raise ValueError(
            f"'{text}' is no kind; write group/Kind, such as apps/Deployment, or Kind alone in the core group"
        )
    return group, kind


def stage_of(id: ObjectId, custom_kinds: Collection[GroupKind] = ()) -> Stage:  # noqa: A002  # the field's name
    """The stage of an object. `custom_kinds` is the flag --custom-apply-stage-kinds."""
    if (id.group, id.kind) in _DEFINITIONS:
        return Stage.DEFINITIONS
    if id.kind.endswith("Class"):
        return Stage.CLASSES
    if (id.group, id.kind) in custom_kinds:
        return Stage.CUSTOM
    return Stage.REST


def apply_order(objects: Iterable[T], custom_kinds: Collection[GroupKind] = ()) -> tuple[T, ...]:
    """All objects in the order in which they are applied, stage by stage."""

    def place(one: T) -> tuple[int, int, str, str, str, str]:
        found = one.id
        rank = _RANK.get(found.kind, _OTHERS)
        group, kind = (found.group, found.kind) if rank == _OTHERS else ("", "")
        return (stage_of(found, custom_kinds), rank, group, kind, found.namespace, found.name)

    return tuple(sorted(objects, key=place))
