"""What happens to objects when the source changes, when they leave it, and when it all ends."""

import time
from typing import Any

import pytest

from tests.harness.audit import Audit
from tests.harness.manifests import Manifest, config_map, deployment, secret, service_account
from tests.harness.story import REVISION, Story, conditions
from tests.integration.conftest import KUSTOMIZE_USER

PRUNE = "kustomize.toolkit.fluxcd.io/prune"
ALLOW_PRUNE = "headrace.dev/allow-prune"
NAME = "kustomize.toolkit.fluxcd.io/name"
FOREIGN = "example.test/hold"


def maps(story: Story, count: int, *, prefix: str = "m") -> dict[str, list[Manifest]]:
    """A file for each of `count` ConfigMaps."""
    names = [f"{prefix}{number:02}" for number in range(count)]
    return {f"app/{name}.yaml": [config_map(name, story.namespace)] for name in names}


def held(story: Story, name: str) -> None:
    """Put a finalizer of a stranger on a ConfigMap."""
    story.patch("ConfigMap", name, {"metadata": {"finalizers": [FOREIGN]}}, manager="stranger")


def release(story: Story, name: str) -> None:
    story.patch("ConfigMap", name, {"metadata": {"finalizers": None}}, manager="stranger")


# --- update ---


def test_only_what_changed_is_written(story: Story, audit: Audit) -> None:
    story.start(maps(story, 5))
    audit.restart()
    commit = story.push({"app/m03.yaml": [config_map("m03", story.namespace, x="1")]})
    story.ready("app", commit)
    mine = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert [(e.verb, e.name) for e in mine if e.resource == "configmaps"] == [("patch", "m03")]
    assert len([e for e in mine if e.resource == "kustomizations"]) == 1  # one status patch


def test_a_field_that_left_the_source_leaves_the_object(story: Story) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1", y="2")]})
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace, x="1")]})
    story.ready("app", commit)
    assert story.data("a") == {"x": "1"}


def test_a_request_applies_everything(story: Story, audit: Audit) -> None:
    story.start(maps(story, 3))
    audit.restart()
    token = story.request("Kustomization", "app")
    item = story.handled("Kustomization", "app", token)
    assert conditions(item)["Ready"]["status"] == "True"
    assert item["status"]["history"][0]["totalReconciliations"] == 2
    mine = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    applied = {e.name for e in mine if e.verb == "patch" and e.resource == "configmaps"}
    assert applied == {"m00", "m01", "m02"}


# --- prune ---


def test_what_left_the_source_is_deleted_in_reverse_order(story: Story, audit: Audit) -> None:
    gone = [
        service_account("robot", story.namespace),
        config_map("gone", story.namespace),
        secret("gone", story.namespace, a="b"),
        deployment("gone", story.namespace),
    ]
    story.start({"app/gone.yaml": gone, **maps(story, 5)})
    audit.restart()
    commit = story.push({"app/gone.yaml": None})
    story.ready("app", commit)
    deletes = [e for e in audit.entries([KUSTOMIZE_USER]) if e.verb == "delete"]
    ours = [e.resource for e in deletes if e.namespace == story.namespace]
    assert ours == ["deployments", "secrets", "configmaps", "serviceaccounts"]
    assert len(story.inventory()) == 5
    lines = story.told("app", "deleted")["message"].splitlines()
    assert lines[0] == f"Deployment/{story.namespace}/gone deleted"
    assert len(lines) == 4


def test_without_prune_nothing_is_deleted(story: Story) -> None:
    story.start(maps(story, 3), prune=False)
    commit = story.push({"app/m01.yaml": None})
    story.ready("app", commit)
    assert story.find("ConfigMap", "m01")
    assert f"{story.namespace}_m01__ConfigMap" not in story.inventory()
    story.left.add(f"{story.namespace}_m01__ConfigMap")


def test_an_object_that_says_so_is_kept(story: Story) -> None:
    keep = config_map("keep", story.namespace, annotations={PRUNE: "disabled"})
    story.start({"app/keep.yaml": [keep], **maps(story, 2)})
    commit = story.push({"app/keep.yaml": None})
    story.ready("app", commit)
    assert story.find("ConfigMap", "keep")
    story.told("app", f"ConfigMap/{story.namespace}/keep skipped")
    assert f"{story.namespace}_keep__ConfigMap" not in story.inventory()


