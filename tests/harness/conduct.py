"""What must hold of all that our controllers wrote, told by the trail alone, whatever Git says.

    I2 inventory first    I3 only what is ours is deleted    I4 UIDs stay    I5 the applied revision is true
    I6 Ready is true      I7 a failed build changes nothing

`replay` judges the same invariants more strictly, where it is known what each revision renders to. Here
nothing is known but the requests, so every test that has controllers of its own can be judged. Only what our
controllers wrote is judged; what others wrote, by hand or to play a trick, is part of the world.

A rule is a function from a conduct to sentences, one for each violation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.history import Exchange
from tests.harness.names import FORCE, OWNER_NAME, OWNER_NAMESPACE, PRUNE, SSA
from tests.harness.rendering import inventory_id
from tests.harness.trail import KUSTOMIZE_USER, Written

Object = dict[str, Any]

_KINDS = {"kustomizations": "Kustomization", "gitrepositories": "GitRepository"}
_NOTHING_WAS_DONE = frozenset(
    {"ArtifactFailed", "BuildFailed", "DependencyNotReady"}
)  # reasons of Ready=False


@dataclass(slots=True)
class Life:
    """One object of ours from its creation to its end, as its statuses tell it; another UID is another
    life."""

    kind: str
    namespace: str
    name: str
    uid: str
    statuses: list[Written] = field(default_factory=list)  # of all writers, oldest first

    def at(self, when_s: float) -> Object:
        """The object as the last write to its status before `when_s` left it, {} before the first."""
        before = [one.exchange.answer for one in self.statuses if one.exchange.began_s <= when_s]
        return before[-1] if before else {}

    def steps(self) -> Iterator[tuple[Object, Object, Exchange]]:
        """Each status that our controllers wrote: the object before, the object after, the write."""
        before: Object = {}
        for one in self.statuses:
            if one.is_ours:
                yield before, one.exchange.answer, one.exchange
            before = one.exchange.answer

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Apply:
    """An apply by the kustomize controller, whatever became of it."""

    id: str
    owner: tuple[str, str]
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Conduct:
    """What was done about the objects of a namespace that are ours, and about what they own.

    Attributes:
        lives: of all namespaces, for an object may use another's source.
        left: inventory ids that may leave the inventory alive, or are made anew, on purpose.
    """

    namespace: str  # "" for all
    written: Sequence[Written]
    left: frozenset[str]
    lives: tuple[Life, ...]
    applies: tuple[Apply, ...]

    @classmethod
    def of(cls, written: Sequence[Written], namespace: str, left: frozenset[str]) -> "Conduct":
        return cls(namespace, written, left, tuple(_lives(written)), tuple(_applies(written)))

    def kustomizations(self) -> list[Life]:
        return [life for life in self._judged() if life.kind == "Kustomization"]

    def applies_of(self, life: Life) -> list[Apply]:
        return [apply for apply in self.applies if apply.owner == (life.namespace, life.name)]

    def deletes(self) -> list[Exchange]:
        """What the kustomize controller had deleted."""
        return [
            one.exchange
            for one in self.written
            if one.writer == KUSTOMIZE_USER and one.exchange.target.verb == "delete" and one.exchange.done
        ]

    def statuses(self) -> list[Object]:
        """Objects as they were after each status that our controllers wrote, where the spec was seen."""
        return [
            {**after, "kind": life.kind}
            for life in self._judged()
            for _, after, _ in life.steps()
            if after["metadata"]["generation"] == after.get("status", {}).get("observedGeneration")
        ]

    def _judged(self) -> list[Life]:
        return [life for life in self.lives if self.namespace in ("", life.namespace)]


def inventory_comes_first(conduct: Conduct) -> Iterator[str]:
    """I2: an object is in the inventory, as last written, before it is created."""
    for owner in {(life.namespace, life.name) for life in conduct.kustomizations()}:
        lives = [life for life in conduct.kustomizations() if (life.namespace, life.name) == owner]
        for apply in conduct.applies_of(lives[0]):
            at_s = apply.exchange.began_s
            if not any(apply.id in _inventory(life.at(at_s)) for life in lives):
                yield f"{apply.id} was applied while the inventory did not have it: {apply.exchange}"


def inventory_lets_go_late(conduct: Conduct) -> Iterator[str]:
    """I2: an object that was made leaves the inventory only when it is gone, another's, or to be kept."""
    for life in conduct.kustomizations():
        applies = [apply for apply in conduct.applies_of(life) if apply.exchange.done]
        for before, after, write in life.steps():
            made = {apply.id for apply in applies if apply.exchange.began_s <= write.began_s}
            for id_ in made & _inventory(before) - _inventory(after) - conduct.left:
                if not _is_kept(conduct, life, id_) and not _seen_gone(conduct, id_, write.began_s):
                    yield f"{id_} left the inventory of {life} before it was gone: {write}"


