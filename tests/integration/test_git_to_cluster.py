"""From a commit to objects in the cluster, and what is told about it."""

import re
from collections.abc import Callable
from typing import Any

from lab.gitserver import Basic, Bearer
from tests.harness.audit import Audit
from tests.harness.canaries import Canaries
from tests.harness.manifests import (
    config_map,
    deployment,
    kustomization_file,
    namespace_object,
    secret,
    service_account,
    strategic,
    to_yaml,
    widget,
    widget_definition,
)
from tests.harness.story import REVISION, Story, conditions
from tests.integration.conftest import KUSTOMIZE_USER

NAME = "kustomize.toolkit.fluxcd.io/name"
NAMESPACE = "kustomize.toolkit.fluxcd.io/namespace"


def test_a_commit_becomes_objects_and_the_next_one_changes_them(story: Story) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1"), deployment("web", story.namespace)]})
    assert story.data("a") == {"x": "1"}
    labels = story.get("Deployment", "web")["metadata"]["labels"]
    assert (labels[NAME], labels[NAMESPACE]) == ("app", story.namespace)
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace, x="2")]})
    story.ready("app", commit)
    assert story.data("a") == {"x": "2"}


def test_a_push_is_noticed_by_polling(story: Story) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1")]})
    story.respec(kind="GitRepository", interval="1s")
    commit = story.repository.publish({"app/b.yaml": to_yaml(config_map("b", story.namespace))})
    story.ready("app", commit)
    assert story.find("ConfigMap", "b")


# --- which commit ---


def _tagged(story: Story) -> dict[str, str]:
    """Four commits, each tagged; gives their ids by tag."""
    commits = {}
    for tag in ("v1.0.0", "v1.2.0", "v2.0.0", "v2.1.0-rc.1"):
        story.repository.write({"app/a.yaml": to_yaml(config_map("a", story.namespace, tag=tag))})
        commits[tag] = story.repository.commit()
        story.repository.tag(tag, "a release" if tag == "v1.2.0" else None)
        story.repository.push()
    return commits


REFS: dict[str, tuple[Callable[[dict[str, str]], dict[str, str]], str, str]] = {
    "a branch": (lambda _: {"branch": "main"}, "v2.1.0-rc.1", "main@sha1:{commit}"),
    "a tag": (lambda _: {"tag": "v1.0.0"}, "v1.0.0", "v1.0.0@sha1:{commit}"),
    "an annotated tag": (lambda _: {"tag": "v1.2.0"}, "v1.2.0", "v1.2.0@sha1:{commit}"),
    "a range of versions": (lambda _: {"semver": "1.x"}, "v1.2.0", "v1.2.0@sha1:{commit}"),
    "a range without an end": (lambda _: {"semver": ">=1.0.0"}, "v2.0.0", "v2.0.0@sha1:{commit}"),
    "a range with release candidates": (
        lambda _: {"semver": ">=2.0.0-0"},
        "v2.1.0-rc.1",
        "v2.1.0-rc.1@sha1:{commit}",
    ),
    "a commit": (lambda commits: {"commit": commits["v1.0.0"]}, "v1.0.0", "sha1:{commit}"),
    "a commit of a branch": (
        lambda commits: {"branch": "main", "commit": commits["v1.2.0"]},
        "v1.2.0",
        "main@sha1:{commit}",
    ),
    "a full name": (
        lambda _: {"name": "refs/heads/main"},
        "v2.1.0-rc.1",
        "refs/heads/main@sha1:{commit}",
    ),
}


def test_every_kind_of_reference_is_followed(story: Story) -> None:
    commits = _tagged(story)
    for number, (ref, _, _) in enumerate(REFS.values()):
        name = f"s{number}"
        story.source(name, ref=ref(commits))
        source = {"kind": "GitRepository", "name": name}
        story.kustomization(name, path="./app", sourceRef=source, nameSuffix=f"-{name}")
    for number, (promise, (_, tag, revision)) in enumerate(REFS.items()):
        expected = revision.format(commit=commits[tag])
        ready = story.ready(f"s{number}")
        assert ready["status"]["lastAppliedRevision"] == expected, promise
        assert conditions(ready)["Ready"]["message"] == f"Applied revision: {expected}", promise
        assert story.data(f"a-s{number}") == {"tag": tag}, promise


