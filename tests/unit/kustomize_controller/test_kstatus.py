"""When an object is ready: whole objects, as the API server sends them, beside the verdict."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kustomize_controller.kustomization.health import kstatus
from kustomize_controller.kustomization.health.verdict import Status

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CURRENT, IN_PROGRESS, FAILED = Status.CURRENT, Status.IN_PROGRESS, Status.FAILED


def condition(type_: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def thing(status: Any = None, spec: Any = None, generation: int = 1, **meta: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"metadata": {"name": "x", "generation": generation, **meta}}
    if spec is not None:
        body["spec"] = spec
    if status is not None:
        body["status"] = status
    return body


AVAILABLE = [condition("Available", "True"), condition("Progressing", "True", "NewReplicaSetAvailable")]
ROLLED_OUT = {
    "observedGeneration": 1,
    "replicas": 2,
    "updatedReplicas": 2,
    "readyReplicas": 2,
    "availableReplicas": 2,
    "conditions": AVAILABLE,
}
DEADLINE = {"replicas": 2, "progressDeadlineSeconds": 600}
SET = {"replicas": 2, "updateStrategy": {"type": "RollingUpdate"}}
SET_DONE = {
    "observedGeneration": 1,
    "replicas": 2,
    "readyReplicas": 2,
    "currentReplicas": 2,
    "updatedReplicas": 2,
    "currentRevision": "a",
    "updateRevision": "a",
}
DAEMONS = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 2,
    "currentNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberAvailable": 2,
    "numberReady": 2,
}
COPIES = {"replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
UNSCHEDULABLE = {"phase": "Pending", "conditions": [condition("PodScheduled", "False", "Unschedulable")]}
CRASHING = {
    "phase": "Running",
    "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
}


@dataclass(frozen=True)
class Case:
    kind: str
    body: dict[str, Any]
    status: Status
    why: str = ""


CASES = {
    # what all objects have in common
    "nothing known of it": Case("Widget", thing(), CURRENT),
    "a status of null": Case("Widget", {"metadata": {"name": "x"}, "status": None}, CURRENT),
    "being deleted": Case(
        "Deployment.apps", thing(ROLLED_OUT, deletionTimestamp="2026-03-01T11:00:00Z"), Status.TERMINATING
    ),
    "its controller is behind": Case(
        "Widget", thing({"observedGeneration": 1}, generation=2), IN_PROGRESS, "generation is 2"
    ),
    "never looked at": Case("Kustomization", thing({"observedGeneration": -1}), IN_PROGRESS),
    "reconciling": Case(
        "Kustomization",
        thing({"conditions": [condition("Reconciling", "True", "Progressing", "at it")]}),
        IN_PROGRESS,
        "Progressing: at it",
    ),
    "stalled": Case(
        "Kustomization", thing({"conditions": [condition("Stalled", "True", "X", "no")]}), FAILED, "X: no"
    ),
    "the first of reconciling and stalled counts": Case(
        "Widget",
        thing({"conditions": [condition("Reconciling", "True"), condition("Stalled", "True")]}),
        IN_PROGRESS,
    ),
    "not stalled any more": Case("Widget", thing({"conditions": [condition("Stalled", "False")]}), CURRENT),
    "ready": Case("Widget", thing({"conditions": [condition("Ready", "True")]}), CURRENT),
    "not ready is never failed": Case(
        "Widget",
        thing({"conditions": [condition("Ready", "False", "Broken", "no disk")]}),
        IN_PROGRESS,
        "Broken: no disk",
    ),
    "ready unknown": Case("Widget", thing({"conditions": [condition("Ready", "Unknown")]}), IN_PROGRESS),
    "conditions of other types": Case(
        "Widget", thing({"conditions": [condition("Happy", "False")]}), CURRENT
    ),
    # Deployment
    "a deployment nobody acted on": Case(
        "Deployment.apps", thing(spec=DEADLINE), IN_PROGRESS, "Replicas: 0/2"
    ),
    "a deployment rolled out": Case("Deployment.apps", thing(ROLLED_OUT, DEADLINE), CURRENT),
    "a deployment of none": Case(
        "Deployment.apps",
        thing({"observedGeneration": 1, "conditions": AVAILABLE}, {"replicas": 0}),
        CURRENT,
    ),
    "replicas by default": Case("Deployment.apps", thing({**ROLLED_OUT, "replicas": 1}), CURRENT),
    "old pods are to be replaced": Case(
        "Deployment.apps", thing({**ROLLED_OUT, "updatedReplicas": 1}, DEADLINE), IN_PROGRESS, "Updated: 1/2"
    ),
    "old pods are to go": Case(
        "Deployment.apps",
        thing({**ROLLED_OUT, "replicas": 3}, DEADLINE),
        IN_PROGRESS,
        "Pending termination: 1",
    ),
    "pods are not available": Case(
        "Deployment.apps",
        thing({**ROLLED_OUT, "availableReplicas": 0}, DEADLINE),
        IN_PROGRESS,
        "Available: 0/2",
    ),
    "pods are not ready": Case(
        "Deployment.apps", thing({**ROLLED_OUT, "readyReplicas": 1}, DEADLINE), IN_PROGRESS, "Ready: 1/2"
    ),
    "a rollout that took too long": Case(
        "Deployment.apps",
        thing({**ROLLED_OUT, "conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded")]}),
        FAILED,
        "Progress deadline exceeded",
    ),
    "the new replica set is not there": Case(
        "Deployment.apps",
        thing({**ROLLED_OUT, "conditions": [condition("Available", "True")]}, DEADLINE),
        IN_PROGRESS,
        "ReplicaSet",
    ),
    "no deadline, no condition of progress": Case(
        "Deployment.apps",
        thing({**ROLLED_OUT, "conditions": [condition("Available", "True")]}, {"replicas": 2}),
        CURRENT,
    ),
    "a deployment that is unavailable": Case(
        "Deployment.apps",
        thing(
            {**ROLLED_OUT, "conditions": [condition("Progressing", "True", "NewReplicaSetAvailable")]},
            DEADLINE,
        ),
        IN_PROGRESS,
        "Deployment not Available",
    ),
    # the other workloads
    "a stateful set": Case("StatefulSet.apps", thing(SET_DONE, SET), CURRENT),
    "a stateful set that a person rolls out": Case(
        "StatefulSet.apps", thing({}, {"updateStrategy": {"type": "OnDelete"}}), CURRENT
    ),
    "a stateful set on its way": Case(
        "StatefulSet.apps", thing({**SET_DONE, "readyReplicas": 1}, SET), IN_PROGRESS, "Ready: 1/2"
    ),
    "a stateful set between revisions": Case(
        "StatefulSet.apps", thing({**SET_DONE, "updateRevision": "b"}, SET), IN_PROGRESS, "revision"
    ),
    "a part of a stateful set": Case(
        "StatefulSet.apps",
        thing(
            {**SET_DONE, "updatedReplicas": 1, "updateRevision": "b"},
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
        ),
        CURRENT,
    ),
    "a part of a stateful set on its way": Case(
        "StatefulSet.apps",
        thing(
            {**SET_DONE, "updatedReplicas": 0},
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 0}}},
        ),
        IN_PROGRESS,
        "Updated: 0/2",
    ),
    "a replica set": Case("ReplicaSet.apps", thing(COPIES, {"replicas": 2}), CURRENT),
    "a replica set that cannot make pods": Case(
        "ReplicaSet.apps",
        thing({**COPIES, "conditions": [condition("ReplicaFailure", "True", "Quota")]}, {"replicas": 2}),
        IN_PROGRESS,
        "Quota",
    ),
    "a replica set on its way": Case(
        "ReplicaSet.apps",
        thing({**COPIES, "availableReplicas": 1}, {"replicas": 2}),
        IN_PROGRESS,
        "Available: 1/2",
    ),
    "a daemon set": Case("DaemonSet.apps", thing(DAEMONS), CURRENT),
    "a daemon set nobody acted on": Case("DaemonSet.apps", thing({}), IN_PROGRESS),
    "a daemon set on its way": Case(
        "DaemonSet.apps", thing({**DAEMONS, "numberReady": 1}), IN_PROGRESS, "Ready: 1/2"
    ),
    # pods
    "a pod nobody saw": Case("Pod", thing({}), IN_PROGRESS),
    "a pod that is ready": Case(
        "Pod", thing({"phase": "Running", "conditions": [condition("Ready", "True")]}), CURRENT
    ),
    "a pod that starts": Case("Pod", thing({"phase": "Running"}), IN_PROGRESS),
    "a pod that crashes": Case("Pod", thing(CRASHING), FAILED, "app"),
    "a pod that is done": Case("Pod", thing({"phase": "Succeeded"}), CURRENT),
    "a pod that failed": Case("Pod", thing({"phase": "Failed"}), FAILED),
    "a pod that waits": Case("Pod", thing({"phase": "Pending"}), IN_PROGRESS),
    "a pod no node takes, so far": Case(
        "Pod", thing(UNSCHEDULABLE, creationTimestamp="2026-03-01T11:59:50Z"), IN_PROGRESS
    ),
    "a pod no node takes": Case(
        "Pod", thing(UNSCHEDULABLE, creationTimestamp="2026-03-01T11:59:00Z"), FAILED
    ),
    # the rest
    "a claim that is bound": Case("PersistentVolumeClaim", thing({"phase": "Bound"}), CURRENT),
    "a claim that is not": Case("PersistentVolumeClaim", thing({"phase": "Pending"}), IN_PROGRESS, "Pending"),
    "a service": Case("Service", thing({}, {"type": "ClusterIP"}), CURRENT),
    "a load balancer needs no ingress": Case(
        "Service", thing({"loadBalancer": {}}, {"type": "LoadBalancer", "clusterIP": "10.0.0.7"}), CURRENT
    ),
    "a load balancer without an address": Case("Service", thing({}, {"type": "LoadBalancer"}), IN_PROGRESS),
    "a config map": Case("ConfigMap", thing(), CURRENT),
    "a job that was started": Case(
        "Job.batch", thing({"startTime": "2026-03-01T11:59:00Z", "active": 1}), IN_PROGRESS
    ),
    "a job that is complete": Case(
        "Job.batch", thing({"conditions": [condition("Complete", "True")]}), CURRENT
    ),
    "a job that is suspended": Case(
        "Job.batch", thing({"conditions": [condition("Suspended", "True")]}), CURRENT
    ),
    "a job that failed": Case(
        "Job.batch",
        thing({"conditions": [condition("Failed", "True", "BackoffLimitExceeded")]}),
        FAILED,
        "Backoff",
    ),
    "a cron job": Case("CronJob.batch", thing({}), CURRENT),
    "a disruption budget": Case("PodDisruptionBudget.policy", thing({"observedGeneration": 1}), CURRENT),
    "a definition that is served": Case(
        "CustomResourceDefinition.apiextensions.k8s.io",
        thing({"conditions": [condition("Established", "True")]}),
        CURRENT,
    ),
    "a definition that was just made": Case(
        "CustomResourceDefinition.apiextensions.k8s.io",
        thing({"conditions": [condition("Established", "False", "Installing")]}),
        IN_PROGRESS,
    ),
    "a definition whose names are taken": Case(
        "CustomResourceDefinition.apiextensions.k8s.io",
        thing({"conditions": [condition("NamesAccepted", "False", "ListKindConflict", "taken")]}),
        FAILED,
        "taken",
    ),
    "the same name in another group": Case("Deployment.example.test", thing({}), CURRENT),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_compute(case: Case) -> None:
    kind, _, group = case.kind.partition(".")
    verdict = kstatus.compute(msgspec.json.encode(case.body), group, kind, now=NOW)
    assert (verdict.status, case.why in verdict.why) == (case.status, True), verdict


NOT_UNDERSTOOD = {
    "a status that is a word": thing("fine"),
    "conditions that are a word": thing({"conditions": "fine"}),
    "a generation in words": thing({"observedGeneration": "one"}),
}


@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_cannot_be_understood_is_said(body: dict[str, Any]) -> None:
    with pytest.raises(kstatus.NotUnderstood):
        kstatus.compute(msgspec.json.encode(body), "example.test", "Widget", now=NOW)


def test_expressions_are_asked_only_once_the_generation_is_observed() -> None:
    assert kstatus.behind(msgspec.json.encode(thing({"observedGeneration": 1}, generation=2))) is not None
    assert kstatus.behind(msgspec.json.encode(thing({"observedGeneration": 2}, generation=2))) is None
    assert kstatus.behind(msgspec.json.encode(thing({}))) is None


@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_expressions_are_asked_about_any_status(body: dict[str, Any]) -> None:
    assert kstatus.behind(msgspec.json.encode(body)) is None
