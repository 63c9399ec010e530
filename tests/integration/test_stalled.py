"""Objects that only a person can help: what happens when they are deleted or suspended all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.controlplane import ControlPlane
from shared.runtime.reconciler import FINALIZER
from tests.harness.manifests import config_map
from tests.harness.story import Story, conditions

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PLURALS = {
    "GitRepository": "gitrepositories.source.toolkit.fluxcd.io",
    "Kustomization": "kustomizations.kustomize.toolkit.fluxcd.io",
}


@contextmanager
def old_schema(cluster: ControlPlane, kind: str) -> Iterator[None]:
    """While it lasts, spec.interval may be anything, as for an object that is older than its schema."""
    path = f"{_CRDS}/{_PLURALS[kind]}"
    before = _set_interval(cluster, path, {"x-kubernetes-preserve-unknown-fields": True})
    try:
        yield
    finally:
        _set_interval(cluster, path, before)


def _set_interval(cluster: ControlPlane, path: str, schema: object) -> object:
    crd = cluster.client.get(path)
    [version] = crd["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    before = fields["interval"]
    fields["interval"] = schema
    cluster.client.request("PUT", path, crd)
    return before


def make_unreadable(story: Story, kind: str) -> None:
    def accepted() -> bool:
        story.respec(kind=kind, interval=5)
        return True

    story.becomes("the API server takes the schema", accepted)
    story.failed("app", "ValidationFailed", "spec.interval", kind=kind)


def test_a_source_that_cannot_be_read_can_be_deleted(story: Story) -> None:
    """Its artifacts go with it: all that is kept of it is named by its name."""
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    assert story.store is not None
    folder = story.store / "gitrepository" / story.namespace / "app"
    assert folder.is_dir()
    with old_schema(story.cluster, "GitRepository"):
        make_unreadable(story, "GitRepository")
        story.delete("GitRepository", "app")
        story.gone("GitRepository", "app")
    assert not folder.exists()


def test_a_kustomization_that_cannot_be_read_is_kept_until_it_can(story: Story) -> None:
    """What it applied is not forgotten in silence; once it is corrected, all goes with it."""
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    with old_schema(story.cluster, "Kustomization"):
        make_unreadable(story, "Kustomization")
        story.delete("Kustomization", "app")
        item = story.failed("app", "ValidationFailed", f"remove the finalizer {FINALIZER}")
        assert conditions(item)["Stalled"]["status"] == "True"
        assert story.find("ConfigMap", "a")
        story.respec(interval="1h")
        story.gone("Kustomization", "app")
    assert story.find("ConfigMap", "a") is None


@pytest.mark.parametrize("suspend", [False, True], ids=["corrected", "suspended"])
def test_a_kustomization_whose_inventory_cannot_be_read_is_kept(
    story: Story, cluster: ControlPlane, suspend: bool
) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    right = story.get("Kustomization", "app")["status"]["inventory"]
    path = f"{story.path('Kustomization', 'app')}/status"
    cluster.client.merge(path, {"status": {"inventory": {"entries": [{"id": "nonsense", "v": "v1"}]}}})
    story.delete("Kustomization", "app")
    story.failed("app", "ValidationFailed", f"remove the finalizer {FINALIZER}")
    assert story.find("ConfigMap", "a")
    if suspend:
        story.left |= {entry["id"] for entry in right["entries"]}
        story.respec(suspend=True)
    else:
        cluster.client.merge(path, {"status": {"inventory": right}})
        story.request("Kustomization", "app")
    story.gone("Kustomization", "app")
    assert bool(story.find("ConfigMap", "a")) is suspend


SUSPENDED = {
    "a Kustomization says what it said": ("Kustomization", True),
    "a source is not stalled any more": ("GitRepository", False),
}


@pytest.mark.parametrize(("kind", "stays"), SUSPENDED.values(), ids=SUSPENDED)
def test_a_stalled_object_is_suspended(story: Story, kind: str, stays: bool) -> None:
    """behaviour-kustomize.md 14, behaviour-source.md 1.1."""
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(**({"interval": "0s"} if kind == "GitRepository" else {}))
    if kind == "Kustomization":
        story.kustomization(interval="0s")
    before = conditions(story.failed("app", "ValidationFailed", kind=kind))
    generation = story.respec(kind=kind, suspend=True)
    item = story.handled(kind, "app", story.request(kind, "app"))
    after = conditions(item)
    assert after["Ready"] == before["Ready"]
    assert (item["status"]["observedGeneration"] == generation) is not stays
    assert ("Stalled" in after) is stays