def test_a_new_tag_within_the_range_is_taken(story: Story) -> None:
    _tagged(story)
    story.source(ref={"semver": "2.x"})
    story.kustomization()
    story.ready()
    story.repository.write({"app/a.yaml": to_yaml(config_map("a", story.namespace, tag="v2.3.0"))})
    commit = story.repository.commit()
    story.repository.tag("v2.3.0")
    story.repository.push()
    story.request("GitRepository", "app")
    assert story.ready("app", commit)["status"]["lastAppliedRevision"] == f"v2.3.0@sha1:{commit}"
    assert story.data("a") == {"tag": "v2.3.0"}


# --- what of it ---


def test_a_password_opens_a_repository(story: Story, canaries: Canaries) -> None:
    password = canaries.plant("Git password")
    story.git.protect(story.repository_name, Basic("ada", password))
    story.create("Secret", "login", {"stringData": {"username": "ada", "password": password}})
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(secretRef={"name": "login"})
    story.kustomization()
    story.ready("app", commit)


def test_a_bearer_token_opens_a_repository(story: Story, canaries: Canaries) -> None:
    token = canaries.plant("Git token")
    story.git.protect(story.repository_name, Bearer(token))
    story.create("Secret", "login", {"stringData": {"bearerToken": token}})
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source(secretRef={"name": "login"})
    story.kustomization()
    story.ready("app", commit)


def test_ignored_files_do_not_arrive(story: Story) -> None:
    story.push(
        {
            "app/a.yaml": [config_map("a", story.namespace)],
            "app/draft.yaml": [config_map("draft", story.namespace)],
            "app/picture.png": "no picture",
            "app/.sops.yaml": [config_map("by-default", story.namespace)],
        }
    )
    story.source()
    story.kustomization()
    story.ready()
    # Without patterns of the user's own the default list applies, and it names .sops.yaml.
    assert {story.namespace + f"_{name}__ConfigMap" for name in ("a", "draft")} == set(story.inventory())
    story.respec(kind="GitRepository", ignore="draft.yaml\n")
    story.becomes("draft is pruned", lambda: story.find("ConfigMap", "draft") is None)
    # With patterns of the user's own, only those and the files of Git itself are left out.
    story.becomes("the default list is off", lambda: story.find("ConfigMap", "by-default"))


def test_an_overlay_with_patches(story: Story) -> None:
    story.start(
        {
            "base/web.yaml": [deployment("web"), config_map("settings", level="low")],
            "base/kustomization.yaml": kustomization_file(resources=["web.yaml"]),
            "app/kustomization.yaml": kustomization_file(
                resources=["../base"],
                namespace=story.namespace,
                patches=[
                    {"path": "replicas.yaml"},
                    {
                        "patch": '[{"op": "replace", "path": "/data/level", "value": "high"}]',
                        "target": {"kind": "ConfigMap"},
                    },
                ],
                configMapGenerator=[{"name": "made", "literals": ["x=1"]}],
            ),
            "app/replicas.yaml": [strategic("apps/v1", "Deployment", "web", spec={"replicas": 7})],
        }
    )
    assert story.get("Deployment", "web")["spec"]["replicas"] == 7
    assert story.data("settings") == {"level": "high"}
    made = [one["metadata"]["name"] for one in story.all_of("ConfigMap")]
    assert any(re.fullmatch("made-[a-z0-9]{10}", name) for name in made)


