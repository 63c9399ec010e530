"""Waiting for health, on a control plane that runs Deployments (on a node that kwok plays).

One worker for all of it: a wait that held a worker would hold up every other Kustomization here.
"""

import re
from typing import Any

import pytest

from lab.controlplane import ControlPlane
from tests.harness.audit import Audit, Entry
from tests.harness.manifests import Manifest, config_map, deployment, job, secret, widget
from tests.harness.story import Story, conditions
from tests.harness.wait import eventually
from tests.integration.conftest import KUSTOMIZE_USER, Pair

FLAGS = ["--concurrent=1"]
PROGRESSING = ("Unknown", "Progressing")


@pytest.fixture(scope="module")
def cluster(cluster_full: ControlPlane) -> ControlPlane:
    return cluster_full


def never_ready(name: str, namespace: str, **spec: Any) -> Manifest:
    """A Deployment whose pods no node takes."""
    made = deployment(name, namespace)
    made["spec"]["template"]["spec"]["nodeSelector"] = {"no": "node"}
    made["spec"].update(spec)
    return made


def definition(group: str) -> Manifest:
    """Of a Widget with a status that a test writes."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
    }
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class Widgets:
    """A kind of the story's own, and what its controller would write."""

    def __init__(self, story: Story) -> None:
        self.group = f"{story.namespace}.test"
        self.api_version = f"{self.group}/v1"
        self._story = story

    def path(self, name: str = "w") -> str:
        return f"/apis/{self.api_version}/namespaces/{self._story.namespace}/widgets/{name}"

    def manifest(self, name: str = "w") -> Manifest:
        return widget(name, self._story.namespace, group=self.group)

    def files(self, *names: str) -> dict[str, list[Manifest]]:
        return {"app/w.yaml": [definition(self.group), *(self.manifest(name) for name in names or ("w",))]}

    def says(self, name: str = "w", **status: Any) -> None:
        client = self._story.cluster.client
        self._story.becomes(f"widget {name} is there", lambda: client.find(self.path(name)))
        client.merge(f"{self.path(name)}/status", {"status": status})

    def begin(self, *names: str, **status: Any) -> str:
        """Have them in the cluster with this status, by a Kustomization that does not wait; gives the commit.

        A custom resource that says nothing is ready, so a wait that began with it would be over at once.
        """
        commit = self._story.start(self.files(*names))
        self.says(**status)
        return commit


def ready(status: str, type_: str = "Ready") -> dict[str, Any]:
    """A status with one condition."""
    return {"conditions": [{"type": type_, "status": status, "reason": "Said", "message": "so it is"}]}


STALLED = ready("True", "Stalled")


@pytest.fixture
def widgets(story: Story) -> Widgets:
    return Widgets(story)


def waits(story: Story, name: str = "app") -> dict[str, Any]:
    """Wait until the status tells of a wait for health; gives the object."""

    def seen() -> dict[str, Any]:
        item = story.get("Kustomization", name)
        healthy = conditions(item).get("Healthy", {})
        current = healthy.get("observedGeneration") == item["metadata"]["generation"]
        assert current, item
        assert (healthy["status"], healthy["reason"]) == PROGRESSING, item
        return item

    return eventually(seen, 20.0, f"Kustomization {name} waits for health")


def told_warnings(story: Story, name: str = "app") -> list[str]:
    return [event["message"] for event in story.events(name) if event["type"] == "Warning"]


# --- what is waited for ---


def test_a_job_that_goes_as_soon_as_it_is_done(story: Story, audit: Audit) -> None:
    audit.restart()
    story.start({"app/a.yaml": [job("once", story.namespace, ttl=0)]}, wait=True)
    story.gone("Job", "once")
    story.ready("app", story.push({"app/b.yaml": [config_map("b", story.namespace)]}))
    applied = [entry for entry in audit.entries([KUSTOMIZE_USER]) if entry.resource == "jobs"]
    assert [entry.name for entry in applied if entry.is_write] == ["once"]


