"""Kustomizations of two shards: what the other one's controller reconciles is in no watch of ours."""

from tests.faults.lane import Case, Lane
from tests.faults.test_deleted_while_applying import FIVE
from tests.harness.history import READS
from tests.harness.wait import eventually


def test_a_dependency_of_another_shard(lane: Lane) -> None:
    """behaviour-kustomize.md 3: it is read uncached. What is in our watch is not asked for."""
    case = lane.case()
    case.publish(FIVE)
    case.await_artifact()
    other = case.path.rpartition("/")[0] + "/other"
    spec = {
        "interval": "1h",
        "prune": True,
        "path": "./elsewhere",
        "sourceRef": {"kind": "GitRepository", "name": "another"},
    }
    made = case.client.apply(
        other,
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "other"},
            "spec": spec,
        },
    )
    case.create(dependsOn=[{"name": "other"}])
    told = f"dependency '{case.token}/other' is not ready"
    eventually(lambda: case.ready().get("message") == told, 20, "it waits for the other one")
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": "by the other controller",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    generation = made["metadata"]["generation"]
    case.client.merge(
        f"{other}/status", {"status": {"observedGeneration": generation, "conditions": [ready]}}
    )
    ask(case)
    case.await_converged()
    assert asked_for(lane, "other") >= 1
    assert asked_for(lane, "app") == 0
    case.leave()
    case.client.request("DELETE", other)


def ask(case: Case) -> None:
    """No watch tells that the other one is ready; instead of the timer's half minute, a request."""
    case.client.merge(case.path, {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}})


def asked_for(lane: Lane, name: str) -> int:
    exchanges = lane.proxy.history.all()
    return sum(
        one.target.resource == "kustomizations" and one.target.name == name and one.target.verb in READS
        for one in exchanges
    )