def only_what_is_ours_is_deleted(conduct: Conduct) -> Iterator[str]:
    """I3: whatever is deleted is in an inventory at that moment."""
    for delete in conduct.deletes():
        if conduct.namespace not in ("", delete.target.namespace) and not any(
            _is_about(delete, apply.id) and conduct.namespace == apply.owner[0] for apply in conduct.applies
        ):
            continue
        if not any(_is_about(delete, id_) for life in conduct.lives for id_ in _had(life, delete.began_s)):
            yield f"deleted what no inventory had: {delete}"


def nothing_is_made_anew(conduct: Conduct) -> Iterator[str]:
    """I4: what was deleted comes back with another revision only, or where `force` asks for it."""
    for delete in conduct.deletes():
        for life in conduct.kustomizations():
            again = next((a for a in conduct.applies_of(life) if _follows(a, delete)), None)
            if again is None or again.id in conduct.left or again.id not in _had(life, delete.began_s):
                continue
            if _is_forced(life, again):
                continue
            again_s = again.exchange.began_s
            same = _revision_of_run(life, delete.began_s) == _revision_of_run(life, again_s)
            if same and not _ended(conduct, life, again_s):
                yield f"{again.id} was deleted and created again, though {life} kept it: {delete}"


def applied_revision_was_published(conduct: Conduct) -> Iterator[str]:
    """I5: lastAppliedRevision is one that the source had published, and none older than the last."""
    for life in conduct.kustomizations():
        source, place = "", 0
        for before, after, write in life.steps():
            status, spec = after.get("status", {}), after["spec"]
            applied = status.get("lastAppliedRevision")
            if status.get("observedGeneration") != after["metadata"]["generation"] or applied is None:
                continue
            reference = spec["sourceRef"]
            now = f"{reference['kind']}/{reference.get('namespace', life.namespace)}/{reference['name']}"
            place = place if now == source else 0
            source = now
            if reference["kind"] != "GitRepository" or applied == _applied(before):
                continue
            published = _published(conduct, now, write.began_s)
            if applied not in published:
                yield f"{life} applied {applied}, which was never published: {write}"
            elif applied not in published[place:]:
                yield f"{life} went back to {applied}: {write}"
            else:
                place = published.index(applied, place)


def what_is_applied_was_accepted(conduct: Conduct) -> Iterator[str]:
    """I5, I6: neither Ready=True nor a new lastAppliedRevision after an object was refused."""
    for life in conduct.kustomizations():
        applies = conduct.applies_of(life)
        for before, after, write in life.steps():
            if _ready(after).get("status") != "True" and _applied(after) in (None, _applied(before)):
                continue
            last = {apply.id: apply.exchange for apply in applies if apply.exchange.began_s <= write.began_s}
            for id_ in _inventory(after) & set(last):
                if not last[id_].done and not _was_there(last[id_]):
                    yield f"{life} is said to be applied, but {id_} was refused: {last[id_]}, {write}"


def ready_is_of_the_observed_generation(conduct: Conduct) -> Iterator[str]:
    """I6: Ready=True, whenever it was written, is about the spec that was known."""
    for life in conduct.lives:
        if conduct.namespace not in ("", life.namespace):
            continue
        for before, after, write in life.steps():
            ready = _ready(after)
            generation = after["metadata"]["generation"]
            known = before["metadata"]["generation"] if before else 0
            observed = (
                after.get("status", {}).get("observedGeneration", 0),
                ready.get("observedGeneration", 0),
            )
            idle = after["spec"].get("suspend", False) or "deletionTimestamp" in after["metadata"]
            if ready.get("status") != "True" or idle:
                continue
            # A spec that changed during the write itself could not be known.
            if observed[0] != observed[1] or not known <= observed[0] <= generation:
                yield f"{life} is Ready at generation {generation}, but observed {observed}: {write}"


def failures_change_nothing(conduct: Conduct) -> Iterator[str]:
    """I7: a status about a source or a build that failed leaves inventory and applied revision alone."""
    for life in conduct.kustomizations():
        for before, after, write in life.steps():
            ready = _ready(after)
            if ready.get("status") != "False" or ready["reason"] not in _NOTHING_WAS_DONE:
                continue
            if (_inventory(after), _applied(after)) != (_inventory(before), _applied(before)):
                yield f"{ready['reason']} changed what {life} says it has applied: {write}"


RULES: tuple[Callable[[Conduct], Iterator[str]], ...] = (
    inventory_comes_first,
    inventory_lets_go_late,
    only_what_is_ours_is_deleted,
    nothing_is_made_anew,
    applied_revision_was_published,
    what_is_applied_was_accepted,
    ready_is_of_the_observed_generation,
    failures_change_nothing,
)


def violations(conduct: Conduct) -> list[str]:
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(conduct)]


# --- reading a trail ---


def _lives(written: Sequence[Written]) -> Iterator[Life]:
    lives: dict[tuple[str, str], Life] = {}
    for one in written:
        target = one.exchange.target
        if target.resource in _KINDS and target.subresource == "status" and one.exchange.done:
            uid = one.exchange.answer["metadata"]["uid"]
            new = Life(_KINDS[target.resource], target.namespace, target.name, uid)
            lives.setdefault((target.resource, uid), new).statuses.append(one)
    yield from lives.values()


