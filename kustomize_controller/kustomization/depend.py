"""Whether the Kustomizations that one depends on are ready. Pure.

Source: behaviour-kustomize.md 3. Checked in the order of the list, the first failure wins. A ring of
dependencies is told at once on all its members, where Flux waits for ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.runtime.outcome import ReconcileError

Lookup = Callable[[Key], Kustomization | None]


@dataclass(frozen=True, slots=True)
class NotReady:
    """The first dependency that is not ready, and why.

    Attributes:
        ring: the other members, if it is a ring of dependencies that is to blame.
    """

    on: Key
    message: str
    ring: tuple[Key, ...] = ()


def first_not_ready(
    ks: Kustomization,
    lookup: Lookup,
    source_revision: str,
    expressed: Mapping[int, str | ReconcileError] = MappingProxyType({}),
    *,
    additive: bool = False,
) -> NotReady | ReconcileError | None:
    """The dependency that `ks` waits for, or None; or what is wrong with the expression about it.

    Args:
        source_revision: of the artifact that `ks` is about to apply; a dependency on the same source must
            have applied it.
        expressed: what `readyExpr` comes to, by the place in `spec.dependsOn`: why the dependency is not
            ready, or "" where it is. That replaces the usual checks,
        additive: or comes before them.
    """
    ring = find_ring(ks.key, lookup)
    if ring:
        names = " → ".join(f"{key.namespace}/{key.name}" for key in ring)
        told = f"spec.dependsOn goes round in a ring: {names}; remove one of these references"
        return NotReady(ring[1], told, tuple(ring[1:-1]))
    for index, key in enumerate(ks.dependencies):
        dep = lookup(key)
        why = expressed.get(index, "") if dep is not None else ""
        if isinstance(why, ReconcileError):
            return why
        if not why and (additive or dep is None or index not in expressed):
            why = _why_not_ready(dep, key, ks, source_revision)
        if why:
            return NotReady(key, why)
    return None


def _why_not_ready(dep: Kustomization | None, key: Key, ks: Kustomization, source_revision: str) -> str:
    name = f"dependency '{key.namespace}/{key.name}'"
    if dep is None:
        return f'{name} not found: kustomizations.kustomize.toolkit.fluxcd.io "{key.name}" not found'
    ready = dep.status.condition("Ready")
    settled = dep.status.observed_generation == dep.metadata.generation
    if not settled or ready is None or ready.status != "True":
        return f"{name} is not ready"
    if dep.source == ks.source and dep.status.last_applied_revision != source_revision:
        return f"{name} revision is not up to date"
    return ""


def find_ring(start: Key, lookup: Lookup) -> list[Key]:
    """A way through dependsOn from `start` back to `start`, both ends included; [] if there is none."""
    way: list[Key] = [start]
    seen: set[Key] = set()

    def walk(key: Key) -> bool:
        found = lookup(key)
        for next_key in found.dependencies if found is not None else ():
            if next_key == start:
                way.append(next_key)
                return True
            if next_key in seen:
                continue
            seen.add(next_key)
            way.append(next_key)
            if walk(next_key):
                return True
            way.pop()
        return False

    return way if walk(start) else []
