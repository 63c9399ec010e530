"""The sweep for orphans finds a forgotten object of any kind on a real cluster."""

import pytest

from lab.controlplane import ControlPlane
from tests.harness.invariants import InvariantsViolated, check_invariants, listable

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


def test_every_kind_is_listed_once(cluster: ControlPlane) -> None:
    kinds = [(api_version.rpartition("/")[0], kind) for api_version, kind, _ in listable(cluster.client)]
    assert {
        ("", "ConfigMap"),
        ("apps", "Deployment"),
        ("kustomize.toolkit.fluxcd.io", "Kustomization"),
    } <= set(kinds)
    assert len(kinds) == len(set(kinds))