def test_a_kustomization_is_ready_once_its_deployment_is(story: Story) -> None:
    commit = story.push(
        {"app/a.yaml": [config_map("a", story.namespace), deployment("web", story.namespace)]}
    )
    story.source()
    story.kustomization(wait=True)
    item = story.ready("app", commit)
    assert story.get("Deployment", "web")["status"].get("readyReplicas") == 2
    healthy = conditions(item)["Healthy"]
    assert (healthy["status"], healthy["reason"]) == ("True", "Succeeded")
    assert re.fullmatch(r"Health check passed in [0-9a-zµ.]+", healthy["message"])
    told = story.told("app", "Health check passed in ")
    assert (told["type"], told["reason"]) == ("Normal", "Progressing")
    story.told("app", "Reconciliation finished in ")
    assert "Reconciling" not in conditions(item)
    [entry] = item["status"]["history"]
    assert (entry["lastReconciledStatus"], entry["totalReconciliations"]) == ("ReconciliationSucceeded", 1)


def test_while_it_waits_it_says_so_and_others_go_on(story: Story) -> None:
    commit = story.push(
        {
            "app/a.yaml": [never_ready("web", story.namespace)],
            "other/b.yaml": [config_map("b", story.namespace)],
        }
    )
    revision = f"main@sha1:{commit}"
    story.source()
    story.kustomization(wait=True)
    item = waits(story)
    found = conditions(item)
    message = f"Running health checks for revision {revision} with a timeout of 59m30s"
    assert found["Healthy"]["message"] == found["Reconciling"]["message"] == message
    assert (found["Reconciling"]["status"], found["Reconciling"]["reason"]) == ("True", "Progressing")
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == PROGRESSING
    assert found["Ready"]["message"] == "Reconciliation in progress"
    status = item["status"]
    assert status["lastAttemptedRevision"] == revision
    assert "lastAppliedRevision" not in status
    assert status["observedGeneration"] == -1
    assert status["inventory"]["entries"] == [{"id": f"{story.namespace}_web_apps_Deployment", "v": "v1"}]
    story.kustomization("other", dependsOn=[{"name": "app"}])
    story.failed("other", "DependencyNotReady", f"dependency '{story.namespace}/app' is not ready")
    story.kustomization("third", path="./other", nameSuffix="-3")
    story.ready("third", commit)
    # A new revision ends the wait of the old one, and the dependant waits for the health of the new one.
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace)]})
    item = story.ready("app", commit)
    assert conditions(item)["Healthy"]["status"] == "True"
    assert story.get("Deployment", "web")["status"]["readyReplicas"] == 2
    trigger = f"GitRepository/{story.namespace}/app"
    canceled = story.told("app", "Health checks canceled")
    assert canceled["message"].endswith(f"due to new reconciliation triggered by {trigger}")
    assert (canceled["type"], canceled["reason"]) == ("Normal", "HealthCheckCanceled")
    story.ready("other", commit)
    assert told_warnings(story) == []


def test_kinds_of_ones_own(story: Story, widgets: Widgets) -> None:
    """The kind comes with the same commit; an object that says nothing is ready."""
    commit = story.push(widgets.files("w", "silent"))
    story.source()
    story.kustomization(wait=True)
    story.ready("app", commit)
    widgets.says(**ready("False"))
    changed = {**widgets.manifest(), "spec": {"size": 2}}
    commit = story.push({"app/w.yaml": [definition(widgets.group), changed]})
    waits(story)
    widgets.says(**ready("True"), observedGeneration=1)
    widgets.says(observedGeneration=2)
    story.ready("app", commit)


def test_a_named_object_of_somebody_else(story: Story) -> None:
    """Missing at first; it carries no label of ours, so a watch by its name shows it."""
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    check = {"kind": "Deployment", "name": "theirs", "namespace": story.namespace}
    story.kustomization(healthChecks=[check])
    waits(story)
    story.create("Deployment", "theirs", {"spec": deployment("theirs")["spec"]})
    item = story.ready("app", commit)
    assert story.get("Deployment", "theirs")["status"]["readyReplicas"] == 2
    assert conditions(item)["Healthy"]["status"] == "True"
    story.delete("Deployment", "theirs")
    story.respec(healthChecks=None)  # nothing is waited for any more
    story.becomes("Healthy is gone", lambda: "Healthy" not in conditions(story.ready("app", commit)))


def test_a_kind_that_does_not_exist_yet(story: Story, widgets: Widgets) -> None:
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    check = {"apiVersion": widgets.api_version, "kind": "Widget", "name": "w", "namespace": story.namespace}
    story.kustomization(healthChecks=[check])
    waits(story)
    story.cluster.install_crds([definition(widgets.group)])
    story.cluster.client.request("POST", widgets.path("").rstrip("/"), widgets.manifest())
    story.ready("app", commit)


