"""What this process knows of the objects that it applied: enough to tell, without a request, that they are
still so.

Of each object: the digest of what was applied, and the digest and time of our managedFields entry after it.
Neither the object nor its fields are kept.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.kube.ownership import FieldPath, ObjectMeta, Ownership


@dataclass(frozen=True, slots=True)
class Applied:
    """One object as we left it.

    Attributes:
        digest: of the content that was applied.
        ownership: our managedFields entry after it.
        seen_version: resourceVersion of the answer; what the watch tells of older states says nothing new.
        ignored: fields that others may change; they do not count in `ownership`.
        vanishes: Kubernetes deletes it when it is done (a Job with a TTL), and that is no drift.
    """

    version: str
    digest: str
    uid: str
    ownership: Ownership
    seen_version: int
    ignored: tuple[FieldPath, ...] = ()
    vanishes: bool = False


@dataclass(slots=True)
class Drift:
    """Somebody changed an object of ours, or deleted it.

    Attributes:
        live: its metadata as the watch showed it; None when it is gone or left the watch.
        due_at: when it is to be repaired, by the loop's clock: at once, or later where it is fought over.
    """

    live: ObjectMeta | None
    due_at: float


@dataclass(slots=True)
class Contest:
    """How often one object had to be repaired lately."""

    repairs: int
    last_at: float


@dataclass(slots=True)
class Holding:
    """All that is remembered of one Kustomization's objects."""

    applied: dict[ObjectId, Applied] = field(default_factory=dict)
    drifts: dict[ObjectId, Drift] = field(default_factory=dict)
    leaving: set[ObjectId] = field(default_factory=set)  # deletion was asked for, a finalizer holds it
    unjudged: dict[ObjectId, ObjectMeta | None] = field(
        default_factory=dict
    )  # seen while a run was in flight
    contests: dict[ObjectId, Contest] = field(default_factory=dict)
    hands_off: set[ObjectId] = field(default_factory=set)  # the live object says so: look before a write
    refused: set[ObjectId] = field(default_factory=set)  # by the API server, when it was applied last
    doubted: bool = False  # some object is not known any more to be as a run that ended well has left it


class Memory:
    """Holdings by Kustomization, and who holds which object. Used from one event loop only."""

    def __init__(self) -> None:
        self._holdings: dict[Key, Holding] = {}
        self._owners: dict[ObjectId, Key] = {}

    def holding(self, owner: Key) -> Holding:
        return self._holdings.setdefault(owner, Holding())

    def owner_of(self, id: ObjectId) -> Key | None:  # noqa: A002  # the field's name
        return self._owners.get(id)

    def seen_version(self, owner: Key, id: ObjectId) -> int:  # noqa: A002
        """The resourceVersion at which an object was applied; 0 if that is not remembered."""
        one = self.holding(owner).applied.get(id)
        return one.seen_version if one is not None else 0

    def owned(self, group: str, kind: str) -> Iterator[tuple[ObjectId, Key]]:
        """Every remembered object of a kind."""
        return ((id_, key) for id_, key in self._owners.items() if id_.kind == kind and id_.group == group)

    def remember(self, owner: Key, id: ObjectId, applied: Applied) -> None:  # noqa: A002
        before = self._owners.get(id)
        if before is not None and before != owner:
            self.drop(before, id)  # what the old owner remembers is not true any more
        holding = self.holding(owner)
        holding.applied[id] = applied
        holding.drifts.pop(id, None)
        holding.leaving.discard(id)
        holding.hands_off.discard(id)
        holding.refused.discard(id)
        self._owners[id] = owner

    def expect_end(self, owner: Key, id: ObjectId) -> None:  # noqa: A002
        """The object's deletion was asked for and takes its time: tell when it is gone."""
        self.holding(owner).leaving.add(id)
        self._owners[id] = owner

    def drop(self, owner: Key, id: ObjectId) -> None:  # noqa: A002
        """The object is not ours any more, or gone, or not known to be as we left it."""
        holding = self.holding(owner)
        for part in (holding.applied, holding.drifts, holding.unjudged, holding.contests):
            part.pop(id, None)
        holding.leaving.discard(id)
        holding.hands_off.discard(id)
        if self._owners.get(id) == owner:
            del self._owners[id]

    def doubt(self, owner: Key, id: ObjectId) -> None:  # noqa: A002
        """What is remembered of the object may be of another past: the next run applies it again."""
        self.drop(owner, id)
        self.holding(owner).doubted = True

    def keep_only(self, owner: Key, wanted: Collection[ObjectId]) -> None:
        """Nothing else of this Kustomization is applied any more: what others do to the rest is no drift.

        What is being deleted stays known until it is gone.
        """
        holding = self.holding(owner)
        for id_ in [id_ for id_ in holding.applied if id_ not in wanted and id_ not in holding.leaving]:
            self.drop(owner, id_)

    def forget(self, owner: Key) -> None:
        """The Kustomization is gone."""
        holding = self._holdings.pop(owner, None)
        if holding is not None:
            for id_ in [*holding.applied, *holding.leaving]:
                if self._owners.get(id_) == owner:
                    del self._owners[id_]

    def digests(self, owner: Key) -> Mapping[ObjectId, str]:
        return {id_: one.digest for id_, one in self.holding(owner).applied.items()}
