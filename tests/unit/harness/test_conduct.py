"""Each rule over a trail holds of a good one, and notices the one thing that is changed in it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.harness.conduct import Conduct, violations
from tests.harness.history import Exchange, Target
from tests.harness.trail import KUSTOMIZE_USER, SOURCE_USER, Written

FIRST, SECOND, THIRD = "main@sha1:01", "main@sha1:02", "main@sha1:03"
A, B = "apps_a__ConfigMap", "apps_b__ConfigMap"
LABELS = {"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": "apps"}
SOMEBODY = "somebody"


def written(
    at_s: float, target: Target, *, status: int = 200, by: str = KUSTOMIZE_USER, **more: Any
) -> Written:
    exchange = Exchange(target=target, began_s=at_s, ended_s=at_s, status=status, answered=True, **more)
    return Written(writer=by, exchange=exchange)


def config_map(at_s: float, verb: str, name: str, *, status: int = 200, by: str = KUSTOMIZE_USER) -> Written:
    target = Target(verb=verb, resource="configmaps", namespace="apps", name=name)
    return written(at_s, target, status=status, by=by)


def apply(at_s: float, name: str, *, status: int = 200, owner: str = "app", **annotations: str) -> Written:
    labels = LABELS | {"kustomize.toolkit.fluxcd.io/name": owner}
    metadata = {
        "name": name,
        "namespace": "apps",
        "labels": labels,
        "annotations": {f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in annotations.items()},
    }
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}).encode()
    target = Target(verb="apply", resource="configmaps", namespace="apps", name=name)
    return written(at_s, target, status=status, body=body)


def said(
    at_s: float,
    *inventory: str,
    applied: str = "",
    attempted: str = "",
    ready: str = "",
    observed: int = 1,
    by: str = KUSTOMIZE_USER,
    **spec: object,
) -> Written:
    """A write to the Kustomization's status, and the whole object as its answer, at generation 1.

    Args:
        ready: status and reason, "True Succeeded"; "" for no such condition.
    """
    word, _, reason = ready.partition(" ")
    condition = {"type": "Ready", "status": word, "reason": reason, "observedGeneration": observed}
    status = {
        "observedGeneration": 1,
        "inventory": {"entries": [{"id": id_, "v": "v1"} for id_ in inventory]},
        "conditions": [condition] if ready else [],
        **({"lastAppliedRevision": applied} if applied else {}),
        **({"lastAttemptedRevision": attempted} if attempted else {}),
    }
    spec = {"sourceRef": {"kind": "GitRepository", "name": "app"}, **spec}
    return our(at_s, "kustomizations", {"spec": spec, "status": status}, by=by)


def published(at_s: float, revision: str) -> Written:
    return our(
        at_s, "gitrepositories", {"spec": {}, "status": {"artifact": {"revision": revision}}}, by=SOURCE_USER
    )


def our(at_s: float, resource: str, content: Mapping[str, object], *, by: str) -> Written:
    target = Target(verb="patch", resource=resource, namespace="apps", name="app", subresource="status")
    answer = {"metadata": {"uid": f"uid of {resource}", "generation": 1}, **content}
    return written(at_s, target, by=by, answer=answer)


FINE = "True ReconciliationSucceeded"
# Two objects are applied; a second revision drops one of them; a third does not build.
GOOD: dict[str, Written] = {
    "first is published": published(10, FIRST),
    "inventory of both": said(11, A, B),
    "apply a": apply(12, "a"),
    "apply b": apply(12, "b"),
    "first is applied": said(13, A, B, applied=FIRST, attempted=FIRST, ready=FINE),
    "second is published": published(20, SECOND),
    "delete b": config_map(22, "delete", "b"),
    "second is applied": said(23, A, applied=SECOND, attempted=SECOND, ready=FINE),
    "third is published": published(30, THIRD),
    "third fails": said(31, A, applied=SECOND, attempted=THIRD, ready="False BuildFailed"),
}

# id: (requests that replace those of GOOD or come on top, rule that notices; "" for none)
CASES: dict[str, tuple[dict[str, Written | None], str]] = {
    "all is well": ({}, ""),
    "created before the inventory has it": ({"inventory of both": said(11, A)}, "inventory_comes_first"),
    "created while the inventory is on its way": (
        {"inventory of both": said(12.1, A, B)},
        "inventory_comes_first",
    ),
    "left the inventory alive": ({"delete b": None}, "inventory_lets_go_late"),
    "left the inventory, found gone": ({"delete b": config_map(22, "get", "b", status=404)}, ""),
    "left the inventory although its delete was refused": (
        {"delete b": config_map(22, "delete", "b", status=403)},
        "inventory_lets_go_late",
    ),
    "left the inventory, never made": (
        {"delete b": None, "apply b": apply(12, "b", status=403), "first is applied": None},
        "",
    ),
    "left the inventory, made only later": (
        {"delete b": None, "apply b": apply(24, "b")},
        "inventory_comes_first",
    ),
    "left the inventory, deleted by somebody, which nobody looked at": (
        {"delete b": config_map(22, "get", "b", by=SOMEBODY)},
        "inventory_lets_go_late",
    ),
    "taken out of the inventory by hand": (
        {"by hand": said(24, applied=SECOND, ready=FINE, by=SOMEBODY), "third fails": None},
        "",
    ),
    "left the inventory to be kept": ({"delete b": None, "apply b": apply(12, "b", prune="disabled")}, ""),
    "moved to another": ({"delete b": apply(22, "b", owner="other")}, ""),
    "a stranger is deleted": ({"delete c": config_map(22, "delete", "c")}, "only_what_is_ours_is_deleted"),
    "a stranger is deleted by hand": ({"delete c": config_map(22, "delete", "c", by=SOMEBODY)}, ""),
    "deleted after it was let go": (
        {"delete b again": config_map(24, "delete", "b")},
        "only_what_is_ours_is_deleted",
    ),
    "deleted and made anew": (
        {"delete a": config_map(12.5, "delete", "a"), "apply a again": apply(12.7, "a")},
        "nothing_is_made_anew",
    ),
    "deleted by hand and made anew": (
        {"delete a": config_map(12.5, "delete", "a", by=SOMEBODY), "apply a again": apply(12.7, "a")},
        "",
    ),
    "made anew by force": (
        {"delete a": config_map(12.5, "delete", "a"), "apply a again": apply(12.7, "a", force="enabled")},
        "",
    ),
    "made anew by the force of the spec": (
        {
            "delete a": config_map(12.5, "delete", "a"),
            "apply a again": apply(12.7, "a"),
            "first is applied": said(13, A, B, applied=FIRST, attempted=FIRST, ready=FINE, force=True),
        },
        "",
    ),
    "made anew with another revision": (
        {"delete a": config_map(12.5, "delete", "a"), "apply a again": apply(22, "a")},
        "",
    ),
    "the applied revision is nobody's": (
        {"more": said(24, A, applied="main@sha1:99", ready=FINE), "third fails": None},
        "applied_revision_was_published",
    ),
    "applied before it is published": (
        {"second is published": published(24, SECOND)},
        "applied_revision_was_published",
    ),
    "the applied revision goes back": (
        {"more": said(24, A, applied=FIRST, ready=FINE), "third fails": None},
        "applied_revision_was_published",
    ),
    "the source goes back, and so does the applied revision": (
        {"more": said(24, A, applied=FIRST, ready=FINE), "third fails": None, "back": published(23.5, FIRST)},
        "",
    ),
    "another source": (
        {
            "more": said(24, A, applied="v1", ready=FINE, sourceRef={"kind": "OCIRepository", "name": "x"}),
            "third fails": None,
        },
        "",
    ),
    "said to be applied although refused": (
        {"apply a": apply(12, "a", status=422)},
        "what_is_applied_was_accepted",
    ),
    "refused since it is there, and to be made once": (
        {"apply a": apply(12, "a", status=409, ssa="IfNotPresent")},
        "",
    ),
    "refused since another is at it": (
        {"apply a": apply(12, "a", status=409)},
        "what_is_applied_was_accepted",
    ),
    "refused at first, then accepted": (
        {"apply a": apply(12, "a", status=409), "apply a again": apply(12.5, "a")},
        "",
    ),
    "not ready, and applied although refused": (
        {
            "apply a": apply(12, "a", status=422),
            "first is applied": said(
                13, A, B, applied=FIRST, attempted=FIRST, ready="False HealthCheckFailed"
            ),
        },
        "what_is_applied_was_accepted",
    ),
    "ready, of another generation": (
        {"first is applied": said(13, A, B, applied=FIRST, ready=FINE, observed=2)},
        "ready_is_of_the_observed_generation",
    ),
    "ready, of another generation, suspended": (
        {"first is applied": said(13, A, B, applied=FIRST, ready=FINE, observed=2, suspend=True)},
        "",
    ),
    "a failed build empties the inventory": (
        {
            "third fails": said(31, applied=SECOND, ready="False BuildFailed"),
            "a": config_map(24, "delete", "a"),
        },
        "failures_change_nothing",
    ),
    "a failed build counts as applied": (
        {"third fails": said(31, A, applied=THIRD, ready="False BuildFailed")},
        "failures_change_nothing",
    ),
}


def conduct(requests: Mapping[str, Written | None]) -> Conduct:
    done = sorted((one for one in requests.values() if one), key=lambda one: one.exchange.began_s)
    return Conduct.of(done, "apps", frozenset())


@pytest.mark.parametrize(("changed", "rule"), CASES.values(), ids=CASES)
def test_rules(changed: dict[str, Written | None], rule: str) -> None:
    found = {text.partition(": ")[0] for text in violations(conduct({**GOOD, **changed}))}
    assert found == ({rule} if rule else set())


def test_what_may_be_left_is_left() -> None:
    without = {**GOOD, "delete b": None}
    requests = [one for one in without.values() if one]
    assert violations(Conduct.of(requests, "apps", frozenset({B}))) == []


def test_other_namespaces_are_not_judged() -> None:
    requests = [one for one in {**GOOD, "delete b": None}.values() if one]
    assert violations(Conduct.of(requests, "elsewhere", frozenset())) == []