def test_a_kustomization_is_waited_for_like_any_object(story: Story) -> None:
    commit = story.push(
        {
            "app/a.yaml": [config_map("a", story.namespace)],
            "slow/b.yaml": [never_ready("web", story.namespace)],
        }
    )
    story.source()
    story.kustomization("slow", wait=True)
    waits(story, "slow")
    kind = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}
    story.kustomization(healthChecks=[{**kind, "name": "slow", "namespace": story.namespace}])
    waits(story)
    story.push({"slow/b.yaml": [deployment("web", story.namespace)]})
    story.ready("app")
    assert conditions(story.get("Kustomization", "slow"))["Ready"]["status"] == "True"
    assert commit


def test_what_later_stages_build_upon_is_waited_for(story: Story) -> None:
    """A class must be ready before what uses it is applied; definitions and namespaces come before that."""
    group = f"{story.namespace}.test"
    kind = {"names": {"kind": "WidgetClass", "plural": "widgetclasses", "singular": "widgetclass"}}
    defined = definition(group)
    defined["metadata"]["name"] = f"widgetclasses.{group}"
    defined["spec"] |= {**kind, "scope": "Cluster"}

    def files(size: int, *more: Manifest) -> dict[str, list[Manifest]]:
        one = {"apiVersion": f"{group}/v1", "kind": "WidgetClass", "metadata": {"name": "c"}}
        return {"app/c.yaml": [defined, {**one, "spec": {"size": size}}, *more]}

    story.start(files(1))
    path = f"/apis/{group}/v1/widgetclasses/c/status"
    story.cluster.client.merge(path, {"status": ready("False")})
    commit = story.push(files(2, config_map("a", story.namespace)))
    story.becomes(
        "the class is waited for",
        lambda: conditions(story.get("Kustomization", "app"))["Ready"]["status"] == "Unknown",
    )
    assert story.find("ConfigMap", "a") is None
    story.cluster.client.merge(path, {"status": ready("True")})
    story.ready("app", commit)
    assert story.find("ConfigMap", "a")


# --- how a wait ends ---


def test_what_has_failed_ends_the_wait_and_may_recover(story: Story, widgets: Widgets) -> None:
    commit = widgets.begin(**STALLED)
    story.respec(wait=True)
    text = (
        "failed early due to stalled resources: "
        f"[Widget/{story.namespace}/w status: 'Failed': Said: so it is]"
    )
    item = story.failed("app", "HealthCheckFailed", text)
    found = conditions(item)
    assert re.match(r"health check failed after [0-9a-zµ.]+: failed early", found["Ready"]["message"])
    assert (found["Healthy"]["status"], found["Healthy"]["reason"]) == ("False", "HealthCheckFailed")
    assert found["Healthy"]["message"] == text
    assert found["Reconciling"]["reason"] == "ProgressingWithRetry"
    assert found["Reconciling"]["message"].startswith("Running health checks for revision ")
    assert item["status"]["history"][0]["lastReconciledStatus"] == "HealthCheckFailed"
    assert item["status"]["observedGeneration"] == 1
    story.told("app", "failed early")
    assert told_warnings(story) == [found["Ready"]["message"]]
    widgets.says(**ready("True"))  # the retry is an hour away
    item = story.ready("app", commit)
    assert conditions(item)["Healthy"]["status"] == "True"


def test_a_deployment_that_makes_no_progress(story: Story) -> None:
    story.push({"app/a.yaml": [never_ready("web", story.namespace, progressDeadlineSeconds=1)]})
    story.source()
    story.kustomization(wait=True)
    story.failed("app", "HealthCheckFailed", "status: 'Failed': Progress deadline exceeded]")