def test_an_object_that_somebody_else_deleted_counts_as_gone(story: Story) -> None:
    story.start(maps(story, 3))
    story.suspend()
    story.delete("ConfigMap", "m02")
    commit = story.push({"app/m02.yaml": None})
    story.ready("app", commit, kind="GitRepository")
    story.respec(suspend=None)
    story.becomes("it left the inventory", lambda: len(story.inventory()) == 2)
    story.ready()


def test_an_object_in_use_stays_in_the_inventory_until_it_is_gone(story: Story) -> None:
    story.start(maps(story, 3))
    held(story, "m02")
    commit = story.push({"app/m02.yaml": None})
    story.ready("app", commit)
    assert "deletionTimestamp" in story.get("ConfigMap", "m02")["metadata"]
    assert f"{story.namespace}_m02__ConfigMap" in story.inventory()
    release(story, "m02")
    story.becomes("it left the inventory", lambda: len(story.inventory()) == 2)


def test_an_object_that_comes_back_while_it_is_deleted_is_made_again(story: Story) -> None:
    story.start(maps(story, 3))
    before = story.get("ConfigMap", "m02")["metadata"]["uid"]
    held(story, "m02")
    story.ready("app", story.push({"app/m02.yaml": None}))
    story.ready("app", story.push({"app/m02.yaml": [config_map("m02", story.namespace, x="1")]}))
    release(story, "m02")

    def again() -> bool:
        found = story.find("ConfigMap", "m02")
        return found is not None and found["metadata"]["uid"] != before

    story.becomes("it is made again", again)
    assert story.data("m02") == {"x": "1"}


def test_an_object_moves_to_another_kustomization(story: Story) -> None:
    """It is the same object before and after, it never vanishes, and it has one owner in the end."""
    moving = [config_map("moving", story.namespace, x="1")]
    story.start(
        {**maps(story, 2), "app/moving.yaml": moving, "to/a.yaml": [config_map("t", story.namespace)]},
        "app",
        "to",
    )
    before = story.get("ConfigMap", "moving")["metadata"]
    for there, here in (("to", "app"), ("app", "to"), ("to", "app")):
        commit = story.push({f"{here}/moving.yaml": None, f"{there}/moving.yaml": moving})
        story.ready(here, commit)
        story.ready(there, commit)
        id_ = f"{story.namespace}_moving__ConfigMap"
        story.becomes("one inventory has it", lambda here=here, id_=id_: id_ not in story.inventory(here))  # type: ignore[misc]
        assert id_ in story.inventory(there)
        after = story.get("ConfigMap", "moving")["metadata"]
        assert after["labels"][NAME] == there
        assert after["uid"] == before["uid"]


def test_two_kustomizations_with_the_same_object_are_both_told(story: Story) -> None:
    """They would undo each other for ever; each names the other."""
    same = [config_map("same", story.namespace)]
    story.push(
        {
            "app/a.yaml": [*same, config_map("a", story.namespace)],
            "to/a.yaml": [*same, config_map("b", story.namespace)],
        }
    )
    story.source()
    story.kustomization("app")
    story.ready("app")
    story.kustomization("to")
    story.told("to", f"{story.namespace}/app")
    story.told("app", f"{story.namespace}/to")


# --- the prune guard ---


def test_a_source_that_yields_nothing_deletes_nothing_until_it_is_meant(story: Story) -> None:
    story.start(maps(story, 3))
    commit = story.push({**dict.fromkeys(maps(story, 3)), "app/readme.md": "empty now"})
    item = story.failed("app", "PruneHeld", "3 of 3 objects")
    message = conditions(item)["Ready"]["message"]
    assert f"{ALLOW_PRUNE}='main@sha1:{commit}'" in message
    assert f"ConfigMap/{story.namespace}/m00" in message
    assert conditions(item)["Stalled"]["status"] == "True"
    assert len(story.inventory()) == len(story.all_of("ConfigMap")) == 3
    event = story.told("app", "3 of 3 objects")
    assert (event["type"], event["reason"]) == ("Warning", "PruneHeld")
    assert event["metadata"]["annotations"][REVISION] == f"main@sha1:{commit}"
    story.annotate("Kustomization", "app", **{ALLOW_PRUNE: "main@sha1:" + "0" * 40})
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert len(story.all_of("ConfigMap")) == 3
    story.annotate("Kustomization", "app", **{ALLOW_PRUNE: f"main@sha1:{commit}"})
    item = story.ready("app", commit)
    assert "Stalled" not in conditions(item)
    assert item["status"]["inventory"]["entries"] == []
    assert story.all_of("ConfigMap") == []


