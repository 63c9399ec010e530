"""What `spec.dependsOn[].readyExpr` comes to: whether a dependency is ready, in the user's own words.

Source: behaviour-kustomize.md 3. An expression sees both objects whole. Of a dependency in another namespace
it sees metadata and status only: to read its spec needs rights that whoever wrote the expression may not
have (reliability A35).
"""

from collections.abc import Mapping
from typing import Any

from kustomize_controller.kustomization.health.expressions import (
    OF_DEPENDENCY,
    InvalidExpression,
    NotEvaluated,
)
from kustomize_controller.kustomization.world import World
from shared.api.kustomization import Kustomization
from shared.runtime.cache import RawObject
from shared.runtime.outcome import ReconcileError, Retryable, Stalled

# The annotation holds the whole object, as kubectl last applied it.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def readiness(world: World, obj: Kustomization) -> dict[int, str | ReconcileError]:
    """Why a dependency is not ready, or "" if it is, by the place in `spec.dependsOn` of each that has an
    expression.

    Instead of a reason stands a `Stalled` where the expression cannot be read, and a `Retryable` where there
    is nobody to ask. They end the list, for what comes before in `spec.dependsOn` is told first.
    """
    found: dict[int, str | ReconcileError] = {}
    for index, dependency in enumerate(obj.spec.depends_on):
        if not dependency.ready_expr:
            continue
        field = f"spec.dependsOn[{index}].readyExpr"
        try:
            await world.expressions.check(obj.metadata.namespace, dependency.ready_expr, OF_DEPENDENCY)
        except InvalidExpression as error:
            why = f"terminal error: failed to evaluate dependency {dependency.name}: {field}: {error}"
            told = f"Reconciliation failed terminally due to configuration error: {why}"
            found[index] = Stalled("InvalidCELExpression", told)
            break
        except NotEvaluated as error:
            # With backoff, not at the retry interval: it says nothing about the object.
            found[index] = Retryable("ReconciliationFailed", f"{field}: {error}")
            break
        found[index] = await _why_not(world, obj, index)
    return found


async def _why_not(world: World, obj: Kustomization, index: int) -> str:
    me, dep = world.lookup(obj.key), world.lookup(obj.dependencies[index])
    if me is None or dep is None:
        return ""  # that it is not there is told by the usual checks
    namespace, name = obj.dependencies[index].namespace, obj.dependencies[index].name
    seen = dep if namespace == obj.metadata.namespace else without_spec(dep)
    expression = obj.spec.depends_on[index].ready_expr
    data = {"self": me, "dep": seen}
    try:
        is_ready = await world.expressions.first_true(
            obj.metadata.namespace, [expression], OF_DEPENDENCY, data
        )
    except NotEvaluated as error:
        return str(error)
    return (
        ""
        if is_ready is not None
        else f"dependency '{namespace}/{name}' is not ready according to readyExpr eval"
    )


def without_spec(raw: RawObject) -> Mapping[str, Any]:
    """What anybody may see of an object."""
    meta = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    annotations = meta.get("annotations", {})
    meta["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    return {**{name: raw[name] for name in ("apiVersion", "kind", "status") if name in raw}, "metadata": meta}