def test_time_is_up(story: Story, widgets: Widgets) -> None:
    """All at once, since thirty seconds are the least that one can ask for."""
    namespace = story.namespace
    story.create("ServiceAccount", "blind", {})
    story.push(
        {
            "app/a.yaml": [never_ready("web", namespace)],
            "maps/a.yaml": [config_map("a", namespace)],
            "none/kustomization.yaml": "{}",
        }
    )
    story.source()
    story.create("Secret", "theirs", {"stringData": {"password": "x"}})
    named: dict[str, dict[str, str]] = {
        "missing": {"kind": "Deployment", "name": "nowhere", "namespace": namespace},
        "unknown": {"apiVersion": widgets.api_version, "kind": "Widget", "name": "w", "namespace": namespace},
        "nowhere": {"kind": "Deployment", "name": "web"},
        "blind": {"apiVersion": "v1", "kind": "Secret", "name": "theirs", "namespace": namespace},
    }
    story.kustomization(wait=True, timeout="30s")
    for name, check in named.items():
        account = {"serviceAccountName": "blind"} if name == "blind" else {}
        story.kustomization(name, path="./none", timeout="30s", healthChecks=[check], **account)
    said = {
        "app": f"[Deployment/{namespace}/web status: 'InProgress': Available: 0/2]",
        "missing": f"[Deployment/{namespace}/nowhere status: 'NotFound']",
        "unknown": f"[Widget/{namespace}/w status: 'NotFound': no matches for kind \"Widget\" in version",
        "nowhere": "[Deployment/web status: 'Unknown': namespace not specified",
        "blind": f"[Secret/{namespace}/theirs status: 'Unknown': secrets \"theirs\" is forbidden",
    }
    for name, text in said.items():
        item = story.failed(name, "HealthCheckFailed", f"timeout waiting for: {text}", timeout_s=60.0)
        message = conditions(item)["Ready"]["message"]
        after = re.match(r"health check failed after (\d+)s: (?=timeout waiting for: \[)", message)
        assert after is not None, message
        assert int(after[1]) >= 30, message  # later on a busy machine
        assert conditions(item)["Healthy"]["message"] == message.removeprefix(after[0])


def test_a_retry_that_meets_the_same_says_nothing(
    story: Story, widgets: Widgets, controllers: Pair, audit: Audit
) -> None:
    widgets.begin(**STALLED)
    story.respec(wait=True, retryInterval="300ms")
    story.failed("app", "HealthCheckFailed")
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    audit.restart()
    failures = _failures(controllers)
    story.becomes("some retries went by", lambda: _failures(controllers) >= failures + 3)
    asked = audit.entries([KUSTOMIZE_USER])
    assert [entry for entry in asked if entry.is_write and entry.namespace == story.namespace] == []


def _failures(controllers: Pair) -> float:
    name = 'controller_runtime_reconcile_errors_total{controller="kustomization"}'
    lines = controllers.kustomize.metrics().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def test_a_failed_wait_ends_with_the_next_revision(story: Story, widgets: Widgets, controllers: Pair) -> None:
    """Its objects become ready late, which is nothing to a revision that does not build: no run follows."""
    story.start({**widgets.files("w"), "other/v.yaml": [widgets.manifest("v")]})
    story.kustomization("other", path="./other")
    for widget_name, name in (("w", "app"), ("v", "other")):
        widgets.says(widget_name, **STALLED)
        story.respec(name, wait=True)
        story.failed(name, "HealthCheckFailed")
    commit = story.push({"app/w.yaml": "half: ["})
    story.failed("app", "BuildFailed")
    story.becomes(
        "the other has failed at the new revision, too",
        lambda: story.get("Kustomization", "other")["status"]["lastAttemptedRevision"].endswith(commit),
    )
    failures = _failures(controllers)
    widgets.says("w", **ready("True"))
    widgets.says("v", **ready("True"))
    story.ready("other", commit)  # one watch shows both, in this order
    story.kustomization("third", path="./other", nameSuffix="-3")
    story.ready("third", commit)
    assert _failures(controllers) == failures
    for name in ("other", "third"):  # before the definition goes with `app`
        story.delete("Kustomization", name)
        story.gone("Kustomization", name)


def test_another_spec_suspension_and_deletion_end_a_wait(story: Story, audit: Audit) -> None:
    commit = story.push({"app/a.yaml": [never_ready("web", story.namespace)]})
    story.source()
    story.kustomization(wait=True)
    waits(story)
    story.respec(wait=False)
    item = story.ready("app", commit)
    assert "Healthy" not in conditions(item)
    canceled = story.told("app", "Health checks canceled")["message"]
    assert canceled.endswith(f"triggered by Kustomization/{story.namespace}/app")
    story.respec(wait=True)
    waits(story)
    before = conditions(waits(story))
    story.respec(suspend=True)
    after = conditions(story.handled("Kustomization", "app", story.request("Kustomization", "app")))
    assert after["Ready"] == before["Ready"]
    audit.restart()
    story.patch("Deployment", "web", {"metadata": {"annotations": {"touched": "yes"}}})
    story.kustomization("other", path="./app", nameSuffix="-2")
    story.ready("other", commit)  # by then the change was seen
    assert [e for e in _looks(audit, story) if e.name == "web"] == []
    story.respec(suspend=False)
    waits(story)
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")
    story.gone("Deployment", "web")


