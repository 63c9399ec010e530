"""The plan for a Kustomization, over situations. The base row is a steady state; every other row changes
one thing."""

from dataclasses import replace

import pytest

from kustomize_controller.kustomization.decide import (
    Desired,
    Entry,
    Held,
    Observed,
    Plan,
    decide,
    gains,
    without_refused,
)
from kustomize_controller.kustomization.stages import Stage
from shared.api.objects import ObjectId

NAMESPACE = ObjectId("", "Namespace", "", "shop")
CONFIG = ObjectId("", "ConfigMap", "shop", "settings")
DEPLOY = ObjectId("apps", "Deployment", "shop", "web")
SERVICE = ObjectId("", "Service", "shop", "web")


def wanted(id_: ObjectId, digest: str = "sha256:1", *, left_alone: bool = False) -> Desired:
    return Desired(id=id_, version="v1", digest=digest, left_alone=left_alone)


def entry(id_: ObjectId) -> Entry:
    return Entry(id_, "v1")


ALL = (DEPLOY, NAMESPACE, CONFIG)  # as kustomize may give them, not in the order of apply
IN_ORDER = (entry(NAMESPACE), entry(CONFIG), entry(DEPLOY))
STEADY = Observed(
    desired=tuple(wanted(one) for one in ALL),
    applied=dict.fromkeys(ALL, "sha256:1"),
    drifted=frozenset(),
    inventory=IN_ORDER,
    everything=False,
    prune=True,
    released="",
    revision="main@sha1:b",
)
NOTHING = Plan(record=None, stages=(), dry_run=frozenset(), prune=(), keep=IN_ORDER, held=None)
FIRST = replace(STEADY, applied={}, inventory=())
EVERY_STAGE = ((wanted(NAMESPACE),), (wanted(CONFIG), wanted(DEPLOY)))
CHANGED = (wanted(NAMESPACE), wanted(CONFIG, "sha256:2"), wanted(DEPLOY, "sha256:2"))
MANY = tuple(ObjectId("", "ConfigMap", "shop", f"c{number:02}") for number in range(12))
FULL = replace(
    STEADY,
    desired=tuple(wanted(one) for one in MANY),
    applied=dict.fromkeys(MANY, "sha256:1"),
    inventory=tuple(entry(one) for one in MANY),
)

