"""Each rule over a past holds of a good one, and notices the one thing that is changed in it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.harness.history import Exchange, History, Target
from tests.harness.replay import Object, Past, Revision, violations

FIRST, SECOND, BROKEN = "main@sha1:01", "main@sha1:02", "main@sha1:03"
A, B = "apps_a__ConfigMap", "apps_b__ConfigMap"
LABELS = {"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": "apps"}
STRANGE = LABELS | {"kustomize.toolkit.fluxcd.io/name": "another"}


def config_map(name: str, value: str = "1", **metadata: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "apps", **metadata},
        "data": {"x": value},
    }


def exchange(at_s: float, verb: str, name: str, status: int = 200, **more: Any) -> Exchange:
    target = Target(verb=verb, resource="configmaps", namespace="apps", name=name)
    return Exchange(target=target, began_s=at_s, ended_s=at_s + 0.5, status=status, **more)


def apply(at_s: float, name: str, value: str = "1", status: int = 200) -> Exchange:
    body = json.dumps(config_map(name, value, labels=LABELS)).encode()
    return exchange(at_s, "apply", name, status, body=body)


def status(at_s: float, *inventory: str, applied: str = "", attempted: str = "", ready: str = "") -> Exchange:
    """A status write and the whole object as its answer, at generation 1."""
    said: Object = {
        "observedGeneration": 1,
        "inventory": {"entries": [{"id": id_, "v": "v1"} for id_ in inventory]},
        "conditions": [{"type": "Ready", "status": ready, "observedGeneration": 1}] if ready else [],
        **({"lastAppliedRevision": applied} if applied else {}),
        **({"lastAttemptedRevision": attempted} if attempted else {}),
    }
    target = Target(
        verb="patch",
        group="kustomize.toolkit.fluxcd.io",
        resource="kustomizations",
        namespace="apps",
        name="app",
        subresource="status",
    )
    answer = {"metadata": {"generation": 1}, "status": said}
    return Exchange(target=target, began_s=at_s, ended_s=at_s + 0.5, status=200, answer=answer)


# Two objects are applied; a second revision changes one and drops the other; a third does not build.
GOOD: dict[str, Exchange] = {
    "inventory of both": status(11, A, B),
    "apply a": apply(12, "a"),
    "apply b": apply(12, "b"),
    "first is applied": status(13, A, B, applied=FIRST, attempted=FIRST, ready="True"),
    "change a": apply(21, "a", "2"),
    "delete b": exchange(22, "delete", "b"),
    "second is applied": status(23, A, applied=SECOND, attempted=SECOND, ready="True"),
    "third fails": status(31, A, applied=SECOND, attempted=BROKEN, ready="False"),
}
REVISIONS = (
    Revision(name=FIRST, published_s=10, objects={A: config_map("a"), B: config_map("b")}),
    Revision(name=SECOND, published_s=20, objects={A: config_map("a", "2")}),
    Revision(name=BROKEN, published_s=30, objects=None),
)
LIVE = (config_map("a", "2", labels=LABELS, uid="1"),)


def past(exchanges: Mapping[str, Exchange | None]) -> Past:
    history = History()
    for one in sorted((one for one in exchanges.values() if one), key=lambda one: one.began_s):
        history.note(one)
    return Past(namespace="apps", name="app", history=history, revisions=REVISIONS, uids={A: "1"})


def _observed(at_s: float, generation: int) -> Exchange:
    made = status(at_s, A, applied=SECOND, ready="True")
    made.answer["metadata"]["generation"] = generation
    return made


# id: (exchanges that replace those of GOOD or come on top, live objects, rule that notices; "" for none)
CASES: dict[str, tuple[dict[str, Exchange | None], tuple[Object, ...], str]] = {
    "all is well": ({}, LIVE, ""),
    "created before the inventory has it": (
        {"inventory of both": status(11, A)},
        LIVE,
        "inventory_comes_first",
    ),
    "created while the inventory is on its way": (
        {"inventory of both": status(11.8, A, B)},
        LIVE,
        "inventory_comes_first",
    ),
    "left the inventory alive": (
        {"delete b": None},
        LIVE,
        "inventory_lets_go_late",
    ),
    "left the inventory, found gone": ({"delete b": exchange(22, "get", "b", 404)}, LIVE, ""),
    "left the inventory although its delete was refused": (
        {"delete b": exchange(22, "delete", "b", 403)},
        LIVE,
        "inventory_lets_go_late",
    ),
    "deleted before the revision that drops it": (
        {"delete b": exchange(14, "delete", "b")},
        LIVE,
        "deletes_are_explained",
    ),
    "deleted although Git keeps it": (
        {"delete a": exchange(24, "delete", "a")},
        LIVE,
        "deletes_are_explained",
    ),
    "an old content is applied again": (
        {"apply a again": apply(24, "a", "1")},
        LIVE,
        "applies_are_explained",
    ),
    "the repair of a drift": ({"apply a again": apply(24, "a", "2")}, LIVE, ""),
    "said to be applied before it was": (
        {"change a": apply(24, "a", "2")},
        LIVE,
        "applied_revision_is_true",
    ),
    "said to be applied although refused": (
        {"change a": apply(21, "a", "2", status=422)},
        LIVE,
        "applied_revision_is_true",
    ),
    "the applied revision goes back": (
        {"back": status(24, A, applied=FIRST)},
        LIVE,
        "applied_revision_is_true",
    ),
    "the applied revision is nobody's": (
        {"back": status(24, A, applied="main@sha1:99")},
        LIVE,
        "applied_revision_is_true",
    ),
    "Ready for an older spec": (
        {"spec seen": _observed(24, 2), "ready": _observed(25, 2)},
        LIVE,
        "ready_is_true",
    ),
    "the spec changes during the write": ({"spec seen": _observed(24, 2)}, LIVE, ""),
    "a failed build shrinks the inventory": (
        {"third fails": status(31, applied=SECOND, attempted=BROKEN, ready="False")},
        LIVE,
        "failed_builds_change_nothing",
    ),
    "a failed build counts as applied": (
        {"third fails": status(31, A, applied=BROKEN, attempted=BROKEN, ready="True")},
        LIVE,
        "failed_builds_change_nothing",
    ),
    "an object is missing": ({}, (), "cluster_is_git"),
    "an object is not as Git has it": ({}, (config_map("a", "3", labels=LABELS, uid="1"),), "cluster_is_git"),
    "an object is left over": ({}, (*LIVE, config_map("b", labels=LABELS)), "cluster_is_git"),
    "somebody else's object": ({}, (*LIVE, config_map("b", labels=STRANGE)), ""),
    "an object was made anew": ({}, (config_map("a", "2", labels=LABELS, uid="2"),), "uids_stay"),
}


@pytest.mark.parametrize(("changes", "live", "rule"), CASES.values(), ids=CASES)
def test_rules(changes: dict[str, Exchange | None], live: tuple[Object, ...], rule: str) -> None:
    found = list(violations(past({**GOOD, **changes}), live))
    assert (rule in {text.partition(":")[0] for text in found}) == bool(rule), found
    assert bool(found) == bool(rule), found


def test_a_deleted_kustomization_takes_all_along() -> None:
    seen = replace(past(GOOD | {"delete a": exchange(41, "delete", "a")}), deleted_s=40)
    assert list(violations(seen, ())) == []
    assert [text.partition(":")[0] for text in violations(seen, LIVE)] == ["cluster_is_git"]


TARGETS: dict[str, tuple[str, str, str, Target]] = {
    "an apply": (
        "PATCH",
        "/api/v1/namespaces/n/configmaps/c?force=true",
        "application/apply-patch+yaml",
        Target(verb="apply", resource="configmaps", namespace="n", name="c"),
    ),
    "a dry run": (
        "PATCH",
        "/apis/apps/v1/namespaces/n/deployments/d?dryRun=All",
        "application/apply-patch+yaml",
        Target(verb="apply", group="apps", resource="deployments", namespace="n", name="d", dry_run=True),
    ),
    "a namespace is no object of itself": (
        "GET",
        "/api/v1/namespaces/n",
        "",
        Target(verb="get", resource="namespaces", name="n"),
    ),
    "a status": (
        "PATCH",
        "/apis/g/v1/namespaces/n/things/t/status",
        "application/merge-patch+json",
        Target(verb="patch", group="g", resource="things", namespace="n", name="t", subresource="status"),
    ),
    "a watch": (
        "GET",
        "/api/v1/pods?watch=true",
        "",
        Target(verb="watch", resource="pods"),
    ),
    "a list": (
        "GET",
        "/api/v1/namespaces/n/pods?limit=5",
        "",
        Target(verb="list", resource="pods", namespace="n"),
    ),
    "discovery": ("GET", "/apis", "", Target(verb="get")),
    "a whole collection": (
        "DELETE",
        "/api/v1/namespaces/n/pods",
        "",
        Target(verb="deletecollection", resource="pods", namespace="n"),
    ),
}


@pytest.mark.parametrize(("method", "url", "content_type", "target"), TARGETS.values(), ids=TARGETS)
def test_targets(method: str, url: str, content_type: str, target: Target) -> None:
    assert Target.of(method, url, content_type) == target
