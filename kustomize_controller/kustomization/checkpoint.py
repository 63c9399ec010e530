"""What a restart would otherwise forget, in a file for each Kustomization.

With it, a restart costs one metadata list per kind and no apply; without it, one full apply of that
Kustomization, so a checkpoint is only ever an economy and may be lost. It must never be believed when it is
not true. Hence:

- It is removed before the first write of a run and written again after it, by a rename: a kill between
leaves none.
  (A time in managedFields resolves one second only, so what happened between could not be told from it.)
- It names the cluster (the UID of the namespace kube-system) and is void in another one.
- What it says of an object holds only if the first list shows that object with the managedFields entry it
remembers,
  and not at an older resourceVersion than it remembers (a cluster that was restored from a backup).
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from kustomize_controller.kustomization.decide import Desired
from kustomize_controller.kustomization.inputs import Inputs
from kustomize_controller.kustomization.remember import Applied
from shared.api.objects import ObjectId
from shared.kube.ownership import FieldPath, Ownership

log = structlog.get_logger("runtime")

FORMAT = 1  # to be raised when older files would be misread; a new field has a default instead
_SUFFIX = ".checkpoint"


class SavedObject(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One remembered object; see `Applied`."""

    group: str
    kind: str
    namespace: str
    name: str
    version: str
    digest: str
    uid: str
    ownership: str
    time: str
    seen_version: int
    ignored: tuple[FieldPath, ...] | int = ()  # a number only in a file: as the object at that place has it
    vanishes: bool = False

    @classmethod
    def of(cls, id_: ObjectId, one: Applied) -> "SavedObject":
        ours, seen = one.ownership, one.seen_version
        return cls(
            *id_, one.version, one.digest, one.uid, ours.digest, ours.time, seen, one.ignored, one.vanishes
        )

    @property
    def id(self) -> ObjectId:
        return ObjectId(self.group, self.kind, self.namespace, self.name)

    @property
    def applied(self) -> Applied:
        ours = Ownership(self.ownership, self.time)
        ignored = () if isinstance(self.ignored, int) else self.ignored
        return Applied(self.version, self.digest, self.uid, ours, self.seen_version, ignored, self.vanishes)


class SavedDesired(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One object of the last build; see `Desired`."""

    group: str
    kind: str
    namespace: str
    name: str
    version: str
    digest: str
    left_alone: bool

    @classmethod
    def of(cls, one: Desired) -> "SavedDesired":
        return cls(*one.id, one.version, one.digest, one.left_alone)

    @property
    def desired(self) -> Desired:
        id_ = ObjectId(self.group, self.kind, self.namespace, self.name)
        return Desired(id=id_, version=self.version, digest=self.digest, left_alone=self.left_alone)


class SavedRecipe(msgspec.Struct, frozen=True):
    """The last build: what it depended on, and what it gave."""

    spec_digest: str
    artifact_digest: str
    key: str
    reads: tuple[str, ...]
    lists: tuple[str, ...]
    misses: tuple[str, ...]
    desired: tuple[SavedDesired, ...]
    digest: str
    left_out: tuple[str, ...] = ()
    variables: tuple[str, ...] | None = None  # versions of what was put in; see `variables.Known`

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.reads, self.lists, self.misses)


class Saved(msgspec.Struct, frozen=True):
    """One checkpoint."""

    format: int
    cluster: str
    uid: str
    generation: int
    revision: str
    settled: bool  # the run ended with Ready=True and nothing left to do
    recipe: SavedRecipe
    objects: tuple[SavedObject, ...]
    told: str = ""  # the revision for which `recipe.left_out` was told last; "" when that is not known


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Saved).decode


class Checkpoints:
    """The checkpoints of one cluster, in a folder of its own below `folder`. Nothing is kept before
    `begin`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._folder = folder
        self._usable = False
        self._present: set[str] = set()  # spares a look at the disk for each run that changes nothing
        self.cluster = ""

    def begin(self, cluster: str) -> None:
        """Use the checkpoints of the cluster with this identity, the UID of kube-system; "" is none."""
        if not cluster:
            return
        self.cluster = cluster
        self._folder = self._root / _plain(cluster)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._usable = True
        except OSError as error:
            where = str(self._folder)
            log.error("no checkpoints: a restart will apply everything", folder=where, error=str(error))

    def load(self, uid: str) -> Saved | None:
        """The checkpoint, or None if there is none that can be believed."""
        try:
            saved = _decode(self._at(uid).read_bytes())
            saved = msgspec.structs.replace(saved, objects=_spelled_out(saved.objects))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return None
        if saved.format != FORMAT or saved.cluster != self.cluster or saved.uid != uid:
            return None
        self._present.add(uid)
        return saved

    def save(self, saved: Saved) -> None:
        """Replace the checkpoint. A failure is no more than a full apply after the next restart."""
        if not self._usable:
            return
        saved = msgspec.structs.replace(saved, objects=_abridged(saved.objects))
        try:
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encode(saved))
            os.replace(name, self._at(saved.uid))  # noqa: PTH105  # a name, not a Path
            self._present.add(saved.uid)
        except OSError as error:
            log.error("checkpoint not written", error=str(error))

    def has(self, uid: str) -> bool:
        """Whether a checkpoint is there; without a usable folder one pretends so, since none could be
        written."""
        return not self._usable or uid in self._present

    def discard(self, uid: str) -> None:
        """Before a write: what is remembered is about to be untrue."""
        self._present.discard(uid)
        with contextlib.suppress(OSError):
            self._at(uid).unlink()

    def keep_only(self, uids: Iterable[str]) -> None:
        """Remove what belongs to Kustomizations that are gone."""
        wanted = {self._at(uid).name for uid in uids}
        for path in self._folder.glob("*"):
            if path.name not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _at(self, uid: str) -> Path:
        return self._folder / (_plain(uid) + _SUFFIX)


def _abridged(objects: tuple[SavedObject, ...]) -> tuple[SavedObject, ...]:
    """The objects with the ignored fields of each rule once: it often covers thousands of them."""
    first: dict[tuple[FieldPath, ...] | int, int] = {}
    places = [first.setdefault(one.ignored, at) if one.ignored else at for at, one in enumerate(objects)]
    return tuple(
        one if place == at else msgspec.structs.replace(one, ignored=place)
        for at, (place, one) in enumerate(zip(places, objects, strict=True))
    )


def _spelled_out(objects: tuple[SavedObject, ...]) -> tuple[SavedObject, ...]:
    """The other way; the objects share what they have alike.

    Raises:
        IndexError: there is no such place.
    """
    return tuple(
        msgspec.structs.replace(one, ignored=objects[one.ignored].ignored)
        if isinstance(one.ignored, int)
        else one
        for one in objects
    )


def _plain(uid: str) -> str:
    # A UID comes from the API server; all the same it never becomes a path.
    return "".join(c for c in uid if c.isalnum() or c == "-")