def test_all_that_a_spec_can_say_about_a_build(story: Story) -> None:
    """The folder has no kustomization.yaml: one is made, sub-folders included."""
    part = {"kind": "Component", "apiVersion": "kustomize.config.k8s.io/v1alpha1", "resources": ["c.yaml"]}
    patch = to_yaml(strategic("v1", "ConfigMap", "a", data={"patched": "yes"}))
    story.start(
        {
            "app/a.yaml": [config_map("a", x="1")],
            "app/deep/er/web.yaml": [deployment("web", image="nginx:1")],
            "app/readme.md": "no manifest",
            "parts/extra/kustomization.yaml": [part],
            "parts/extra/c.yaml": [config_map("c")],
        },
        namePrefix="pre-",
        nameSuffix="-post",
        targetNamespace=story.namespace,
        commonMetadata={"labels": {"team": "blue"}, "annotations": {"note": "ours"}},
        images=[{"name": "nginx", "newName": "caddy", "newTag": "2"}],
        components=["../parts/extra", "../parts/none"],
        ignoreMissingComponents=True,
        patches=[{"patch": patch, "target": {"kind": "ConfigMap", "name": "a"}}],
    )
    assert story.data("pre-a-post") == {"x": "1", "patched": "yes"}
    assert story.find("ConfigMap", "pre-c-post")
    web = story.get("Deployment", "pre-web-post")
    assert web["metadata"]["labels"]["team"] == "blue"
    assert web["metadata"]["annotations"]["note"] == "ours"
    assert "team" not in web["spec"]["selector"]["matchLabels"]
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "caddy:2"


def test_namespace_definition_and_custom_resource_come_in_one_commit(story: Story) -> None:
    other, group = f"{story.namespace}-new", f"{story.namespace}.test"
    story.others.append(other)
    story.start(
        {
            "app/1.yaml": [widget("w", other, group=group, size=3), config_map("a", other)],
            "app/2.yaml": [namespace_object(other), widget_definition(group)],
        }
    )
    path = f"/apis/{group}/v1/namespaces/{other}/widgets/w"
    assert story.cluster.client.get(path)["spec"] == {"size": 3}
    assert story.inventory() == [
        f"_widgets.{group}_apiextensions.k8s.io_CustomResourceDefinition",
        f"_{other}__Namespace",
        f"{other}_a__ConfigMap",
        f"{other}_w_{group}_Widget",
    ]
    story.respec(deletionPolicy="Orphan")  # without a controller manager no namespace ends


# --- what is told ---


def test_status_says_what_was_done(story: Story) -> None:
    commit = story.start(
        {"app/a.yaml": [config_map("a", story.namespace), deployment("web", story.namespace)]}
    )
    revision = f"main@sha1:{commit}"
    item = story.get("Kustomization", "app")
    status = item["status"]
    assert set(status) == {
        "conditions",
        "observedGeneration",
        "lastAppliedRevision",
        "lastAttemptedRevision",
        "inventory",
        "history",
    }
    assert status["observedGeneration"] == item["metadata"]["generation"] == 1
    assert (status["lastAppliedRevision"], status["lastAttemptedRevision"]) == (revision, revision)
    assert status["inventory"]["entries"] == [
        {"id": f"{story.namespace}_a__ConfigMap", "v": "v1"},
        {"id": f"{story.namespace}_web_apps_Deployment", "v": "v1"},
    ]
    [ready] = status["conditions"]
    assert ready.pop("lastTransitionTime")
    assert ready == {
        "type": "Ready",
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": f"Applied revision: {revision}",
        "observedGeneration": 1,
    }
    [entry] = status["history"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", entry["digest"])
    assert (entry["lastReconciledStatus"], entry["totalReconciliations"]) == ("ReconciliationSucceeded", 1)
    assert entry["metadata"] == {"revision": revision}
    assert item["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]


def test_history_keeps_the_last_five_contents(story: Story) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace, n="0")]})
    for number in range(1, 7):
        commit = story.push({"app/a.yaml": [config_map("a", story.namespace, n=str(number))]})
        story.ready("app", commit)
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    history = story.get("Kustomization", "app")["status"]["history"]
    assert [entry["totalReconciliations"] for entry in history] == [2, 1, 1, 1, 1]
    assert history[0]["metadata"] == {"revision": f"main@sha1:{commit}"}


