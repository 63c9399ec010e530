"""Whether an object is ready, told from the object alone. Pure.

The rules are kstatus': what all objects have in common comes first (deletion, generation, the conditions
Reconciling and Stalled), then what is known of a kind (`_RULES`), then the condition Ready; an object that
says nothing of the sort is ready. A Job is ready when it is complete, which is Flux's own rule.

Source: behaviour-kustomize.md 10, cli.md 5; kstatus, "The ready rules" of cli-utils.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from kustomize_controller.kustomization.health.verdict import CURRENT, Status, Verdict, failed, in_progress

# A pod that no node takes may only be waiting for the scheduler's next look.
SCHEDULE_WITHIN = timedelta(seconds=15)

T = TypeVar("T")


class NotUnderstood(Exception):
    """The object has a field of another type than the rules expect."""


class _Meta(msgspec.Struct, rename="camel"):
    generation: int | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: str | None = None


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None

    @property
    def why(self) -> str:
        return ": ".join(part for part in (self.reason, self.message) if part) or f"{self.type} {self.status}"


class _Observed(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None


class _Status(_Observed, rename="camel"):
    """What the rules read of a status; kinds without a rule have conditions at most."""

    conditions: list[_Condition] | None = None

    def condition(self, kind: str) -> _Condition | None:
        return next((each for each in self.conditions or () if each.type == kind), None)

    def says(self, kind: str, status: str) -> bool:
        return any(each.type == kind and each.status == status for each in self.conditions or ())


class _Object(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


def compute(body: bytes, group: str, kind: str, *, now: datetime) -> Verdict:
    """What the object `body`, as the API server sent it, says about itself.

    Raises:
        NotUnderstood: names the field.
    """
    try:
        seen = msgspec.json.decode(body, type=_Object)
        status = _part(seen.status, _Status)
        common = _common(seen, status, kind)
        if common is not None:
            return common
        rule = _RULES.get((group, kind))
        return rule(seen, now) if rule is not None else _by_ready(status)
    except msgspec.ValidationError as error:
        raise NotUnderstood(str(error)) from error


def behind(body: bytes) -> Verdict | None:
    """InProgress if its controller has not looked at the object's latest generation; else None.

    What some controllers write as a string counts as absent: the user's expressions say what ready means.

    Raises:
        NotUnderstood: names the field.
    """
    try:
        seen = msgspec.json.decode(body, type=_Object)
    except msgspec.ValidationError as error:
        raise NotUnderstood(str(error)) from error
    with contextlib.suppress(msgspec.ValidationError):
        return _unobserved(seen, _part(seen.status, _Observed), "object")
    return None


def is_static(group: str, kind: str) -> bool:
    """Whether objects of a kind are ready by being there: nothing in them says more."""
    return (group, kind) in _STATIC


def _common(seen: _Object, status: _Status, kind: str) -> Verdict | None:
    if seen.metadata.deletion_timestamp:
        return Verdict(Status.TERMINATING, "scheduled for deletion")
    unobserved = _unobserved(seen, status, kind)
    if unobserved is not None:
        return unobserved
    for condition in status.conditions or ():  # the first of the two that is True decides
        if condition.type == "Reconciling" and condition.status == "True":
            return in_progress(condition.why)
        if condition.type == "Stalled" and condition.status == "True":
            return failed(condition.why)
    return None


def _unobserved(seen: _Object, status: _Observed, kind: str) -> Verdict | None:
    generation, observed = seen.metadata.generation, status.observed_generation
    if generation is None or observed is None or generation == observed:
        return None
    return in_progress(f"{kind} generation is {generation}, but latest observed generation is {observed}")


def _by_ready(status: _Status) -> Verdict:
    ready = status.condition("Ready")
    return in_progress(ready.why) if ready is not None and ready.status in ("False", "Unknown") else CURRENT


# --- what is known of a kind ---


class _Replicas(_Status, rename="camel"):
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_replicas: int = 0
    fully_labeled_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""


class _RollingUpdate(msgspec.Struct):
    partition: int | None = None


class _UpdateStrategy(msgspec.Struct, rename="camel"):
    type: str = ""
    rolling_update: _RollingUpdate | None = None


class _Workload(msgspec.Struct, rename="camel"):
    replicas: int | None = None
    progress_deadline_seconds: int | None = None
    update_strategy: _UpdateStrategy | None = None

    @property
    def wanted(self) -> int:
        return 1 if self.replicas is None else self.replicas


_NO_DEADLINE = 2**31 - 1  # the Deployment controller's word for "none"; it sets no condition Progressing then


def _deployment(seen: _Object, _: datetime) -> Verdict:
    spec, status = _part(seen.spec, _Workload), _part(seen.status, _Replicas)
    deadline_s = spec.progress_deadline_seconds
    is_rolled_out = deadline_s is None or deadline_s == _NO_DEADLINE
    for condition in status.conditions or ():
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            return failed("Progress deadline exceeded")
        if condition.type == "Progressing" and condition.status == "True":
            is_rolled_out |= condition.reason == "NewReplicaSetAvailable"
    wanted = spec.wanted
    if wanted > status.replicas:
        return in_progress(f"Replicas: {status.replicas}/{wanted}")
    if wanted > status.updated_replicas:
        return in_progress(f"Updated: {status.updated_replicas}/{wanted}")
    if status.replicas > wanted:
        return in_progress(f"Pending termination: {status.replicas - wanted}")
    if status.updated_replicas > status.available_replicas:
        return in_progress(f"Available: {status.available_replicas}/{status.updated_replicas}")
    if wanted > status.ready_replicas:
        return in_progress(f"Ready: {status.ready_replicas}/{wanted}")
    if not is_rolled_out:
        return in_progress("ReplicaSet not Available")
    if not status.says("Available", "True"):
        return in_progress("Deployment not Available")
    return CURRENT


def _stateful_set(seen: _Object, _: datetime) -> Verdict:
    spec, status = _part(seen.spec, _Workload), _part(seen.status, _Replicas)
    strategy = spec.update_strategy or _UpdateStrategy()
    if strategy.type == "OnDelete":
        return CURRENT  # a person rolls it out
    wanted = spec.wanted
    if wanted > status.replicas:
        return in_progress(f"Replicas: {status.replicas}/{wanted}")
    if wanted > status.ready_replicas:
        return in_progress(f"Ready: {status.ready_replicas}/{wanted}")
    if status.replicas > wanted:
        return in_progress(f"Pending termination: {status.replicas - wanted}")
    partition = strategy.rolling_update.partition if strategy.rolling_update is not None else None
    if partition is not None:
        return _partitioned(status, wanted - partition)
    if wanted > status.current_replicas:
        return in_progress(f"Current: {status.current_replicas}/{wanted}")
    if status.current_revision != status.update_revision:
        return in_progress("Waiting for updated revision to match current")
    return CURRENT


def _partitioned(status: _Replicas, to_update: int) -> Verdict:
    if status.updated_replicas < to_update:
        return in_progress(f"Updated: {status.updated_replicas}/{to_update}")
    return CURRENT


def _replica_set(seen: _Object, _: datetime) -> Verdict:
    spec, status = _part(seen.spec, _Workload), _part(seen.status, _Replicas)
    failure = status.condition("ReplicaFailure")
    if failure is not None and failure.status == "True":
        return in_progress(failure.why)
    wanted = spec.wanted
    if wanted > status.fully_labeled_replicas:
        return in_progress(f"Labelled: {status.fully_labeled_replicas}/{wanted}")
    if wanted > status.available_replicas:
        return in_progress(f"Available: {status.available_replicas}/{wanted}")
    if wanted > status.ready_replicas:
        return in_progress(f"Ready: {status.ready_replicas}/{wanted}")
    if status.replicas > wanted:
        return in_progress(f"Pending termination: {status.replicas - wanted}")
    return CURRENT


class _DaemonStatus(_Status, rename="camel"):
    desired_number_scheduled: int | None = None
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_ready: int = 0


def _daemon_set(seen: _Object, _: datetime) -> Verdict:
    status = _part(seen.status, _DaemonStatus)
    if seen.metadata.generation is None or status.observed_generation is None:
        return in_progress("its controller has not looked at it yet")
    wanted = status.desired_number_scheduled
    if wanted is None:
        return in_progress("Missing .status.desiredNumberScheduled")
    for what, count in (
        ("Current", status.current_number_scheduled),
        ("Updated", status.updated_number_scheduled),
        ("Available", status.number_available),
        ("Ready", status.number_ready),
    ):
        if wanted > count:
            return in_progress(f"{what}: {count}/{wanted}")
    return CURRENT


class _Waiting(msgspec.Struct):
    reason: str = ""


class _ContainerState(msgspec.Struct):
    waiting: _Waiting | None = None


class _Container(msgspec.Struct):
    name: str = ""
    state: _ContainerState = msgspec.field(default_factory=_ContainerState)


class _PodStatus(_Status, rename="camel"):
    phase: str = ""
    container_statuses: list[_Container] | None = None


def _pod(seen: _Object, now: datetime) -> Verdict:
    status = _part(seen.status, _PodStatus)
    match status.phase:
        case "Succeeded":
            return CURRENT
        case "Failed":
            return failed("Pod has completed, but not successfully")
        case "Running":
            return _running_pod(status)
        case "Pending":
            return _pending_pod(seen, status, now)
        case "":
            return in_progress("Pod phase not available")
    raise NotUnderstood(f"unknown phase {status.phase}")


def _running_pod(status: _PodStatus) -> Verdict:
    if status.says("Ready", "True"):
        return CURRENT
    crashing = [
        one.name
        for one in status.container_statuses or ()
        if one.state.waiting is not None and one.state.waiting.reason == "CrashLoopBackOff"
    ]
    if crashing:
        return failed(f"Containers in CrashLoop state: {','.join(crashing)}")
    return in_progress("Pod is running but is not Ready")


def _pending_pod(seen: _Object, status: _PodStatus, now: datetime) -> Verdict:
    scheduled = status.condition("PodScheduled")
    if scheduled is None or scheduled.status != "False" or scheduled.reason != "Unschedulable":
        return in_progress("Pod is in the Pending phase")
    created = seen.metadata.creation_timestamp
    if created is None or now - created < SCHEDULE_WITHIN:
        return in_progress("Pod has not been scheduled")
    return failed("Pod could not be scheduled")


class _Phase(msgspec.Struct):
    phase: str = ""


def _volume_claim(seen: _Object, _: datetime) -> Verdict:
    phase = _part(seen.status, _Phase).phase
    return CURRENT if phase == "Bound" else in_progress(f"PVC is not Bound. phase: {phase or 'unknown'}")


class _ServiceSpec(msgspec.Struct):
    type: str = ""
    cluster_ip: str = msgspec.field(default="", name="clusterIP")


def _service(seen: _Object, _: datetime) -> Verdict:
    spec = _part(seen.spec, _ServiceSpec)
    if spec.type == "LoadBalancer" and not spec.cluster_ip:
        return in_progress("ClusterIP not set. Service type: LoadBalancer")
    return CURRENT


def _job(seen: _Object, _: datetime) -> Verdict:
    status = _part(seen.status, _Status)
    for condition in status.conditions or ():
        if condition.status == "True" and condition.type in ("Complete", "Suspended"):
            return CURRENT
        if condition.status == "True" and condition.type == "Failed":
            return failed(f"Job Failed. {condition.why}")
    return in_progress("Job in progress")


def _always(_seen: _Object, _: datetime) -> Verdict:
    return CURRENT


def _definition(seen: _Object, _: datetime) -> Verdict:
    for condition in _part(seen.status, _Status).conditions or ():
        if condition.type == "NamesAccepted" and condition.status == "False":
            return failed(condition.why)
        if condition.type == "Established" and condition.status == "True":
            return CURRENT
        if (
            condition.type == "Established"
            and condition.status == "False"
            and condition.reason != "Installing"
        ):
            return failed(condition.why)
    return in_progress("Install in progress")


_RULES: dict[tuple[str, str], Callable[[_Object, datetime], Verdict]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _volume_claim,
    ("", "Service"): _service,
    ("", "ConfigMap"): _always,
    ("", "Secret"): _always,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _always,
    ("policy", "PodDisruptionBudget"): _always,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}

# Kinds of Kubernetes itself without a status that the rules read: one that is known to be there is ready.
_STATIC = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("", "LimitRange"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("networking.k8s.io", "IngressClass"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "StorageClass"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    }
)


def _part(raw: msgspec.Raw, kind: type[T]) -> T:
    text = bytes(raw)
    return msgspec.json.decode(text if text != b"null" else b"{}", type=kind)
