"""Objects that two Kustomizations have to do with: one moves from one to the other, or both want it.

Both write under one field manager, so two that want the same object would undo each other for ever. Whoever
applied it keeps it; the other leaves it alone and says so, until one of them lets it go. An object that
moves within one source is not deleted and made again: the old owner waits until the new one has it.

What a neighbour wants is known from its last build. If that is of an older artifact it says nothing: the
neighbour's own next run will find out.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from kustomize_controller.kustomization.build import BuildError
from kustomize_controller.kustomization.prepare import Preparer
from kustomize_controller.kustomization.remember import Memory
from kustomize_controller.unpack import UnpackFailed
from shared.api.artifact import Artifact
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.artifacts.fetch import FetchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The other Kustomizations, as one of them sees them.

    Attributes:
        lookup: a Kustomization as last seen; None if it is gone or cannot be read.
        of_source: keys of all that refer to a source.
        artifact_of: what a Kustomization's source published last.
    """

    preparer: Preparer
    memory: Memory
    lookup: Callable[[Key], Kustomization | None]
    of_source: Callable[[Key], Iterable[Key]]
    artifact_of: Callable[[Kustomization], Artifact | None]

    def holders(self, me: Key, wanted: Collection[ObjectId]) -> dict[ObjectId, Key]:
        """Which of `wanted` another Kustomization applied and still wants."""
        found = {}
        for id_ in wanted:
            owner = self.memory.owner_of(id_)
            if owner is not None and owner != me and self._still_wants(owner, id_):
                found[id_] = owner
        return found

    def _still_wants(self, key: Key, id_: ObjectId) -> bool:
        other = self._alive(key)
        if other is None:
            return False
        artifact = self.artifact_of(other)
        return artifact is not None and id_ in self.preparer.wants(key, artifact)

    def _alive(self, key: Key) -> Kustomization | None:
        other = self.lookup(key)
        return None if other is None or other.deleting or other.spec.suspend else other

    async def takers(
        self, me: Kustomization, artifact: Artifact, leaving: Collection[ObjectId]
    ) -> Mapping[ObjectId, Key]:
        """Which of `leaving` another Kustomization of the same source wants at this revision.

        Builds those whose last build is older; they need that build anyway. One that cannot be built takes
        nothing.
        """
        found: dict[ObjectId, Key] = {}
        for key in self.of_source(me.source):
            if key == me.key or len(found) == len(leaving):
                continue
            other = self._alive(key)
            if other is None:
                continue
            try:
                prepared = await self.preparer.prepare(other, artifact, lambda: None)
            except (BuildError, FetchError, UnpackFailed):
                continue
            found |= {one.id: key for one in prepared.desired if one.id in leaving}
        return found