def test_events_tell_what_changed_and_of_which_revision(story: Story) -> None:
    commit = story.start(
        {"app/a.yaml": [config_map("a", story.namespace), deployment("web", story.namespace)]}
    )
    finished = story.told("app", "Reconciliation finished in ")
    assert (finished["type"], finished["reason"]) == ("Normal", "ReconciliationSucceeded")
    assert re.fullmatch(r"Reconciliation finished in [0-9a-zµ.]+, next run in 1h0m0s", finished["message"])
    annotations = finished["metadata"]["annotations"]
    assert annotations[REVISION] == f"main@sha1:{commit}"
    assert annotations["kustomize.toolkit.fluxcd.io/commit_status"] == "update"
    changes = story.told("app", "created")
    assert changes["message"].splitlines() == [
        f"ConfigMap/{story.namespace}/a created",
        f"Deployment/{story.namespace}/web created",
    ]
    assert (changes["type"], changes["reason"]) == ("Normal", "Progressing")
    assert changes["metadata"]["annotations"][REVISION] == f"main@sha1:{commit}"
    assert "kustomize.toolkit.fluxcd.io/commit_status" not in changes["metadata"]["annotations"]
    commit = story.push(
        {"app/a.yaml": [config_map("a", story.namespace), deployment("web", story.namespace, replicas=3)]}
    )
    configured = story.told("app", "configured")
    assert configured["message"] == f"Deployment/{story.namespace}/web configured"
    artifact = story.told("app", "stored artifact for commit 'change'", kind="GitRepository")
    assert (artifact["type"], artifact["reason"]) == ("Normal", "NewArtifact")
    annotations = artifact["metadata"]["annotations"]
    assert set(annotations) >= {
        "source.toolkit.fluxcd.io/revision",
        "source.toolkit.fluxcd.io/digest",
    }


def test_ready_follows_the_generation(story: Story) -> None:
    commit = story.start(
        {"app/a.yaml": [config_map("a", story.namespace)], "more/b.yaml": [config_map("b", story.namespace)]}
    )
    generation = story.respec(path="./", commonMetadata={"labels": {"x": "y"}})
    item = story.ready("app", commit)
    assert item["status"]["observedGeneration"] == generation == 2
    assert len(story.inventory()) == 2


def test_a_kustomization_may_come_before_its_source(story: Story) -> None:
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.kustomization()
    item = story.failed("app", "ArtifactFailed", 'GitRepository.source.toolkit.fluxcd.io "app" not found')
    assert "Reconciling" not in conditions(item)
    story.source()
    story.ready("app", commit)


def test_a_commit_elsewhere_moves_the_revision_and_nothing_else(story: Story, audit: Audit) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    audit.restart()
    commit = story.push({"elsewhere/readme.md": "new"})
    status = story.ready("app", commit)["status"]
    assert status["lastAppliedRevision"] == f"main@sha1:{commit}"
    assert status["history"][0]["totalReconciliations"] == 2
    touched = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert {e.resource for e in touched} <= {"kustomizations", "events"}


# --- apart from each other ---


def test_the_same_names_in_two_namespaces_do_not_mix(story: Story) -> None:
    other = f"{story.namespace}-b"
    story.others.append(other)
    story.cluster.create_namespace(other)
    commit = story.push({"app/a.yaml": [config_map("a")], "b/a.yaml": [config_map("a")]})
    for namespace, path in ((story.namespace, "./app"), (other, "./b")):
        story.source("app", namespace)
        story.kustomization("app", namespace, path=path, targetNamespace=namespace)
        story.ready("app", commit, namespace=namespace)
    commit = story.push({"b/a.yaml": [config_map("a", changed="yes")]})
    story.cluster.client.merge(
        story.path("GitRepository", "app", other),
        {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}},
    )
    story.ready("app", commit, namespace=other)
    story.ready("app", commit)
    assert (story.data("a"), story.data("a", other)) == ({}, {"changed": "yes"})
    story.delete("Kustomization", "app")
    story.gone("ConfigMap", "a")
    assert story.find("ConfigMap", "a", other)