def test_more_than_half_of_many_objects_waits_and_the_rest_is_applied(story: Story) -> None:
    story.start(maps(story, 12))
    left = dict.fromkeys(list(maps(story, 12))[5:])
    commit = story.push(
        {
            **left,
            "app/m00.yaml": [config_map("m00", story.namespace, x="1")],
            "app/new.yaml": [config_map("new", story.namespace)],
        }
    )
    item = story.failed("app", "PruneHeld", "7 of 12 objects")
    assert story.data("m00") == {"x": "1"}
    assert story.find("ConfigMap", "new")
    assert len(story.inventory()) == 13
    assert item["status"]["lastAppliedRevision"] != f"main@sha1:{commit}"
    assert item["status"]["lastAttemptedRevision"] == f"main@sha1:{commit}"
    # While it waits, what stays is still kept right.
    story.delete("ConfigMap", "m01")
    story.becomes("drift is repaired", lambda: story.find("ConfigMap", "m01"))
    story.annotate("Kustomization", "app", **{ALLOW_PRUNE: f"main@sha1:{commit}"})
    story.ready("app", commit)
    assert len(story.inventory()) == len(story.all_of("ConfigMap")) == 6


def test_a_release_is_good_for_one_revision(story: Story) -> None:
    story.start(maps(story, 3))
    first = story.push({**dict.fromkeys(maps(story, 3)), "app/readme.md": "empty"})
    story.failed("app", "PruneHeld", first)
    second = story.push({"app/readme.md": "still empty"})
    story.failed("app", "PruneHeld", second)
    story.annotate("Kustomization", "app", **{ALLOW_PRUNE: f"main@sha1:{first}"})
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert len(story.all_of("ConfigMap")) == 3
    commit = story.push(dict(maps(story, 3)))
    story.ready("app", commit)


@pytest.mark.parametrize(("before", "after"), [(10, 4), (11, 6), (12, 6)])
def test_a_prune_that_is_not_so_large_is_done(story: Story, before: int, after: int) -> None:
    story.start(maps(story, before))
    commit = story.push(dict.fromkeys(list(maps(story, before))[after:]))
    story.ready("app", commit)
    assert len(story.inventory()) == len(story.all_of("ConfigMap")) == after


def test_a_wrong_path_deletes_nothing(story: Story) -> None:
    """An empty folder builds to nothing, as a typing mistake would."""
    story.start({**maps(story, 3), "other/readme.md": "no manifest"})
    story.respec(path="./other")
    story.failed("app", "PruneHeld", "3 of 3 objects")
    assert len(story.all_of("ConfigMap")) == 3
    story.respec(path="./app")
    story.ready()


# --- deletion ---


POLICIES: dict[str, tuple[dict[str, Any], bool]] = {
    "by default": ({}, False),
    "by default, without prune": ({"prune": False}, True),
    "Delete, without prune": ({"deletionPolicy": "Delete", "prune": False}, False),
    "WaitForTermination": ({"deletionPolicy": "WaitForTermination", "prune": False}, False),
    "Orphan": ({"deletionPolicy": "Orphan"}, True),
    "suspended": ({"suspend": True}, True),
}


def test_deletion_keeps_or_deletes_as_the_policy_says(story: Story) -> None:
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    for number, (promise, (spec, stays)) in enumerate(POLICIES.items()):
        name = f"p{number}"
        story.kustomization(name, path="./app", nameSuffix=f"-{name}")
        story.ready(name)
        story.respec(name, **spec)
        story.delete("Kustomization", name)
        story.gone("Kustomization", name)
        assert (story.find("ConfigMap", f"a-{name}") is not None) == stays, promise
        story.left.add(f"{story.namespace}_a-{name}__ConfigMap")


def test_deletion_waits_for_termination_if_told_to(story: Story) -> None:
    story.start(maps(story, 2), deletionPolicy="WaitForTermination")
    held(story, "m00")
    story.delete("Kustomization", "app")
    story.becomes("the others are gone", lambda: len(story.all_of("ConfigMap")) == 1)
    story.becomes(
        "its end has begun", lambda: "deletionTimestamp" in story.get("ConfigMap", "m00")["metadata"]
    )
    assert story.find("Kustomization", "app")
    release(story, "m00")
    story.gone("Kustomization", "app")


def test_deletion_needs_no_source(story: Story) -> None:
    commit = story.start(maps(story, 2))
    story.delete("GitRepository", "app")
    story.gone("GitRepository", "app")
    story.failed("app", "ArtifactFailed", "not found")
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")
    assert story.all_of("ConfigMap") == []
    event = story.told("app", "deleted")
    assert (event["type"], event["reason"]) == ("Normal", "ArtifactFailed")  # the reason that Ready had
    assert event["metadata"]["annotations"][REVISION] == f"main@sha1:{commit}"