def test_a_request_during_a_wait_is_answered_at_its_end(story: Story, widgets: Widgets, audit: Audit) -> None:
    commit = widgets.begin(**ready("False"))
    story.respec(wait=True)
    waits(story)
    audit.restart()
    token = story.request("Kustomization", "app")
    story.becomes("it was applied anew", lambda: _applies(audit, story))
    applied = len(_applies(audit, story))
    widgets.says(again=True)
    widgets.says(**ready("Unknown"))
    assert story.get("Kustomization", "app")["status"].get("lastHandledReconcileAt") != token
    widgets.says(**ready("True"))
    item = story.ready("app", commit)
    assert item["status"]["lastHandledReconcileAt"] == token
    assert len(_applies(audit, story)) == applied  # once for the request, however often it was woken


def _applies(audit: Audit, story: Story) -> list[Entry]:
    asked = audit.entries([KUSTOMIZE_USER])
    return [
        e for e in asked if e.verb == "patch" and e.resource == "widgets" and e.namespace == story.namespace
    ]


def test_a_restart_goes_on_with_the_wait(story: Story, controllers: Pair) -> None:
    commit = story.push({"app/a.yaml": [never_ready("web", story.namespace)]})
    story.source()
    story.kustomization(wait=True)
    before = conditions(waits(story))
    controllers.kustomize.kill()
    controllers.kustomize.restart()
    story.kustomization("other", path="./app", nameSuffix="-2")
    story.ready("other", commit)  # by then `app` was looked at, too
    after = conditions(waits(story))
    assert after["Healthy"] == before["Healthy"]  # since when, too
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace)]})
    story.ready("app", commit)


# --- in the user's own words ---


def _expressions(widgets: Widgets, **texts: str) -> dict[str, Any]:
    return {"healthCheckExprs": [{"apiVersion": widgets.api_version, "kind": "Widget", **texts}]}


def test_expressions_say_what_ready_means(story: Story, widgets: Widgets) -> None:
    texts = {
        "inProgress": "has(status.busy) && status.busy",
        "failed": "status.phase == 'Broken'",
        "current": "status.phase == 'Done'",
    }
    commit = story.push(widgets.files())
    story.source()
    story.kustomization(wait=True, **_expressions(widgets, **texts))
    waits(story)  # there is no status: an expression without a result is no failure
    widgets.says(phase="Broken")
    text = f"Widget/{story.namespace}/w status: 'Failed': failed is true]"
    story.failed("app", "HealthCheckFailed", text)
    widgets.says(phase="Done", busy=True)
    story.request("Kustomization", "app")
    waits(story)
    widgets.says(busy=False)
    story.ready("app", commit)


INVALID: dict[str, tuple[list[dict[str, str]], str]] = {
    "half an expression": (
        [{"apiVersion": "v1", "kind": "ConfigMap", "current": "true", "inProgress": "foo."}],
        "spec.healthCheckExprs[0].inProgress: failed to parse the CEL expression 'foo.': ERROR: <input>:1:5",
    ),
    "two for one kind": (
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "current": "true"},
            {"apiVersion": "v1", "kind": "ConfigMap", "current": "false"},
        ],
        "spec.healthCheckExprs[1]: duplicate custom health check for GroupKind ConfigMap",
    ),
}


def test_an_expression_that_cannot_be_read_is_for_a_person(story: Story) -> None:
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    for promise, (exprs, text) in INVALID.items():
        story.kustomization(healthCheckExprs=exprs)
        item = story.failed("app", "InvalidCELExpression", text)
        found = conditions(item)
        assert found["Ready"]["message"].startswith(
            "Reconciliation failed terminally due to configuration error: "
        ), promise
        assert (found["Stalled"]["status"], found["Stalled"]["reason"]) == ("True", "InvalidCELExpression")
        assert item["status"]["observedGeneration"] == 1, promise
        assert story.told("app", found["Ready"]["message"])["type"] == "Warning", promise
        story.delete("Kustomization", "app")
        story.gone("Kustomization", "app")
    assert story.find("ConfigMap", "a") is None
    story.kustomization(
        healthCheckExprs=[{"apiVersion": "v1", "kind": "ConfigMap", "current": "data.x == '1'"}]
    )
    story.ready("app", commit)