CASES: dict[str, tuple[Observed, Plan]] = {
    "nothing changed": (STEADY, NOTHING),
    "the first time": (
        FIRST,
        replace(NOTHING, record=IN_ORDER, stages=EVERY_STAGE),
    ),
    "after a restart without memory": (
        replace(STEADY, applied={}),
        replace(NOTHING, stages=EVERY_STAGE, dry_run=frozenset({Stage.REST})),
    ),
    "one object changed in the source": (
        replace(STEADY, desired=(wanted(NAMESPACE), wanted(CONFIG, "sha256:2"), wanted(DEPLOY))),
        replace(NOTHING, stages=((wanted(CONFIG, "sha256:2"),),)),
    ),
    "two objects of a stage changed": (
        replace(STEADY, desired=CHANGED),
        replace(
            NOTHING,
            stages=((wanted(CONFIG, "sha256:2"), wanted(DEPLOY, "sha256:2")),),
            dry_run=frozenset({Stage.REST}),
        ),
    ),
    "an object was changed by hand": (
        replace(STEADY, drifted=frozenset({DEPLOY})),
        replace(NOTHING, stages=((wanted(DEPLOY),),)),
    ),
    "a person asks for a run": (
        replace(STEADY, everything=True),
        replace(NOTHING, stages=EVERY_STAGE),
    ),
    "an object says hands off": (
        replace(FIRST, desired=(wanted(NAMESPACE), wanted(CONFIG, left_alone=True), wanted(DEPLOY))),
        replace(NOTHING, record=IN_ORDER, stages=((wanted(NAMESPACE),), (wanted(DEPLOY),))),
    ),
    "an object is new in the source": (
        replace(STEADY, desired=(*STEADY.desired, wanted(SERVICE))),
        replace(
            NOTHING,
            record=(entry(NAMESPACE), entry(CONFIG), entry(SERVICE), entry(DEPLOY)),
            stages=((wanted(SERVICE),),),
            keep=(entry(NAMESPACE), entry(CONFIG), entry(SERVICE), entry(DEPLOY)),
        ),
    ),
    "an object left the source": (
        replace(STEADY, desired=(wanted(NAMESPACE), wanted(DEPLOY))),
        replace(
            NOTHING,
            prune=(entry(CONFIG),),
            keep=(entry(NAMESPACE), entry(DEPLOY), entry(CONFIG)),
        ),
    ),
    "an object left the source and spec.prune is false": (
        replace(STEADY, desired=(wanted(NAMESPACE), wanted(DEPLOY)), prune=False),
        replace(NOTHING, keep=(entry(NAMESPACE), entry(DEPLOY))),
    ),
    "two objects left: they go in the reverse order of apply": (
        replace(STEADY, desired=(wanted(NAMESPACE),)),
        replace(
            NOTHING,
            prune=(entry(DEPLOY), entry(CONFIG)),
            keep=(entry(NAMESPACE), entry(CONFIG), entry(DEPLOY)),
        ),
    ),
    "an object came and another left: both are recorded before anything is done": (
        replace(STEADY, desired=(wanted(NAMESPACE), wanted(DEPLOY), wanted(SERVICE))),
        replace(
            NOTHING,
            record=(entry(NAMESPACE), entry(SERVICE), entry(DEPLOY), entry(CONFIG)),
            stages=((wanted(SERVICE),),),
            prune=(entry(CONFIG),),
            keep=(entry(NAMESPACE), entry(SERVICE), entry(DEPLOY), entry(CONFIG)),
        ),
    ),
    "the source suddenly yields nothing": (
        replace(STEADY, desired=()),
        replace(NOTHING, held=Held(3, 3, "nothing of what is there would be left")),
    ),
    "the source yields nothing, and that revision was released": (
        replace(STEADY, desired=(), released="main@sha1:b"),
        replace(NOTHING, prune=tuple(reversed(IN_ORDER))),
    ),
    "another revision was released": (
        replace(STEADY, desired=(), released="main@sha1:a"),
        replace(NOTHING, held=Held(3, 3, "nothing of what is there would be left")),
    ),
    "it yields nothing and spec.prune is false": (
        replace(STEADY, desired=(), prune=False),
        replace(NOTHING, keep=()),
    ),
    "half of twelve left": (
        replace(FULL, desired=FULL.desired[:6]),
        replace(NOTHING, prune=tuple(reversed(FULL.inventory[6:])), keep=FULL.inventory),
    ),
    "more than half of twelve left": (
        replace(FULL, desired=FULL.desired[:5]),
        replace(
            NOTHING,
            keep=FULL.inventory,
            held=Held(7, 12, "more than half of what is there would go"),
        ),
    ),
    "most of ten left": (
        replace(FULL, inventory=FULL.inventory[:10], desired=FULL.desired[:1]),
        replace(NOTHING, prune=tuple(reversed(FULL.inventory[1:10])), keep=FULL.inventory[:10]),
    ),
    "another API version of the same object": (
        replace(STEADY, desired=(replace(wanted(NAMESPACE), version="v2"), wanted(CONFIG), wanted(DEPLOY))),
        replace(NOTHING, keep=(Entry(NAMESPACE, "v2"), entry(CONFIG), entry(DEPLOY))),
    ),
}


@pytest.mark.parametrize(("seen", "plan"), CASES.values(), ids=CASES)
def test_decide(seen: Observed, plan: Plan) -> None:
    assert decide(seen) == plan


NEW_CONFIG = replace(STEADY, inventory=(entry(NAMESPACE), entry(DEPLOY)))
REFUSED: dict[str, tuple[Observed, frozenset[ObjectId], tuple[Entry, ...]]] = {
    "a new object": (NEW_CONFIG, frozenset({CONFIG}), (entry(NAMESPACE), entry(DEPLOY))),
    "one that was there before": (NEW_CONFIG, frozenset({DEPLOY}), IN_ORDER),
    "all of a first install": (FIRST, frozenset(ALL), ()),
}


@pytest.mark.parametrize(("seen", "refused", "left"), REFUSED.values(), ids=REFUSED)
def test_what_was_refused_and_never_was_there_leaves_the_inventory(
    seen: Observed, refused: frozenset[ObjectId], left: tuple[Entry, ...]
) -> None:
    record = decide(seen).record
    assert record is not None
    assert without_refused(record, seen.inventory, refused) == left
    assert gains(left, seen.inventory) == (len(left) > len(seen.inventory))
