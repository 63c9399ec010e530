"""What must hold of a past: rules over all that a controller wrote for one Kustomization, kills included.

    I2 inventory first    I3 deletes are explained    I4 UIDs stay    I5 the applied revision is true
    I6 Ready is true      I7 a failed build changes nothing           I1 the end is what Git says

A rule is a function from a past to sentences, one for each violation (reliability rows I1 to I7). The
server's view counts: a write whose answer was lost was done all the same.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.harness.history import Exchange, History
from tests.harness.names import OWNER_NAME, OWNER_NAMESPACE
from tests.harness.rendering import contains, inventory_id

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One state of the source.

    Attributes:
        name: as the artifact's revision says it, "main@sha1:…".
        published_s: monotonic, before anybody could see it.
        objects: what it renders to, by inventory id; None: it must not build.
    """

    name: str
    published_s: float
    objects: Mapping[str, Object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One Kustomization's past, complete from its creation on.

    Attributes:
        revisions: oldest first.
        deleted_s: when the Kustomization's deletion was asked for.
        uids: of its live objects by inventory id, at a moment from which on Git kept all of `kept`.
        left: inventory ids that leave the inventory alive, on purpose.
        held: inventory ids that stay, in inventory and cluster, though Git has them no longer.
        still_s: for how long nothing may be written once inputs are still.
    """

    namespace: str
    name: str
    history: History
    revisions: tuple[Revision, ...]
    deleted_s: float | None = None
    uids: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = field(default=frozenset())
    held: frozenset[str] = field(default=frozenset())
    still_s: float = 0.5

    @property
    def kept(self) -> set[str]:
        """Ids that every revision since the snapshot of `uids` has; a failed one asks for nothing."""
        built = [set(revision.objects) for revision in self.revisions if revision.objects is not None]
        return set.intersection(*built) if built else set()

    def current(self, at_s: float, applied: str | None) -> list[Revision]:
        """The revisions that may be acted upon: published, and none that is older than what was applied."""
        names = [revision.name for revision in self.revisions]
        first = names.index(applied) if applied in names else 0
        return [revision for revision in self.revisions[first:] if revision.published_s <= at_s]


def inventory_comes_first(past: Past) -> Iterator[str]:
    """I2: an object is in the inventory, as last written, before it is created."""
    statuses = _statuses(past)
    for id_, apply in _applies(past):
        before = [status for status in statuses if _ended(status) <= apply.began_s]
        if id_ not in (_inventory(before[-1]) if before else ()):
            yield f"{id_} was applied while the inventory did not have it: {apply}"


def inventory_lets_go_late(past: Past) -> Iterator[str]:
    """I2: an object leaves the inventory only when it is gone."""
    held: set[str] = set()
    for status in _statuses(past):
        now = _inventory(status)
        for id_ in held - now - past.left:
            if not _seen_gone(past, id_, status.began_s):
                yield f"{id_} left the inventory before it was gone: {status}"
        held = now


def deletes_are_explained(past: Past) -> Iterator[str]:
    """I3: nothing is deleted but what a successful build of a current revision does not have."""
    for id_, delete in _deletes(past):
        if past.deleted_s is not None and delete.began_s >= past.deleted_s:
            continue
        current = past.current(delete.began_s, _applied_by(past, delete.began_s))
        if not any(r.objects is not None and id_ not in r.objects for r in current):
            names = ", ".join(r.name if r.objects is not None else f"{r.name} (fails)" for r in current)
            yield f"{id_} was deleted, though none of the revisions {names} is without it: {delete}"


def applies_are_explained(past: Past) -> Iterator[str]:
    """I7: what is applied is what a current revision renders to; a failed one renders to nothing."""
    for id_, apply in _applies(past):
        current = past.current(apply.began_s, _applied_by(past, apply.began_s))
        wanted = [r.objects[id_] for r in current if r.objects is not None and id_ in r.objects]
        if not any(contains(apply.object(), one) for one in wanted):
            yield f"{id_} was applied with a content that no current revision has: {apply}"


def applied_revision_is_true(past: Past) -> Iterator[str]:
    """I5: lastAppliedRevision names what was accepted object by object, and never goes back."""
    names = [revision.name for revision in past.revisions]
    last: str | None = None
    for status in _statuses(past):
        applied = status.answer.get("status", {}).get("lastAppliedRevision")
        if applied == last or applied is None:
            continue
        if applied not in names:
            yield f"lastAppliedRevision is {applied}, which was never published: {status}"
            continue
        if last in names and names.index(applied) < names.index(last):
            yield f"lastAppliedRevision went back from {last} to {applied}: {status}"
        yield from _unaccepted(past, past.revisions[names.index(applied)], status)
        last = applied


def ready_is_true(past: Past) -> Iterator[str]:
    """I6: Ready=True, whenever it was written, is of the observed generation and of a run without failure."""
    known = 0  # generation that an answer has told before
    for status in _statuses(past):
        generation = status.answer["metadata"]["generation"]
        said = status.answer.get("status", {})
        ready = next((c for c in said.get("conditions", ()) if c["type"] == "Ready"), None)
        if ready is not None and ready["status"] == "True":
            observed = said.get("observedGeneration", 0), ready.get("observedGeneration", 0)
            # A spec that changed during the write itself could not be known.
            if observed[0] != observed[1] or not known <= observed[0] <= generation:
                yield f"Ready=True at generation {generation}, observed {observed}: {status}"
            for id_, apply in _last_applies(past, status.began_s).items():
                if not apply.done and id_ in _inventory(status):
                    yield f"Ready=True though {id_} was refused: {apply}"
        known = generation


def failed_builds_change_nothing(past: Past) -> Iterator[str]:
    """I7: a status about a revision that does not build leaves inventory and applied revision alone."""
    failing = {revision.name for revision in past.revisions if revision.objects is None}
    held: set[str] = set()
    for status in _statuses(past):
        said = status.answer.get("status", {})
        if said.get("lastAttemptedRevision") in failing and _inventory(status) != held:
            yield f"a failed build changed the inventory: {status}"
        if said.get("lastAppliedRevision") in failing:
            yield f"lastAppliedRevision names a revision that does not build: {status}"
        held = _inventory(status)


def cluster_is_git(past: Past, live: Mapping[str, Object]) -> Iterator[str]:
    """I1: once inputs are still, the cluster has what the newest revision renders to, and no more."""
    wanted: Mapping[str, Object] = {}
    if past.deleted_s is None:
        built = [revision.objects for revision in past.revisions if revision.objects is not None]
        wanted = built[-1] if built else {}
    for id_ in set(live) - set(wanted) - past.left - past.held:
        if "deletionTimestamp" not in live[id_]["metadata"]:
            yield f"{id_} is there, and Git does not have it"
    for id_, one in wanted.items():
        if id_ not in live:
            yield f"{id_} is not there"
        elif not contains(live[id_], one):
            yield f"{id_} is not as Git has it: {live[id_]}"


def uids_stay(past: Past, live: Mapping[str, Object]) -> Iterator[str]:
    """I4: what Git kept throughout is the same object still."""
    for id_ in past.kept & set(past.uids) & set(live):
        if live[id_]["metadata"]["uid"] != past.uids[id_]:
            yield f"{id_} was deleted and created again, though Git kept it"


RULES: tuple[Callable[[Past], Iterator[str]], ...] = (
    inventory_comes_first,
    inventory_lets_go_late,
    deletes_are_explained,
    applies_are_explained,
    applied_revision_is_true,
    ready_is_true,
    failed_builds_change_nothing,
)
RULES_AT_REST: tuple[Callable[[Past, Mapping[str, Object]], Iterator[str]], ...] = (
    cluster_is_git,
    uids_stay,
)


def unrest(past: Past, began_s: float) -> Iterator[str]:
    """I1: nothing is written from `began_s` on, for `still_s` from now. Waits that long."""
    time.sleep(past.still_s)
    for exchange in past.history.changes():
        if exchange.began_s >= began_s:
            yield f"unrest: nothing was left to do, but this was written: {exchange}"


# --- reading a history ---


def deletes(past: Past) -> list[str]:
    """Inventory ids of all objects whose deletion was asked for and not refused."""
    return [id_ for id_, _ in _deletes(past)]


def _statuses(past: Past) -> list[Exchange]:
    """Writes to the Kustomization that were done, with the whole object as the answer, oldest first."""
    found = [
        exchange
        for exchange in past.history.changes()
        if (exchange.target.resource, exchange.target.namespace, exchange.target.name)
        == ("kustomizations", past.namespace, past.name)
        and exchange.target.subresource == "status"
        and exchange.done
    ]
    return sorted(found, key=_ended)


def _inventory(status: Exchange) -> set[str]:
    return {entry["id"] for entry in status.answer.get("status", {}).get("inventory", {}).get("entries", ())}


def _applies(past: Past) -> list[tuple[str, Exchange]]:
    """Applies of objects of this Kustomization, whatever became of them, and their inventory ids."""
    found = []
    for exchange in past.history.changes():
        if exchange.target.verb != "apply":
            continue
        item = exchange.object()
        labels = item["metadata"].get("labels", {})
        if (labels.get(OWNER_NAMESPACE), labels.get(OWNER_NAME)) == (past.namespace, past.name):
            found.append((inventory_id(item), exchange))
    return found


def _deletes(past: Past) -> Iterator[tuple[str, Exchange]]:
    ids = _ids(past)
    for exchange in past.history.changes():
        if exchange.target.verb == "delete" and exchange.done and _place(exchange) in ids:
            yield ids[_place(exchange)], exchange
        if exchange.target.verb == "deletecollection":
            yield "a whole collection", exchange


def _ids(past: Past) -> dict[tuple[str, ...], str]:
    """Where an object is → its inventory id: a path has the plural, an id the kind; an apply has both."""
    return {_place(apply): id_ for id_, apply in _applies(past)}


def _place(exchange: Exchange) -> tuple[str, ...]:
    target = exchange.target
    return (target.group, target.resource, target.namespace, target.name)


def _seen_gone(past: Past, id_: str, before_s: float) -> bool:
    ids = _ids(past)
    return any(
        ids.get(_place(exchange)) == id_
        and ((exchange.target.verb == "delete" and exchange.done) or exchange.status == 404)
        and _ended(exchange) <= before_s
        for exchange in past.history.all()
    )


def _last_applies(past: Past, before_s: float) -> dict[str, Exchange]:
    return {id_: apply for id_, apply in _applies(past) if _ended(apply) <= before_s}


def _unaccepted(past: Past, revision: Revision, status: Exchange) -> Iterator[str]:
    last = _last_applies(past, status.began_s)
    for id_, wanted in (revision.objects or {}).items():
        if id_ in past.left:
            continue
        if id_ not in last or not last[id_].done or not contains(last[id_].object(), wanted):
            yield f"{revision.name} is said to be applied, but {id_} was not accepted: {status}"


def _applied_by(past: Past, before_s: float) -> str | None:
    known = [status for status in _statuses(past) if _ended(status) <= before_s]
    said: str | None = known[-1].answer.get("status", {}).get("lastAppliedRevision") if known else None
    return said


def _ended(exchange: Exchange) -> float:
    return exchange.ended_s if exchange.ended_s is not None else float("inf")


def violations(past: Past, live: Collection[Object]) -> Iterator[str]:
    """All rules over one past. `live`: all objects that carry our label, as they are now."""
    mine = {
        inventory_id(item): item
        for item in live
        if (item["metadata"]["labels"].get(OWNER_NAMESPACE), item["metadata"]["labels"].get(OWNER_NAME))
        == (past.namespace, past.name)
    }
    for rule in RULES:
        yield from (f"{rule.__name__}: {text}" for text in rule(past))
    for at_rest in RULES_AT_REST:
        yield from (f"{at_rest.__name__}: {text}" for text in at_rest(past, mine))
