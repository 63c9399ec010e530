"""The invariants on a real cluster: they find an orphan of any kind, and what a controller should not do."""

import pytest

from lab.controlplane import ControlPlane
from tests.harness.invariants import Evidence, InvariantsViolated, check_invariants, listable
from tests.harness.trail import KUSTOMIZE_USER, Trail

OWNED = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: forgotten
  labels:
    kustomize.toolkit.fluxcd.io/name: app
    kustomize.toolkit.fluxcd.io/namespace: {namespace}
"""


def test_an_orphan_is_found(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    check_invariants(cluster.client, namespace=namespace)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=OWNED.format(namespace=namespace))
    with pytest.raises(
        InvariantsViolated, match=f"ConfigMap/{namespace}/forgotten is labelled as {namespace}/app's"
    ):
        check_invariants(cluster.client, namespace=namespace)
    left = frozenset({f"{namespace}_forgotten__ConfigMap"})
    check_invariants(cluster.client, namespace=namespace, left=left)
    cluster.kubectl("delete", "configmap", "forgotten", "-n", namespace)


def test_what_a_controller_deletes_must_be_in_an_inventory(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    kubeconfig = cluster.user_kubeconfig(KUSTOMIZE_USER, ["system:masters"])
    evidence = Evidence(trail=Trail(cluster))
    for name in ("by-hand", "by-us"):
        cluster.kubectl("create", "configmap", name, "-n", namespace)
    cluster.kubectl("delete", "configmap", "by-hand", "-n", namespace)
    check_invariants(cluster.client, namespace=namespace, evidence=evidence)
    cluster.kubectl("delete", "configmap", "by-us", "-n", namespace, f"--kubeconfig={kubeconfig}")
    with pytest.raises(InvariantsViolated, match=f"deleted what no inventory had: .* {namespace}/by-us"):
        check_invariants(cluster.client, namespace=namespace, evidence=evidence)


def test_every_kind_is_listed_once(cluster: ControlPlane) -> None:
    kinds = [(api_version.rpartition("/")[0], kind) for api_version, kind, _ in listable(cluster.client)]
    assert {
        ("", "ConfigMap"),
        ("apps", "Deployment"),
        ("kustomize.toolkit.fluxcd.io", "Kustomization"),
    } <= set(kinds)
    assert len(kinds) == len(set(kinds))
