"""Objects are applied in the order of the contract (behaviour-kustomize.md 7.3)."""

from dataclasses import dataclass

import pytest

from kustomize_controller.kustomization.stages import Stage, apply_order, group_kind, stage_of
from shared.api.objects import ObjectId

STAGES = {
    "a CRD": (ObjectId("apiextensions.k8s.io", "CustomResourceDefinition", "", "a"), Stage.DEFINITIONS),
    "a Namespace": (ObjectId("", "Namespace", "", "a"), Stage.DEFINITIONS),
    "a ClusterRole": (ObjectId("rbac.authorization.k8s.io", "ClusterRole", "", "a"), Stage.DEFINITIONS),
    "a kind of that name in another group": (ObjectId("example.com", "Namespace", "", "a"), Stage.REST),
    "a StorageClass": (ObjectId("storage.k8s.io", "StorageClass", "", "a"), Stage.CLASSES),
    "a kind of the flag": (ObjectId("example.com", "Early", "", "a"), Stage.CUSTOM),
    "that kind in another group": (ObjectId("example.org", "Early", "", "a"), Stage.REST),
    "a core kind of the flag": (ObjectId("", "Secret", "x", "a"), Stage.CUSTOM),
    "its namesake elsewhere": (ObjectId("example.com", "Secret", "x", "a"), Stage.REST),
    "a Deployment": (ObjectId("apps", "Deployment", "x", "a"), Stage.REST),
}


@pytest.mark.parametrize(("id_", "stage"), STAGES.values(), ids=STAGES)
def test_stage(id_: ObjectId, stage: Stage) -> None:
    assert stage_of(id_, {("example.com", "Early"), ("", "Secret")}) is stage


KINDS = {
    "a kind of a group": ("rbac.authorization.k8s.io/Role", ("rbac.authorization.k8s.io", "Role")),
    "a kind of the core group": ("Secret", ("", "Secret")),
    "with the version, as in a manifest": ("apps/v1/Deployment", None),
    "without a kind": ("apps/", None),
    "without a group": ("/Secret", None),
}


@pytest.mark.parametrize(("text", "kind"), KINDS.values(), ids=KINDS)
def test_how_the_flag_names_a_kind(text: str, kind: tuple[str, str] | None) -> None:
    if kind is not None:
        assert group_kind(text) == kind
        return
    with pytest.raises(ValueError, match=f"^'{text}' is no kind; write group/Kind"):
        group_kind(text)


@dataclass(frozen=True)
class _Named:
    id: ObjectId


IN_ORDER = [
    ObjectId("apiextensions.k8s.io", "CustomResourceDefinition", "", "things"),
    ObjectId("", "Namespace", "", "a"),
    ObjectId("", "Namespace", "", "b"),
    ObjectId("rbac.authorization.k8s.io", "ClusterRole", "", "reader"),
    ObjectId("storage.k8s.io", "StorageClass", "", "fast"),
    ObjectId("example.com", "Early", "a", "first"),
    ObjectId("rbac.authorization.k8s.io", "ClusterRoleBinding", "", "reader"),
    ObjectId("", "ServiceAccount", "a", "web"),
    ObjectId("", "ConfigMap", "a", "one"),
    ObjectId("", "ConfigMap", "a", "two"),
    ObjectId("", "ConfigMap", "b", "one"),
    ObjectId("", "Secret", "a", "one"),
    ObjectId("", "Service", "a", "web"),
    ObjectId("apps", "Deployment", "a", "web"),
    ObjectId("batch", "Job", "a", "migrate"),
    ObjectId("example.com", "Thing", "a", "late"),
    ObjectId("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "", "m"),
    ObjectId("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "v"),
]


@pytest.mark.parametrize("given", [IN_ORDER, IN_ORDER[::-1], sorted(IN_ORDER, key=lambda one: one.name)])
def test_apply_order(given: list[ObjectId]) -> None:
    assert [
        one.id for one in apply_order([_Named(id_) for id_ in given], {("example.com", "Early")})
    ] == IN_ORDER