def test_a_source_of_another_namespace_may_be_used(story: Story) -> None:
    other = f"{story.namespace}-b"
    story.others.append(other)
    story.cluster.create_namespace(other)
    commit = story.push({"app/a.yaml": [config_map("a", other)]})
    story.source()
    ref = {"kind": "GitRepository", "name": "app", "namespace": story.namespace}
    story.kustomization("app", other, sourceRef=ref)
    story.ready("app", commit, namespace=other)


def _allow(story: Story, account: str, *resources: str) -> None:
    rules: dict[str, Any] = {"rules": [{"apiGroups": [""], "resources": list(resources), "verbs": ["*"]}]}
    story.create("Role", account, rules)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": story.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    story.create("RoleBinding", account, {"subjects": [subject], "roleRef": ref})


def test_a_tenant_can_do_what_its_account_may(story: Story, audit: Audit) -> None:
    story.create("ServiceAccount", "tenant", {})
    _allow(story, "tenant", "configmaps", "secrets")
    names = [f"a{number}" for number in range(5)]
    files = {
        f"app/{name}.yaml": [config_map(name, story.namespace, x="1"), secret(name, story.namespace, p="q")]
        for name in names
    }
    for name in names[:3]:  # what is there already is looked at
        story.create("ConfigMap", name, {"data": {"x": "0"}})
    story.start({**files}, serviceAccountName="tenant")
    story.patch("ConfigMap", "a0", {"data": {"x": "by hand"}}, manager="someone")
    story.becomes("drift is repaired", lambda: story.data("a0") == {"x": "1"})
    story.delete("ConfigMap", "a1")
    story.becomes("what was deleted is back", lambda: story.find("ConfigMap", "a1"))
    commit = story.push({"app/a2.yaml": None})
    story.ready("app", commit)
    assert story.find("Secret", "a2") is None
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")
    asked = [
        entry
        for entry in audit.entries([KUSTOMIZE_USER])
        if entry.namespace == story.namespace and entry.resource in ("configmaps", "secrets")
    ]
    assert {entry.verb for entry in asked} >= {"get", "list", "patch", "delete"}
    tenant = f"system:serviceaccount:{story.namespace}:tenant"
    assert {entry.impersonated for entry in asked} == {tenant}


def test_a_tenant_cannot_do_what_its_account_may_not(story: Story, audit: Audit) -> None:
    story.create("ServiceAccount", "tenant", {})
    _allow(story, "tenant", "configmaps")
    story.push({"app/a.yaml": [config_map("a", story.namespace), service_account("robot", story.namespace)]})
    story.source()
    story.kustomization(serviceAccountName="tenant", retryInterval="1s")
    item = story.failed("app", "ReconciliationFailed", f"ServiceAccount/{story.namespace}/robot ")
    message = conditions(item)["Ready"]["message"]
    assert "(Forbidden)" in message
    assert f"system:serviceaccount:{story.namespace}:tenant" in message
    assert story.find("ServiceAccount", "robot") is None
    assert story.find("ConfigMap", "a")  # a first install goes ahead with what is good
    asked = [
        entry
        for entry in audit.entries([KUSTOMIZE_USER])
        if entry.namespace == story.namespace and entry.resource in ("configmaps", "serviceaccounts")
    ]
    assert {entry.impersonated for entry in asked} == {f"system:serviceaccount:{story.namespace}:tenant"}
    _allow_more(story, "tenant", "serviceaccounts")
    story.ready()
    assert story.find("ServiceAccount", "robot")


def _allow_more(story: Story, account: str, resource: str) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps", resource], "verbs": ["*"]}
    story.patch("Role", account, {"rules": [rule]})


def test_an_account_that_does_not_exist_has_no_rights(story: Story) -> None:
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    story.kustomization(serviceAccountName="nobody-made-it")
    story.failed("app", "ReconciliationFailed", "(Forbidden)")
    assert story.find("ConfigMap", "a") is None
    story.respec(deletionPolicy="Orphan")
