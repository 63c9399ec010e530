"""Inventory ids as Flux writes them (behaviour-kustomize.md 7.6)."""

import pytest

from shared.api.objects import InvalidId, ObjectId, join_api_version
from shared.kube.client import Identity
from shared.kube.discovery import Resource

RBAC = "rbac.authorization.k8s.io"
IDS = {
    "namespaced, in a group": (ObjectId("apps", "Deployment", "shop", "web"), "shop_web_apps_Deployment"),
    "namespaced, core": (ObjectId("", "Service", "shop", "web"), "shop_web__Service"),
    "cluster-scoped, core": (ObjectId("", "Namespace", "", "shop"), "_shop__Namespace"),
    "cluster-scoped, in a group": (ObjectId(RBAC, "ClusterRole", "", "a"), f"_a_{RBAC}_ClusterRole"),
    "a role with a colon": (ObjectId(RBAC, "Role", "x", "system:a:b"), f"x_system__a__b_{RBAC}_Role"),
    "dots and dashes": (
        ObjectId("apiextensions.k8s.io", "CustomResourceDefinition", "", "things.example.com"),
        "_things.example.com_apiextensions.k8s.io_CustomResourceDefinition",
    ),
}


@pytest.mark.parametrize(("id_", "text"), IDS.values(), ids=IDS)
def test_inventory_id(id_: ObjectId, text: str) -> None:
    assert id_.inventory_id == text
    assert ObjectId.from_inventory(text) == id_


@pytest.mark.parametrize("text", ["", "web", "a_b", "a_b_c", "_ns__", "____"])
def test_what_is_no_inventory_id(text: str) -> None:
    with pytest.raises(InvalidId):
        ObjectId.from_inventory(text)


def test_subject() -> None:
    assert ObjectId("apps", "Deployment", "shop", "web").subject == "Deployment/shop/web"
    assert ObjectId("", "Namespace", "", "shop").subject == "Namespace/shop"


def test_api_version() -> None:
    assert (join_api_version("", "v1"), join_api_version("apps", "v1")) == ("v1", "apps/v1")


PATHS = {
    "core, namespaced": (Resource("", "v1", "Service", "services", True), "/api/v1/namespaces/a/services/b"),
    "group": (Resource("apps", "v1", "Deployment", "deployments", True),
              "/apis/apps/v1/namespaces/a/deployments/b"),
    "cluster-scoped ignores the namespace": (Resource("", "v1", "Node", "nodes", False), "/api/v1/nodes/b"),
}  # fmt: skip


@pytest.mark.parametrize(("resource", "path"), PATHS.values(), ids=PATHS)
def test_path(resource: Resource, path: str) -> None:
    assert resource.path("a", "b") == path


@pytest.mark.parametrize("user", ["", " ", "a\r\nImpersonate-Group: system:masters", "system:masters"])
def test_an_identity_is_never_empty_or_more_than_it_says(user: str) -> None:
    with pytest.raises(ValueError, match="identity"):
        Identity(user)


@pytest.mark.parametrize(("namespace", "name"), [("", "a"), ("a", "")])
def test_a_service_account_has_both_names(namespace: str, name: str) -> None:
    with pytest.raises(ValueError, match="service account"):
        Identity.service_account(namespace, name)