def _applies(written: Sequence[Written]) -> Iterator[Apply]:
    for one in written:
        if one.writer == KUSTOMIZE_USER and one.exchange.target.verb == "apply" and one.exchange.body:
            item = one.exchange.object()
            labels = item["metadata"].get("labels") or {}
            owner = labels.get(OWNER_NAMESPACE, ""), labels.get(OWNER_NAME, "")
            yield Apply(inventory_id(item), owner, one.exchange)


def _inventory(item: Object) -> set[str]:
    return {entry["id"] for entry in item.get("status", {}).get("inventory", {}).get("entries", ())}


def _had(life: Life, when_s: float) -> set[str]:
    return _inventory(life.at(when_s))


def _ready(item: Object) -> Object:
    conditions: list[Object] = item.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Ready"), {})


def _applied(item: Object) -> str | None:
    revision: str | None = item.get("status", {}).get("lastAppliedRevision")
    return revision


def _is_about(exchange: Exchange, id_: str) -> bool:
    """A path has the plural where an id has the kind, so kinds of one group and name count as one."""
    namespace, name, group = _place(id_)
    target = exchange.target
    return (target.namespace, target.name, target.group) == (namespace, name, group)


def _place(id_: str) -> tuple[str, str, str]:
    """Namespace, name and group."""
    namespace, _, rest = id_.partition("_")
    name, group, _ = rest.rsplit("_", 2)
    return namespace, name.replace("__", ":"), group


def _is_kept(conduct: Conduct, life: Life, id_: str) -> bool:
    """It is another's by now, or says of itself that it is not to be pruned."""
    for apply in conduct.applies:
        annotations = apply.exchange.object()["metadata"].get("annotations") or {} if apply.id == id_ else {}
        if apply.id == id_ and apply.owner != (life.namespace, life.name):
            return True
        if annotations.get(PRUNE, "").lower() == "disabled":
            return True
    return False


def _seen_gone(conduct: Conduct, id_: str, before_s: float) -> bool:
    """It was deleted, or not found when it was looked for, or its whole kind was not."""
    for one in conduct.written:
        exchange, target = one.exchange, one.exchange.target
        if exchange.began_s > before_s:
            break
        missing = exchange.status == 404
        if missing and not target.name and target.group == _place(id_)[2] != "":
            return True
        if (missing or (target.verb == "delete" and exchange.done)) and _is_about(exchange, id_):
            return True
    return False


def _revision_of_run(life: Life, when_s: float) -> str | None:
    """What the run that was under way then had attempted, as the status at its end says."""
    later = [one.exchange.answer for one in life.statuses if one.exchange.began_s >= when_s]
    ends = [item for item in later if _ready(item).get("status") in ("True", "False")]
    attempted: str | None = ends[0]["status"].get("lastAttemptedRevision") if ends else None
    return attempted


def _follows(apply: Apply, delete: Exchange) -> bool:
    return apply.exchange.done and apply.exchange.began_s > delete.began_s and _is_about(delete, apply.id)


def _was_there(apply: Exchange) -> bool:
    """Refused since the object exists already: a creation, which says so by a resourceVersion that no object
    has, or an object that is to be made only if it is missing. Such a one may be let be."""
    metadata = apply.object()["metadata"]
    words = [(metadata.get(where) or {}).get(SSA, "") for where in ("annotations", "labels")]
    may_be = "resourceVersion" in metadata or "ifnotpresent" in map(str.lower, words)
    return apply.status == 409 and may_be


def _is_forced(life: Life, apply: Apply) -> bool:
    """By the spec that the run had seen, as the status at its end shows it, or by the object itself."""
    metadata = apply.exchange.object()["metadata"]
    words = [(metadata.get(where) or {}).get(FORCE, "") for where in ("annotations", "labels")]
    specs = [
        one.exchange.answer["spec"] for one in life.statuses if one.exchange.began_s >= apply.exchange.began_s
    ]
    return "enabled" in map(str.lower, words) or bool(specs and specs[0].get("force"))


def _ended(conduct: Conduct, life: Life, before_s: float) -> bool:
    """Somebody asked for the end of the object before then."""
    return any(
        one.exchange.target.verb == "delete"
        and one.exchange.target.resource == "kustomizations"
        and (one.exchange.target.namespace, one.exchange.target.name) == (life.namespace, life.name)
        and one.exchange.began_s <= before_s
        for one in conduct.written
    )


def _published(conduct: Conduct, source: str, before_s: float) -> list[str]:
    """Revisions in the order of their publication; a repeated one is there again."""
    names: list[str] = []
    for life in conduct.lives:
        for one in life.statuses if str(life) == source else ():
            revision = one.exchange.answer.get("status", {}).get("artifact", {}).get("revision")
            if one.exchange.began_s <= before_s and revision and names[-1:] != [revision]:
                names.append(revision)
    return names
