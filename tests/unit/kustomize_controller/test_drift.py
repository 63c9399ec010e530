"""When a live object is not as we left it, and how that is told."""

import json
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest

from kustomize_controller.kustomization.drift import explain, judge
from kustomize_controller.kustomization.names import FIELD_MANAGER
from kustomize_controller.kustomization.remember import Applied
from kustomize_controller.kustomization.take_over import patch_for
from shared.kube.ownership import ObjectMeta, Ownership, ownership

CONTAINER: dict[str, Any] = {'k:{"name":"app"}': {".": {}, "f:name": {}, "f:image": {}}}
OURS: dict[str, Any] = {
    "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": CONTAINER}}},
}
WITHOUT_REPLICAS: dict[str, Any] = {"f:spec": {"f:template": OURS["f:spec"]["f:template"]}}
REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
ENV: dict[str, Any] = {"f:spec": {"f:paused": {}}}


def field(manager: str, fields: object, operation: str = "Update", **more: str) -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "apiVersion": "apps/v1"}
    return entry | {"time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def live(*fields: dict[str, Any], uid: str = "u1", **more: Any) -> ObjectMeta:
    raw = {"name": "web", "namespace": "shop", "uid": uid, "resourceVersion": "7", "managedFields": fields}
    return msgspec.json.decode(json.dumps(raw | more), type=ObjectMeta)


MINE = field(FIELD_MANAGER, OURS, "Apply")
LEFT = live(MINE)
_OWNERSHIP = ownership(LEFT, FIELD_MANAGER)
assert _OWNERSHIP is not None
APPLIED = Applied("v1", "sha256:1", "u1", _OWNERSHIP, 5)
REPLICAS_PATH = ("f:spec", "f:replicas")
LATER = "2026-01-01T00:00:09Z"

CASES: dict[str, tuple[ObjectMeta, bool]] = {
    "nothing changed": (LEFT, False),
    "a controller writes status": (live(MINE, field("kubelet", ENV, subresource="status")), False),
    "another manager adds a field": (live(MINE, field("autoscaler", ENV)), False),
    "a value of ours was taken": (
        live(field(FIELD_MANAGER, WITHOUT_REPLICAS, "Apply"), field("autoscaler", REPLICAS)), True,
    ),
    "our entry is gone": (live(field("someone", OURS)), True),
    "somebody applied under our name with the same fields": (live(MINE | {"time": LATER}), True),
    "kubectl edit adds a field": (live(MINE, field("kubectl-edit", ENV)), True),
    "kubectl scale, a subresource": (live(MINE, field("kubectl", ENV, subresource="scale")), False),
    "before-first-apply adds a field": (live(MINE, field("before-first-apply", ENV)), True),
    "it was deleted and made again": (live(MINE, uid="u2"), True),
    "taken, but it says hands off": (
        live(field("x", REPLICAS), annotations={"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}), False,
    ),
    "taken, but it says ignore": (
        live(field("x", REPLICAS), labels={"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("meta", "drifted"), CASES.values(), ids=CASES)
def test_judge(meta: ObjectMeta, drifted: bool) -> None:
    assert judge(meta, APPLIED) is drifted


IGNORED = replace(
    APPLIED,
    ownership=cast(Ownership, ownership(LEFT, FIELD_MANAGER, [REPLICAS_PATH])),
    ignored=(REPLICAS_PATH,),
)
IGNORING: dict[str, tuple[ObjectMeta, bool]] = {
    "nothing changed": (LEFT, False),
    "the ignored field was taken": (
        live(field(FIELD_MANAGER, WITHOUT_REPLICAS, "Apply"), field("autoscaler", REPLICAS)), False,
    ),
    "kubectl wrote the ignored field": (live(MINE, field("kubectl-edit", REPLICAS)), False),
    "kubectl wrote another field": (live(MINE, field("kubectl-edit", ENV)), True),
    "another field was taken": (
        live(field(FIELD_MANAGER, REPLICAS, "Apply"), field("x", WITHOUT_REPLICAS)), True,
    ),
    "it was made again": (live(MINE, uid="u2"), True),
}  # fmt: skip


@pytest.mark.parametrize(("meta", "drifted"), IGNORING.values(), ids=IGNORING)
def test_judge_ignores(meta: ObjectMeta, drifted: bool) -> None:
    assert judge(meta, IGNORED) is drifted


EXPLAINED: dict[str, tuple[ObjectMeta | None, str]] = {
    "deleted": (None, "was deleted"),
    "made again by another": (live(uid="u0"), "was replaced by another object"),
    "a value taken": (
        live(field(FIELD_MANAGER, WITHOUT_REPLICAS, "Apply"), field("autoscaler", REPLICAS)),
        "spec.replicas changed by 'autoscaler'",
    ),
    "a field added with kubectl": (
        live(MINE, field("kubectl-edit", ENV)), "spec.paused changed by 'kubectl-edit'",
    ),
    "a value removed": (live(field(FIELD_MANAGER, WITHOUT_REPLICAS, "Apply")), "spec.replicas removed"),
    "our whole entry taken": (
        live(field("someone", OURS)),
        (
            "spec.replicas, spec.template.spec.containers[name=app].image, "
            "spec.template.spec.containers[name=app].name changed by 'someone'"
        ),
    ),
    "under our own name": (live(MINE | {"time": LATER}), "changed under our own field manager's name"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "text"), EXPLAINED.values(), ids=EXPLAINED)
def test_explain(before: ObjectMeta | None, text: str) -> None:
    assert explain(before, LEFT) == text


def test_nothing_is_taken_over_where_kubectl_was_not() -> None:
    assert patch_for(live(MINE, field("autoscaler", ENV)), LATER) == []


def test_fields_of_kubectl_become_ours_and_others_stay() -> None:
    meta = live(MINE, field("kubectl-edit", ENV), field("autoscaler", REPLICAS))
    version, managed = patch_for(meta, LATER)
    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    ours, other = managed["value"]
    assert (ours["manager"], ours["operation"]) == (FIELD_MANAGER, "Apply")
    assert ours["fieldsV1"]["f:spec"].keys() == {"f:replicas", "f:template", "f:paused"}
    assert other["manager"] == "autoscaler"


def test_marks_of_older_tools_are_removed() -> None:
    meta = live(MINE, annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"})
    assert patch_for(meta, LATER)[1:] == [
        {"op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"}
    ]