def test_a_source_that_goes_takes_nothing_with_it(story: Story) -> None:
    commit = story.start(maps(story, 2))
    story.delete("GitRepository", "app")
    story.failed("app", "ArtifactFailed", "not found")
    assert len(story.all_of("ConfigMap")) == 2
    story.source()
    story.ready("app", commit)


def test_deletion_without_the_service_account_keeps_the_objects(story: Story) -> None:
    """As Flux does: nobody may delete them in the tenant's name any more, and nobody else does."""
    story.create("ServiceAccount", "tenant", {})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}
    story.create("Role", "tenant", {"rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": story.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    story.create("RoleBinding", "tenant", {"subjects": [subject], "roleRef": ref})
    commit = story.start(maps(story, 2), serviceAccountName="tenant")
    story.delete("ServiceAccount", "tenant")
    story.delete("RoleBinding", "tenant")
    story.delete("Kustomization", "app")
    try:
        story.gone("Kustomization", "app", timeout_s=10.0)
    finally:
        if story.find("Kustomization", "app"):
            story.respec(suspend=True)
    assert len(story.all_of("ConfigMap")) == 2
    event = story.told("app", "unable to prune objects")
    assert (event["type"], event["reason"]) == ("Warning", "ReconciliationSucceeded")
    assert event["metadata"]["annotations"][REVISION] == f"main@sha1:{commit}"
    story.left.update(f"{story.namespace}_{name}__ConfigMap" for name in ("m00", "m01"))


# --- suspend ---


def test_a_suspended_kustomization_does_nothing(story: Story, audit: Audit) -> None:
    first = story.start(maps(story, 2))
    story.kustomization("asleep", suspend=True)
    story.becomes("its finalizer", lambda: story.get("Kustomization", "asleep")["metadata"].get("finalizers"))
    generation = story.respec(suspend=True)
    token = story.request("Kustomization", "app")
    item = story.handled("Kustomization", "app", token)
    assert item["status"]["observedGeneration"] == generation
    assert first in conditions(item)["Ready"]["message"]
    commit = story.push({"app/m00.yaml": [config_map("m00", story.namespace, x="1")]})
    story.ready("app", commit, kind="GitRepository")
    story.delete("ConfigMap", "m01")
    audit.restart()
    item = story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    mine = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert [(e.resource, e.subresource) for e in mine] == [("kustomizations", "status")]
    assert story.data("m00") == {}
    story.respec(suspend=None)
    story.ready("app", commit)
    assert story.data("m00") == {"x": "1"}
    story.becomes("what was deleted is back", lambda: story.find("ConfigMap", "m01"))


def test_a_suspended_source_offers_what_it_has(story: Story) -> None:
    first = story.start(maps(story, 2))
    story.respec(kind="GitRepository", suspend=True)
    story.push({"app/m00.yaml": None})
    token = story.request("GitRepository", "app")
    item = story.handled("GitRepository", "app", token)
    assert item["status"]["artifact"]["revision"] == f"main@sha1:{first}"
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.find("ConfigMap", "m00")
    story.respec(kind="GitRepository", suspend=None)
    story.becomes("the commit arrives", lambda: story.find("ConfigMap", "m00") is None)


# --- dependencies ---


def chain(story: Story, **depends: list[str]) -> None:
    """A Kustomization and a folder of one ConfigMap for each name."""
    story.push({f"{name}/a.yaml": [config_map(name, story.namespace)] for name in depends})
    story.source()
    for name, others in depends.items():
        story.kustomization(name, dependsOn=[{"name": other} for other in others])


def created_at(story: Story, name: str) -> int:
    return int(story.get("ConfigMap", name)["metadata"]["resourceVersion"])


def test_dependencies_come_first_and_wake_at_once(story: Story) -> None:
    """A chain of four, made in the wrong order, is done long before the 30 s of the safety net."""
    began = time.monotonic()
    chain(story, d=["c"], c=["b"], b=["a"], a=[])
    story.ready("d")
    assert time.monotonic() - began < 15
    made = [created_at(story, name) for name in "abcd"]
    assert made == sorted(made)
    commit = story.push({f"{name}/a.yaml": [config_map(name, story.namespace, n="2")] for name in "abcd"})
    story.ready("d", commit)
    made = [created_at(story, name) for name in "abcd"]
    assert made == sorted(made)


def test_a_dependency_that_is_not_there(story: Story) -> None:
    chain(story, b=["a"])
    text = f"dependency '{story.namespace}/a' not found: "
    item = story.failed("b", "DependencyNotReady", text)
    assert "Reconciling" not in conditions(item)
    event = story.told("b", "Dependencies do not meet ready condition, retrying in 30s")
    assert (event["type"], event["reason"]) == ("Normal", "DependencyNotReady")
    assert story.find("ConfigMap", "b") is None
    story.push({"a/a.yaml": [config_map("a", story.namespace)]})
    story.kustomization("a")
    story.ready("b", timeout_s=10.0)


def test_a_dependency_that_fails(story: Story) -> None:
    chain(story, a=[], b=["a"])
    story.ready("b")
    story.push({"a/bad.yaml": "a: [\n", "b/b.yaml": [config_map("b2", story.namespace)]})
    story.failed("a", "BuildFailed")
    text = f"dependency '{story.namespace}/a' is not ready"
    item = story.failed("b", "DependencyNotReady", text)
    assert "Reconciling" not in conditions(item)
    assert story.find("ConfigMap", "b2") is None
    commit = story.push({"a/bad.yaml": None})
    story.ready("b", commit, timeout_s=10.0)
    assert story.find("ConfigMap", "b2")


def test_a_dependency_of_the_same_source_must_have_the_same_revision(story: Story) -> None:
    chain(story, a=[], b=["a"])
    story.ready("b")
    story.suspend("a")
    commit = story.push({"b/b.yaml": [config_map("b2", story.namespace)]})
    story.failed("b", "DependencyNotReady", f"dependency '{story.namespace}/a' revision is not up to date")
    assert story.find("ConfigMap", "b2") is None
    story.respec("a", suspend=None)
    story.ready("b", commit, timeout_s=10.0)


def test_a_suspended_dependency_that_is_ready_counts(story: Story) -> None:
    chain(story, a=[])
    story.ready("a")
    story.suspend("a")
    story.repository.publish({"b/a.yaml": "{}"})  # not looked at: the source is polled once an hour
    story.kustomization("b", path="./a", nameSuffix="-b", dependsOn=[{"name": "a"}])
    story.ready("b", timeout_s=10.0)


def test_a_ring_of_dependencies_is_told_on_all_its_members(story: Story) -> None:
    chain(story, a=["c"], b=["a"], c=["b"])
    for name in "abc":
        story.failed(name, "DependencyNotReady", "spec.dependsOn goes round in a ring: ")
    story.respec("b", dependsOn=[])
    for name in "abc":
        story.ready(name, timeout_s=10.0)


def test_a_ring_that_an_edit_closes_is_told_on_all_its_members(story: Story) -> None:
    chain(story, a=[], b=["a"], c=["b"])
    story.ready("c")
    story.respec("a", dependsOn=[{"name": "c"}])
    for name in "abc":
        story.failed(name, "DependencyNotReady", "spec.dependsOn goes round in a ring: ", timeout_s=10.0)
    story.respec("a", dependsOn=[])
    for name in "abc":
        story.ready(name, timeout_s=10.0)


def test_one_that_depends_on_itself_is_told(story: Story) -> None:
    chain(story, a=["a"])
    text = f"spec.dependsOn goes round in a ring: {story.namespace}/a → {story.namespace}/a"
    story.failed("a", "DependencyNotReady", text)


# --- the same name again ---


def test_a_kustomization_that_is_made_again_finds_its_objects(story: Story) -> None:
    story.start(maps(story, 2), deletionPolicy="Orphan")
    before = story.get("ConfigMap", "m00")["metadata"]["uid"]
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")
    story.kustomization()
    story.ready()
    assert story.get("ConfigMap", "m00")["metadata"]["uid"] == before
    assert len(story.inventory()) == 2


def test_a_stranger_that_took_the_name_is_not_deleted(story: Story) -> None:
    """Between our apply and our delete somebody replaced the object by one without our labels."""
    story.start(maps(story, 3))
    story.suspend()
    story.delete("ConfigMap", "m02")
    story.create("ConfigMap", "m02", {"data": {"mine": "yes"}})
    commit = story.push({"app/m02.yaml": None})
    story.ready("app", commit, kind="GitRepository")
    story.respec(suspend=None)
    story.becomes("it left the inventory", lambda: len(story.inventory()) == 2)
    assert story.data("m02") == {"mine": "yes"}
    story.left.add(f"{story.namespace}_m02__ConfigMap")
