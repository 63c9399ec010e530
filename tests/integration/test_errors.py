"""What goes wrong is said on the object that it concerns, clearly, and hurts no other object.

In every test a second, healthy Kustomization goes on: it takes a commit while its neighbour fails.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from lab.gitserver import Answer, Basic
from lab.ports import free_port
from tests.harness.audit import Audit
from tests.harness.canaries import Canaries
from tests.harness.manifests import (
    config_map,
    deployment,
    kustomization_file,
    namespace_object,
    to_yaml,
    widget,
)
from tests.harness.story import REQUESTED_AT, REVISION, Files, Story, conditions
from tests.integration.conftest import KUSTOMIZE_USER, Pair

FLAGS = ["--no-cross-namespace-refs"]


# --- sources ---


def test_a_host_that_does_not_answer(neighbours: Story) -> None:
    story = neighbours
    url = f"http://127.0.0.1:{free_port()}/nothing.git"
    story.source(url=url)
    item = story.failed("app", "GitOperationFailed", url, kind="GitRepository")
    found = conditions(item)
    assert found["Ready"]["message"].startswith("failed to checkout and determine revision: ")
    assert found["FetchFailed"]["status"] == "True"
    assert found["FetchFailed"]["message"] == found["Ready"]["message"]
    assert found["Reconciling"]["reason"] == "ProgressingWithRetry"
    assert item["status"]["observedGeneration"] == -1
    event = story.told("app", url, kind="GitRepository")
    assert (event["type"], event["reason"]) == ("Warning", "GitOperationFailed")
    story.kustomization()
    story.failed("app", "ArtifactFailed", "Source artifact not found, retrying in 30s")


def test_a_source_that_hangs_is_given_up_in_time(neighbours: Story) -> None:
    story = neighbours
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.git.answer(story.repository_name, Answer(delay_s=4.0))
    story.source(timeout="1s")
    story.failed("app", "GitOperationFailed", "1s", kind="GitRepository", timeout_s=3.5)
    story.git.answer(story.repository_name, None)
    story.respec(kind="GitRepository", timeout="60s")
    story.ready("app", kind="GitRepository")


def test_a_branch_that_is_not_there(neighbours: Story) -> None:
    story = neighbours
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(ref={"branch": "release"})
    story.kustomization()
    item = story.failed("app", "GitOperationFailed", "refs/heads/release", kind="GitRepository")
    assert "couldn't find remote ref" in conditions(item)["Ready"]["message"]
    story.respec(kind="GitRepository", ref={"branch": "main"})
    story.ready("app", commit)


def test_a_lost_branch_keeps_what_it_gave(neighbours: Story) -> None:
    story = neighbours
    commit = story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.respec(kind="GitRepository", ref={"branch": "release"})
    item = story.failed("app", "GitOperationFailed", "refs/heads/release", kind="GitRepository")
    assert item["status"]["artifact"]["revision"] == f"main@sha1:{commit}"
    assert conditions(item)["ArtifactInStorage"]["status"] == "True"
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    story.ready("app", commit)
    assert story.find("ConfigMap", "a")


def test_an_empty_repository(neighbours: Story) -> None:
    neighbours.source()
    neighbours.failed("app", "EmptyGitRepository", "git repository is empty", kind="GitRepository")


def test_wrong_credentials(neighbours: Story, canaries: Canaries) -> None:
    story = neighbours
    story.git.protect(story.repository_name, Basic("ada", "right"))
    wrong = canaries.plant("wrong password")
    story.create("Secret", "login", {"stringData": {"username": "ada", "password": wrong}})
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(secretRef={"name": "login"})
    story.kustomization()
    item = story.failed("app", "GitOperationFailed", "authentication required", kind="GitRepository")
    assert item["status"].get("artifact") is None
    story.patch("Secret", "login", {"stringData": {"password": "right"}})
    story.request("GitRepository", "app")
    story.ready("app", commit)


def test_a_secret_that_is_not_there(neighbours: Story) -> None:
    story = neighbours
    story.source(secretRef={"name": "login"})
    text = f"failed to get secret '{story.namespace}/login': "
    story.failed("app", "AuthenticationFailed", text, kind="GitRepository")
    story.told("app", 'secrets "login" not found', kind="GitRepository")


def test_a_failing_source_does_not_repeat_its_event(neighbours: Story) -> None:
    story = neighbours
    story.source(secretRef={"name": "login"})
    story.failed("app", "AuthenticationFailed", kind="GitRepository")
    for _ in range(3):
        story.handled("GitRepository", "app", story.request("GitRepository", "app"))
    warnings = [e for e in story.events("app", "GitRepository") if e["type"] == "Warning"]
    assert len(warnings) == 1


# --- builds ---


@dataclass(frozen=True)
class Broken:
    """A commit that cannot be applied, as seen by the Kustomization `app`."""

    reason: str
    says: tuple[str, ...]
    files: Files
    spec: dict[str, Any] = field(default_factory=dict)


SAME = [config_map("twice"), config_map("twice")]
BROKEN = {
    "a path that is not there": Broken(
        "ArtifactFailed", ("kustomization path not found", "nowhere"), {}, {"path": "./nowhere"}
    ),
    "a path that is a file": Broken("ArtifactFailed", ("a.yaml",), {}, {"path": "./app/a.yaml"}),
    "YAML that does not parse": Broken(
        "BuildFailed", ("app/bad.yaml:3",), {"app/bad.yaml": "kind: ConfigMap\nmetadata:\n  name: a: b\n"}
    ),
    "YAML that is no object": Broken(
        "BuildFailed", ("failed to decode Kubernetes YAML from", "bad.yaml"), {"app/bad.yaml": "just: text\n"}
    ),
    "the same object twice": Broken("BuildFailed", ("twice",), {"app/two.yaml": SAME}),
    "a resource that is not there": Broken(
        "BuildFailed",
        ("kustomize build failed: ", "missing.yaml"),
        {"app/kustomization.yaml": kustomization_file(resources=["missing.yaml"])},
    ),
    "a remote base": Broken(
        "BuildFailed",
        ("127.0.0.1",),
        {"app/kustomization.yaml": kustomization_file(resources=["http://127.0.0.1:9/x.yaml"])},
    ),
    "a path out of the artifact": Broken("ArtifactFailed", ("path",), {}, {"path": "../../../etc"}),
}


def test_a_commit_that_cannot_be_built(neighbours: Story) -> None:
    """What was there stays, and the revision that was applied stays in the status."""
    story = neighbours
    for number, (promise, broken) in enumerate(BROKEN.items()):
        name = f"k{number}"
        start = story.git.create(f"{story.repository_name}-{name}")
        good = start.publish({"app/a.yaml": to_yaml(config_map(name, story.namespace))})
        story.source(name, url=story.git.url(f"{story.repository_name}-{name}"))
        source = {"kind": "GitRepository", "name": name}
        story.kustomization(name, path="./app", sourceRef=source, targetNamespace=story.namespace)
        story.ready(name, good)
        files = {
            path: content if isinstance(content, str | bytes) or content is None else to_yaml(*content)
            for path, content in broken.files.items()
        }
        bad = start.publish(files or {"other": "change"})
        if broken.spec:
            story.respec(name, **broken.spec)
        story.request("GitRepository", name)
        item = story.failed(name, broken.reason)
        message = conditions(item)["Ready"]["message"]
        assert [part for part in broken.says if part not in message] == [], f"{promise}: {message}"
        assert "/tmp/" not in message, f"{promise}: {message}"  # noqa: S108  # no folder of ours
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{good}", promise
        if broken.reason == "BuildFailed":
            assert item["status"]["lastAttemptedRevision"] == f"main@sha1:{bad}", promise
        assert story.find("ConfigMap", name), promise
        event = story.told(name, message)
        assert (event["type"], event["reason"]) == ("Warning", broken.reason), promise
        told_of = event["metadata"]["annotations"][REVISION]
        assert told_of in ({f"main@sha1:{bad}"} | ({f"main@sha1:{good}"} if broken.spec else set())), promise
        story.respec(name, path="./app")
        mended = start.publish(dict.fromkeys(files) or {"other": "again"})
        story.request("GitRepository", name)
        story.ready(name, mended)


# --- objects ---


def test_a_kind_that_nobody_knows(neighbours: Story) -> None:
    story = neighbours
    story.push(
        {"app/a.yaml": [config_map("a", story.namespace), widget("w", story.namespace, group="no.test")]}
    )
    story.source()
    story.kustomization()
    text = 'no matches for kind "Widget" in version "no.test/v1"'
    item = story.failed("app", "ReconciliationFailed", text)
    assert f"Widget/{story.namespace}/w " in conditions(item)["Ready"]["message"]
    assert "app/a.yaml" in conditions(item)["Ready"]["message"]
    assert story.find("ConfigMap", "a")  # a first install goes ahead with what is good
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.ready("app", commit)
    assert story.inventory() == [f"{story.namespace}_a__ConfigMap"]


def test_one_bad_object_of_an_installed_stage_stops_its_neighbours(neighbours: Story) -> None:
    story = neighbours
    good = story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="1"), deployment("web", story.namespace)]}
    )
    changed = deployment("web", story.namespace, app="other")
    bad = story.push({"app/a.yaml": [config_map("a", story.namespace, x="2"), changed]})
    item = story.failed("app", "ReconciliationFailed", f"Deployment/{story.namespace}/web dry-run failed")
    message = conditions(item)["Ready"]["message"]
    assert "(Invalid)" in message
    assert "spec.selector" in message
    assert "immutable" in message
    assert story.data("a") == {"x": "1"}
    assert item["status"]["lastAppliedRevision"] == f"main@sha1:{good}"
    assert item["status"]["lastAttemptedRevision"] == f"main@sha1:{bad}"
    assert item["status"]["history"][0]["lastReconciledStatus"] == "ReconciliationFailed"
    assert conditions(item)["Reconciling"]["reason"] == "ProgressingWithRetry"
    commit = story.push(
        {"app/a.yaml": [config_map("a", story.namespace, x="3"), deployment("web", story.namespace)]}
    )
    story.ready("app", commit)
    assert story.data("a") == {"x": "3"}


def test_a_failed_apply_prunes_nothing(neighbours: Story) -> None:
    story = neighbours
    names = ("a", "b", "c")
    story.start(
        {
            **{f"app/{name}.yaml": [config_map(name, story.namespace)] for name in names},
            "app/web.yaml": [deployment("web", story.namespace)],
        }
    )
    story.push({"app/web.yaml": [deployment("web", story.namespace, app="other")], "app/b.yaml": None})
    story.failed("app", "ReconciliationFailed", "immutable")
    assert story.find("ConfigMap", "b")
    assert f"{story.namespace}_b__ConfigMap" in story.inventory()
    commit = story.push({"app/web.yaml": [deployment("web", story.namespace)]})
    story.ready("app", commit)
    assert story.find("ConfigMap", "b") is None


def test_a_field_that_the_kind_does_not_have(neighbours: Story) -> None:
    story = neighbours
    # A Role is sent as it is; of other kinds such a field is left out: test_unknown_fields.py.
    wrong = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "a", "namespace": story.namespace},
        "replicaz": 3,
    }
    story.push({"app/a.yaml": [wrong, config_map("b", story.namespace)]})
    story.source()
    story.kustomization()
    story.failed("app", "ReconciliationFailed", "replicaz")
    assert story.find("ConfigMap", "b")


def test_an_object_without_a_namespace(neighbours: Story) -> None:
    story = neighbours
    story.push({"app/a.yaml": [config_map("a")]})
    story.source()
    story.kustomization()
    story.failed("app", "ReconciliationFailed", "ConfigMap/a ")
    story.told("app", "namespace not specified")
    story.respec(targetNamespace=story.namespace)
    story.ready()


def test_a_namespace_that_is_not_there(neighbours: Story) -> None:
    """It says which, and goes on by itself once the namespace comes, at the retry interval."""
    story = neighbours
    missing = f"{story.namespace}-later"
    story.others.append(missing)
    story.push({"app/a.yaml": [config_map("a", missing)]})
    story.source()
    story.kustomization(retryInterval="1s")
    story.failed("app", "ReconciliationFailed", f'namespaces "{missing}" not found')
    story.cluster.client.request("POST", "/api/v1/namespaces", namespace_object(missing))
    story.ready()


def test_a_failure_that_is_retried_writes_nothing_new(neighbours: Story, controllers: Pair) -> None:
    story = neighbours
    story.push({"app/a.yaml": [widget("w", story.namespace, group="no.test")]})
    story.source()
    story.kustomization(retryInterval="200ms")
    before = story.failed("app", "ReconciliationFailed")["metadata"]["resourceVersion"]
    failures = _failures(controllers)
    story.becomes("it is retried a few times", lambda: _failures(controllers) >= failures + 5)
    assert story.get("Kustomization", "app")["metadata"]["resourceVersion"] == before
    assert len([event for event in story.events("app") if event["type"] == "Warning"]) == 1


def _failures(controllers: Pair) -> float:
    name = 'controller_runtime_reconcile_errors_total{controller="kustomization"}'
    lines = controllers.kustomize.metrics().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


# --- what a spec may not say ---


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "spec.decryption": {"decryption": {"provider": "sops"}},
    "spec.kubeConfig": {"kubeConfig": {"secretRef": {"name": "remote"}}},
    "spec.sourceRef.kind": {"sourceRef": {"kind": "Bucket", "name": "app"}},
}


def test_what_this_release_cannot_do_is_refused(neighbours: Story) -> None:
    """To ignore a field would apply something else than the spec says."""
    story = neighbours
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    for number, (named, spec) in enumerate(UNSUPPORTED.items()):
        story.kustomization(f"k{number}", **{"path": "./app", **spec})
        item = story.failed(f"k{number}", "FeatureGateDisabled", f"{named} ")
        assert conditions(item)["Stalled"]["status"] == "True", named
        assert "Reconciling" not in conditions(item), named
        assert item["status"]["observedGeneration"] == 1, named
    assert story.find("ConfigMap", "a") is None
    right = list(UNSUPPORTED).index("spec.decryption")
    story.respec(f"k{right}", decryption=None)
    item = story.ready(f"k{right}")
    assert "Stalled" not in conditions(item)


def test_references_that_cross_a_namespace_are_refused(neighbours: Story) -> None:
    """And the answer does not tell whether the target exists."""
    story = neighbours
    other = f"{story.namespace}-b"
    story.others.append(other)
    story.cluster.create_namespace(other)
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source("app", other)
    said = []
    for name in ("app", "absent"):
        ref = {"kind": "GitRepository", "name": name, "namespace": other}
        story.kustomization(f"to-{name}", path="./app", sourceRef=ref)
        text = f"can't access 'GitRepository/{other}/{name}', cross-namespace references have been blocked"
        item = story.failed(f"to-{name}", "AccessDenied", text)
        found = conditions(item)
        assert found["Stalled"]["reason"] == "AccessDenied"
        assert item["status"]["observedGeneration"] == 1
        said.append(found["Ready"]["message"].replace(f"/{name}'", "/'"))
    assert said[0] == said[1]
    assert story.find("ConfigMap", "a") is None


def test_dependencies_that_cross_a_namespace_are_refused(neighbours: Story) -> None:
    story = neighbours
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    story.kustomization(dependsOn=[{"name": "x", "namespace": "default"}])
    item = story.failed("app", "AccessDenied", "'Kustomization/default/x'")
    assert conditions(item)["Stalled"]["status"] == "True"


UNREADABLE = {
    "an interval of nothing": ("Kustomization", {"interval": "0s"}, "spec.interval"),
    "a timeout of nothing": ("Kustomization", {"timeout": "0s"}, "spec.timeout"),
    "a polling interval of nothing": ("GitRepository", {"interval": "0s"}, "spec.interval"),
}


@pytest.mark.parametrize(("kind", "spec", "names"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_object_that_passes_its_schema_and_makes_no_sense(
    neighbours: Story, kind: str, spec: dict[str, str], names: str
) -> None:
    story = neighbours
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(**(spec if kind == "GitRepository" else {}))
    if kind == "Kustomization":
        story.kustomization(**spec)
    item = story.failed("app", "ValidationFailed", names, kind=kind)
    assert conditions(item)["Stalled"]["status"] == "True"
    field_name = names.partition(".")[2]
    story.respec(kind=kind, **{field_name: "1h"})
    story.ready("app", commit, kind=kind)


def test_nothing_is_asked_of_a_stalled_object(neighbours: Story, audit: Audit) -> None:
    story = neighbours
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    story.kustomization(decryption={"provider": "sops"}, retryInterval="200ms")
    story.failed("app", "FeatureGateDisabled")
    audit.restart()
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    asked = audit.entries([KUSTOMIZE_USER])
    mine = [
        e for e in asked if (e.namespace, e.resource, e.name) == (story.namespace, "kustomizations", "app")
    ]
    assert [(e.verb, e.subresource) for e in mine] == [("patch", "status")]
    annotations = story.get("Kustomization", "app")["metadata"]["annotations"]
    assert annotations[REQUESTED_AT] == token
