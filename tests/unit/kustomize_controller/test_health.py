"""What a Kustomization waits for, and what the verdicts come to."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from kustomize_controller.kustomization.decide import Desired
from kustomize_controller.kustomization.health import report
from kustomize_controller.kustomization.health.conclude import Healthy, Pending, Unhealthy, conclude
from kustomize_controller.kustomization.health.targets import Target, targets
from kustomize_controller.kustomization.health.verdict import CURRENT, Status, Verdict, failed, in_progress
from shared.api.artifact import Artifact
from shared.api.kinds import KUSTOMIZATION, decode
from shared.api.kustomization import HealthCheckExpr, Kustomization
from shared.api.objects import ObjectId
from shared.runtime import conditions
from shared.runtime.outcome import Mark

A = ObjectId("apps", "Deployment", "team", "a")
B = ObjectId("", "ConfigMap", "team", "b")
SELF = ObjectId("kustomize.toolkit.fluxcd.io", "Kustomization", "team", "app")
EXPR = HealthCheckExpr(api_version="apps/v1beta1", kind="Deployment", current="true")


def kustomization(**spec: Any) -> Kustomization:
    ref = {"kind": "GitRepository", "name": "app"}
    raw = {
        "metadata": {"name": "app", "namespace": "team"},
        "spec": {"interval": "1m", "prune": True, "sourceRef": ref, **spec},
    }
    return decode(KUSTOMIZATION, raw)


DESIRED = tuple(Desired(id=id_, version="v1", digest="d") for id_ in (B, A, SELF))
TARGET_A, TARGET_B = Target(id=A, version="v1", is_known=True), Target(id=B, version="v1", is_known=True)
STRANGER = Target(id=ObjectId("apps", "Deployment", "other", "x"), version="v1")

TARGETS: dict[str, tuple[dict[str, Any], tuple[Target, ...]]] = {
    "nothing is waited for": ({}, ()),
    "all that was applied, but itself": ({"wait": True}, (TARGET_B, TARGET_A)),
    "with wait the list is not looked at": (
        {"wait": True, "healthChecks": [{"kind": "Deployment", "name": "x", "namespace": "other"}]},
        (TARGET_B, TARGET_A),
    ),
    "an object of somebody else, by the default version": (
        {"healthChecks": [{"kind": "Deployment", "name": "x", "namespace": "other"}]},
        (STRANGER,),
    ),
    "one of ours, which the watch shows": (
        {"healthChecks": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "namespace": "team"}]},
        (TARGET_B,),
    ),
    "itself is never waited for": (
        {
            "healthChecks": [
                {
                    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                    "kind": "Kustomization",
                    "name": "app",
                    "namespace": "team",
                }
            ]
        },
        (),
    ),
    "expressions go by group and kind": (
        {
            "wait": True,
            "healthCheckExprs": [{"apiVersion": "apps/v1beta1", "kind": "Deployment", "current": "true"}],
        },
        (TARGET_B, replace(TARGET_A, expressions=EXPR)),
    ),
}


@pytest.mark.parametrize(("spec", "expected"), TARGETS.values(), ids=TARGETS)
def test_targets(spec: dict[str, Any], expected: tuple[Target, ...]) -> None:
    assert targets(kustomization(**spec), DESIRED, applied={A, B, SELF}) == expected


def test_what_was_passed_by_is_not_waited_for() -> None:
    assert targets(kustomization(wait=True), DESIRED, applied={A}) == (TARGET_A,)


BUSY, GONE = in_progress("Replicas: 0/2"), Verdict(Status.NOT_FOUND)
BROKEN = failed("Progress deadline exceeded")

CONCLUSIONS: dict[str, tuple[Callable[[], object], object]] = {
    "all are ready": (lambda: conclude({A: CURRENT, B: CURRENT}, timed_out=False), Healthy()),
    "all are ready at the last moment": (lambda: conclude({A: CURRENT}, timed_out=True), Healthy()),
    "one is on its way": (lambda: conclude({A: BUSY, B: CURRENT}, timed_out=False), Pending()),
    "one is missing": (lambda: conclude({A: GONE}, timed_out=False), Pending()),
    "one was not looked at": (lambda: conclude({A: None}, timed_out=False), Pending()),
    "time is up": (
        lambda: conclude({B: GONE, A: BUSY}, timed_out=True),
        Unhealthy(
            "timeout waiting for: [ConfigMap/team/b status: 'NotFound', "
            "Deployment/team/a status: 'InProgress': Replicas: 0/2]"
        ),
    ),
    "time is up before one was looked at": (
        lambda: conclude({A: None}, timed_out=True),
        Unhealthy("timeout waiting for: [can't determine status for Deployment/team/a]"),
    ),
    "one has failed": (
        lambda: conclude({A: BROKEN, B: GONE}, timed_out=False),
        Unhealthy(
            "failed early due to stalled resources: "
            "[Deployment/team/a status: 'Failed': Progress deadline exceeded]"
        ),
    ),
    "one has failed, and patience is asked for": (
        lambda: conclude({A: BROKEN, B: GONE}, timed_out=False, fail_fast=False),
        Pending(),
    ),
    "one has failed, and nothing else is awaited": (
        lambda: conclude({A: BROKEN, B: CURRENT}, timed_out=False, fail_fast=False),
        Unhealthy(
            "failed early due to stalled resources: "
            "[Deployment/team/a status: 'Failed': Progress deadline exceeded]"
        ),
    ),
}


@pytest.mark.parametrize(("ask", "expected"), CONCLUSIONS.values(), ids=CONCLUSIONS)
def test_conclude(ask: Callable[[], object], expected: object) -> None:
    assert ask() == expected


WHY = "timeout waiting for: [Widget/team/w status: 'Failed': https://me:secret@git.test/x?token=1 is gone]"
FAILURES = {
    "a plain one": "timeout waiting for: [Widget/team/w status: 'NotFound']",
    "one with something that is masked": WHY,
    "one that is cut": "x" * 40_000,
}


@pytest.mark.parametrize("why", FAILURES.values(), ids=FAILURES)
def test_the_same_failure_is_said_in_the_same_words(why: str) -> None:
    artifact = Artifact(path="a", url="", revision="main@sha1:1", digest="sha256:1", last_update_time="t")
    obj = kustomization()
    first = report.failure(obj, artifact, 30.0, why)
    ready = Mark("Ready", "False", report.FAILED, first)
    written = conditions.merge(
        (), (ready, report.failed(why)), (), generation=obj.metadata.generation, now="", namespace="team"
    )
    status = msgspec.structs.replace(
        obj.status, conditions=written, last_attempted_revision=artifact.revision
    )
    obj = msgspec.structs.replace(obj, status=status)
    again = report.failure(obj, artifact, 31.0, why)
    assert conditions.shown(again, "team") == conditions.shown(first, "team")
    assert report.failure(obj, artifact, 31.0, "another") == "health check failed after 31s: another"


def test_a_message_has_an_end() -> None:
    verdicts = {ObjectId("", "Pod", "team", f"p{n}"): in_progress("x" * 1000) for n in range(100)}
    told = conclude(verdicts, timed_out=True)
    assert isinstance(told, Unhealthy)
    assert "and 80 more" in told.message
    assert len(told.message) < 6000
