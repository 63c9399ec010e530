"""What to do about one Kustomization whose build succeeded. Pure: plain data in, a plan out.

Three questions, three functions, and `decide`, which asks them in order: which objects are applied
(`why_apply`), which are deleted (`what_left`), and whether so many deletions are meant (`guard`).

    inventory before ──┐
    build ─────────────┼─► Plan: record ► apply, stage by stage ► prune ► inventory after
    what we remember ──┘

An object enters the inventory before it is created and leaves it only when it is gone, so a kill at any point
orphans nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kustomize_controller.kustomization.stages import GroupKind, Stage, apply_order, stage_of
from shared.api.meta import Key
from shared.api.objects import ObjectId

GUARD_FROM = 10  # a prune of more than half is held when the inventory has more objects than this


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the inventory: an object, and the API version under which it was applied."""

    id: ObjectId
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """One object of the build.

    Attributes:
        digest: of its final content, owner labels included.
        left_alone: it says of itself that it is not to be applied (`ssa: Ignore`, `reconcile: disabled`).
    """

    id: ObjectId
    version: str
    digest: str
    left_alone: bool = False

    @property
    def entry(self) -> Entry:
        return Entry(self.id, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that a decision may look at.

    Attributes:
        desired: the objects of the build, in any order.
        applied: digest of what we applied last, for every object whose live state is known to be still that.
        drifted: objects that somebody changed or deleted since.
        inventory: of the status, in its order.
        everything: apply every object, whether known to be right or not (a run that a person asked for).
        prune: `spec.prune`.
        taken: objects of the build that another Kustomization applied and keeps.
        released: the revision for which a held prune was released, or "".
        revision: of the artifact that was built.
    """

    desired: tuple[Desired, ...]
    applied: Mapping[ObjectId, str]
    drifted: frozenset[ObjectId]
    inventory: tuple[Entry, ...]
    everything: bool
    prune: bool
    released: str
    revision: str
    taken: Mapping[ObjectId, Key] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A prune that waits for a person's yes."""

    count: int
    of: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, so exact that carrying it out leaves no choice.

    Attributes:
        record: the inventory to write before anything is applied; None when it gains nothing.
        stages: the objects to apply, stage by stage; stages without one are left out.
        prune: what to delete, in this order (the reverse of the order of apply).
        keep: the inventory once all is applied, before anything of `prune` is gone.
        held: what is to be deleted but waits, or None; it stays in the inventory.
        dry_run: stages in which a dry run of all comes first, so that one bad object stops its neighbours.
    """

    record: tuple[Entry, ...] | None
    stages: tuple[tuple[Desired, ...], ...]
    dry_run: frozenset[Stage]
    prune: tuple[Entry, ...]
    keep: tuple[Entry, ...]
    held: Held | None


def decide(seen: Observed, *, custom_kinds: Collection[GroupKind] = ()) -> Plan:
    ordered = apply_order((one for one in seen.desired if one.id not in seen.taken), custom_kinds)
    to_apply = [one for one in ordered if not one.left_alone and why_apply(one, seen)]
    stages = _by_stage(to_apply, custom_kinds)
    new = tuple(one.entry for one in ordered)
    stale = tuple(entry for entry in what_left(seen.inventory, new) if entry.id not in seen.taken)
    held = guard(stale, seen) if seen.prune else None
    leaving = stale if seen.prune else ()
    return Plan(
        record=_record(seen.inventory, new),
        stages=tuple(stages.values()),
        dry_run=frozenset(stage for stage, members in stages.items() if _is_risky(members, seen)),
        prune=() if held else tuple(reversed(leaving)),
        keep=new + leaving,
        held=held,
    )


def why_apply(one: Desired, seen: Observed) -> str:
    """Why an object is applied, for people; "" when it is left as it is. The first reason that holds wins."""
    if one.id in seen.drifted:
        return "drift"
    last = seen.applied.get(one.id)
    if last is None:
        return "not known to be there"
    if last != one.digest:
        return "changed in the source"
    if seen.everything:
        return "asked for"
    return ""


def what_left(inventory: Collection[Entry], new: Collection[Entry]) -> tuple[Entry, ...]:
    """Entries whose objects the build does not have any more. A new API version is not another object."""
    staying = {entry.id for entry in new}
    return tuple(entry for entry in inventory if entry.id not in staying)


def guard(stale: tuple[Entry, ...], seen: Observed) -> Held | None:
    """Whether a prune is so large that it may be a mistake (a wrong path, an emptied branch).

    Held is the prune of everything that the inventory has, and of more than half of over `GUARD_FROM`
    objects, until the very revision that asks for it is released.
    """
    if not stale or seen.released == seen.revision:
        return None
    total = len(seen.inventory)
    if len(stale) == total:
        return Held(len(stale), total, "nothing of what is there would be left")
    if total > GUARD_FROM and 2 * len(stale) > total:
        return Held(len(stale), total, "more than half of what is there would go")
    return None


def without_refused(
    record: tuple[Entry, ...], before: Collection[Entry], refused: Collection[ObjectId]
) -> tuple[Entry, ...]:
    """`record` without what the API server refuses to make and what was not there before.

    To list it on would be to ask for its deletion for ever: an object of a kind that nobody knows, or that
    one may not read, can never be shown to be gone.
    """
    known = {entry.id for entry in before}
    return tuple(entry for entry in record if entry.id in known or entry.id not in refused)


def gains(record: tuple[Entry, ...], before: Collection[Entry]) -> bool:
    """Whether `record` lists something that was not listed before."""
    known = {entry.id for entry in before}
    return any(entry.id not in known for entry in record)


def _is_risky(members: Collection[Desired], seen: Observed) -> bool:
    """Whether one object that is refused may leave others of an installed stage half changed.

    Contents that were accepted before are no risk; one change is atomic by itself.
    """
    changed = [one for one in members if seen.applied.get(one.id) != one.digest]
    return bool(seen.inventory) and len(changed) > 1


def _by_stage(
    objects: list[Desired], custom_kinds: Collection[GroupKind]
) -> dict[Stage, tuple[Desired, ...]]:
    stages: dict[Stage, list[Desired]] = {}
    for one in objects:
        stages.setdefault(stage_of(one.id, custom_kinds), []).append(one)
    return {stage: tuple(members) for stage, members in stages.items()}


def _record(inventory: tuple[Entry, ...], new: tuple[Entry, ...]) -> tuple[Entry, ...] | None:
    known = {entry.id for entry in inventory}
    if all(entry.id in known for entry in new):
        return None
    return new + what_left(inventory, new)  # those that another one took included: it costs no write now