def test_a_dependency_is_ready_when_its_expression_says_so(story: Story) -> None:
    files = {f"{name}/a.yaml": [config_map(name, story.namespace)] for name in ("app", "dep")}
    commit = story.push(files)
    story.source()
    expr = "has(dep.metadata.labels) && dep.metadata.labels['stage'] == self.spec.path"
    story.kustomization(dependsOn=[{"name": "dep", "readyExpr": expr}])
    story.failed("app", "DependencyNotReady", f"dependency '{story.namespace}/dep' not found: ")
    story.kustomization("dep")
    story.ready("dep", commit)
    text = f"dependency '{story.namespace}/dep' is not ready according to readyExpr eval"
    story.failed("app", "DependencyNotReady", text)
    story.patch("Kustomization", "dep", {"metadata": {"labels": {"stage": "other"}}})
    story.respec("dep", suspend=True)
    story.failed("app", "DependencyNotReady", text)
    story.patch("Kustomization", "dep", {"metadata": {"labels": {"stage": "app"}}})
    story.respec(path="app")
    story.ready("app", commit)
    story.respec(dependsOn=[{"name": "dep", "readyExpr": "dep.status.nothing == 1"}])
    failed = "failed to evaluate the CEL expression 'dep.status.nothing == 1': no such key: nothing"
    story.failed("app", "DependencyNotReady", failed)
    story.respec(dependsOn=[{"name": "dep", "readyExpr": "deep.status.ready"}])
    item = story.failed("app", "InvalidCELExpression", "undeclared reference to 'deep'")
    assert conditions(item)["Stalled"]["status"] == "True"
    assert (
        "failed to evaluate dependency dep: spec.dependsOn[0].readyExpr: "
        in conditions(item)["Ready"]["message"]
    )
    story.respec(dependsOn=None)
    story.ready("app", commit)


# --- what it costs, and in whose name ---


def _looks(audit: Audit, story: Story) -> list[Entry]:
    asked = audit.entries([KUSTOMIZE_USER])
    mine = [entry for entry in asked if entry.namespace == story.namespace and not entry.is_write]
    return [e for e in mine if e.resource in ("deployments", "configmaps", "secrets", "widgets")]


def test_a_steady_state_and_objects_without_a_state_cost_nothing(story: Story, audit: Audit) -> None:
    commit = story.push(
        {
            "app/a.yaml": [config_map("a", story.namespace), secret("s", story.namespace, x="y")],
            "more/b.yaml": [deployment("web", story.namespace)],
        }
    )
    story.source()
    audit.restart()
    story.kustomization("more", wait=True, interval="1s")
    story.ready("more", commit)
    reads = [entry for entry in _looks(audit, story) if (entry.verb, entry.name) == ("get", "web")]
    assert 2 <= len(reads) <= 15, reads  # the look before the apply, and one for each few of its states
    audit.restart()
    story.kustomization(wait=True)
    story.ready("app", commit)
    looked = [entry for entry in _looks(audit, story) if entry.verb == "get" and entry.status == 200]
    assert looked == []  # what was just applied is there
    audit.restart()
    story.patch("Deployment", "web", {"metadata": {"annotations": {"touched": "yes"}}})
    story.becomes("the next periodic run looks", lambda: _looks(audit, story))
    commit = story.push({"elsewhere/readme.md": "new"})
    story.ready("more", commit)
    assert {(entry.verb, entry.name) for entry in _looks(audit, story)} == {("get", "web")}
    assert len(_looks(audit, story)) <= 2


def test_a_tenant_waits_with_its_own_rights(story: Story, audit: Audit) -> None:
    story.create("ServiceAccount", "tenant", {})
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}
    story.create("Role", "tenant", {"rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": story.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    story.create("RoleBinding", "tenant", {"subjects": [subject], "roleRef": ref})
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace)], "none/kustomization.yaml": "{}"})
    story.source()
    audit.restart()
    story.kustomization(wait=True, serviceAccountName="tenant")
    check = {"kind": "Deployment", "name": "web", "namespace": story.namespace}
    story.kustomization("none", healthChecks=[check], serviceAccountName="tenant")
    story.ready("app", commit)
    story.ready("none", commit)
    looked = [entry for entry in _looks(audit, story) if entry.resource == "deployments"]
    assert {entry.verb for entry in looked} >= {"get", "watch"}
    assert {e.impersonated for e in looked} == {f"system:serviceaccount:{story.namespace}:tenant"}
