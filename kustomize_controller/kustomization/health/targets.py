"""Which objects a Kustomization waits for, and who says when they are ready. Pure.

Source: behaviour-kustomize.md 10. With `spec.wait` all objects that were applied, and `spec.healthChecks` is
not looked at; a Kustomization never waits for itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kustomize_controller.kustomization.decide import Desired
from shared.api.kustomization import HealthCheckExpr, Kustomization, KustomizationSpec
from shared.api.objects import ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One object to wait for.

    Attributes:
        expressions: what ready means for its kind, if the user says so.
        is_known: we applied it and watch it, so it is there.
        may_vanish: a Job that Kubernetes deletes some time after it is done: gone is good.
    """

    id: ObjectId
    version: str
    expressions: HealthCheckExpr | None = None
    is_known: bool = False
    may_vanish: bool = False


def waits(spec: KustomizationSpec) -> bool:
    """Whether there may be anything to wait for."""
    return spec.wait or bool(spec.health_checks)


def targets(
    obj: Kustomization,
    desired: Iterable[Desired],
    *,
    applied: Collection[ObjectId],
    vanishing: Collection[ObjectId] = (),
) -> tuple[Target, ...]:
    """What `obj` waits for, in the order of apply or of `spec.healthChecks`.

    Args:
        desired: the objects of the build, in the order of apply.
        applied: those of them that we applied and did not pass by.
        vanishing: Jobs that go by themselves once they are done.
    """
    own = ObjectId("kustomize.toolkit.fluxcd.io", obj.kind, obj.metadata.namespace, obj.metadata.name)
    asked: Iterable[tuple[ObjectId, str]]
    if obj.spec.wait:
        asked = ((one.id, one.version) for one in desired if one.id in applied)
    else:
        asked = (
            _checked(one.api_version, one.kind, one.namespace, one.name) for one in obj.spec.health_checks
        )
    said = by_kind(obj.spec.health_check_exprs)
    return tuple(
        Target(
            id=id_,
            version=version,
            expressions=said.get((id_.group, id_.kind)),
            is_known=id_ in applied,
            may_vanish=id_ in vanishing,
        )
        for id_, version in dict(asked).items()
        if id_ != own
    )


def by_kind(exprs: Iterable[HealthCheckExpr]) -> dict[tuple[str, str], HealthCheckExpr]:
    """Expressions by (group, kind): the version does not matter."""
    return {(_group_version(one.api_version)[0], one.kind): one for one in exprs}


def _checked(api_version: str, kind: str, namespace: str, name: str) -> tuple[ObjectId, str]:
    group, version = _group_version(api_version or "apps/v1")
    return ObjectId(group, kind, namespace, name), version


def _group_version(api_version: str) -> tuple[str, str]:
    group, _, version = api_version.rpartition("/")
    return group, version
