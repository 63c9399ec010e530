"""Who changes or deletes an object of ours is undone at once, told of, and cannot make us busy."""

import contextlib
import re
import threading
import time
from collections.abc import Callable

import pytest

from lab.apiclient import ApiRefused
from tests.harness.audit import Audit, Entry
from tests.harness.manifests import Manifest, config_map, deployment, job
from tests.harness.story import KUSTOMIZE, Story, not_yet
from tests.integration.conftest import KUSTOMIZE_USER, SOURCE_USER, Pair

SSA = f"{KUSTOMIZE}/ssa"
RECONCILE = f"{KUSTOMIZE}/reconcile"


@pytest.fixture
def running(story: Story) -> Story:
    """A story with a Deployment `web` of two replicas and a ConfigMap `settings`, Ready."""
    objects = [
        deployment("web", story.namespace, replicas=2),
        config_map("settings", story.namespace, level="low"),
    ]
    story.start({"app/a.yaml": objects})
    return story


def writes(audit: Audit, story: Story, *users: str) -> list[Entry]:
    """Of our controllers, in the story's namespace."""
    asked = audit.entries(users or (KUSTOMIZE_USER, SOURCE_USER))
    return [entry for entry in asked if entry.namespace == story.namespace and entry.is_write]


def replicas(story: Story) -> int:
    found: int = story.get("Deployment", "web")["spec"]["replicas"]
    return found


# --- what is undone ---


def edit_a_value(story: Story) -> None:
    story.patch("ConfigMap", "settings", {"data": {"level": "high"}}, manager="somebody")


def remove_a_value(story: Story) -> None:
    story.patch("ConfigMap", "settings", {"data": None}, manager="somebody")


def scale(story: Story) -> None:
    story.cluster.kubectl("scale", "deployment", "web", "-n", story.namespace, "--replicas=5")


def delete_it(story: Story) -> None:
    story.delete("ConfigMap", "settings")


def remove_our_label(story: Story) -> None:
    story.patch("ConfigMap", "settings", {"metadata": {"labels": {f"{KUSTOMIZE}/name": None}}})


def rename_our_label(story: Story) -> None:
    story.patch("ConfigMap", "settings", {"metadata": {"labels": {f"{KUSTOMIZE}/name": "other"}}})


def replace_it(story: Story) -> None:
    story.delete("ConfigMap", "settings")
    with contextlib.suppress(ApiRefused):  # we were faster
        story.create("ConfigMap", "settings", {"data": {"level": "mine"}})


def force_another_image(story: Story) -> None:
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "evil:1"}]}}},
    }
    story.cluster.client.apply(story.path("Deployment", "web"), patch, field_manager="another-tool")


def write_under_our_name(story: Story) -> None:
    """A change that leaves no trace in managedFields but the time of our own entry."""
    content = story.get("ConfigMap", "settings")
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": content["metadata"]["labels"]},
        "data": {"level": "forged"},
    }
    time.sleep(1.1)  # a time in managedFields has whole seconds
    story.cluster.client.apply(
        story.path("ConfigMap", "settings"), body, field_manager="kustomize-controller"
    )


def apply_more_with_kubectl(story: Story) -> None:
    """Additions of others are no drift, but those of kubectl are taken over and undone."""
    more = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"extra": "1"}}
    text = f"{more}".replace("'", '"')
    story.cluster.kubectl("apply", "-n", story.namespace, "-f", "-", input=text)


def edit_with_kubectl(story: Story) -> None:
    patch = '{"data": {"extra": "1"}}'
    story.cluster.kubectl(
        "patch", "configmap", "settings", "-n", story.namespace, "--type=merge", "-p", patch
    )


CHANGES: dict[str, tuple[Callable[[Story], None], str]] = {
    "a value is edited": (edit_a_value, "data.level changed by 'somebody'"),
    "a value is removed": (remove_a_value, "removed"),
    "a Deployment is scaled": (scale, "spec.replicas changed by"),
    "an object is deleted": (delete_it, "was deleted"),
    "our label is removed": (remove_our_label, "removed"),
    "our label is changed": (rename_our_label, "changed by"),
    "an object is replaced by a namesake": (replace_it, ""),
    "another tool takes a field by force": (force_another_image, "image changed by 'another-tool'"),
    "somebody writes under our name": (write_under_our_name, ""),
    "kubectl apply adds a field": (apply_more_with_kubectl, "data.extra.* changed by 'kubectl"),
    "kubectl patch adds a field": (edit_with_kubectl, "data.extra.* changed by 'kubectl"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_it_is_undone_and_told(running: Story, change: Callable[[Story], None], told: str) -> None:
    story = running
    before = len(story.events("app"))
    change(story)
    story.becomes("the ConfigMap is right", lambda: _is_right(story), timeout_s=10.0)
    subject = "Deployment" if "Deployment" in told or change in (scale, force_another_image) else "ConfigMap"

    def event() -> bool:
        messages = [one["message"] for one in story.events("app")[before:]]
        found = [text for text in messages if re.match(f"{subject}/.*{told}", text)]
        return bool(found) or not_yet(messages)

    story.becomes(f"an event says '{told}'", event)
    story.ready()


def _is_right(story: Story) -> bool:
    found = story.get("ConfigMap", "settings")
    labels = found["metadata"].get("labels", {})
    image = story.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    return (
        found["data"] == {"level": "low"}
        and labels.get(f"{KUSTOMIZE}/name") == "app"
        and "kubectl.kubernetes.io/last-applied-configuration" not in found["metadata"].get("annotations", {})
        and replicas(story) == 2
        and image == "nginx:1"
    )


def test_a_repair_is_one_request_and_no_history(running: Story, audit: Audit) -> None:
    story = running
    history = story.get("Kustomization", "app")["status"]["history"]
    audit.restart()
    story.patch("ConfigMap", "settings", {"data": {"level": "high"}}, manager="somebody")
    story.becomes("it is repaired", lambda: story.data("settings") == {"level": "low"})
    story.told("app", "changed by 'somebody'")
    asked = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert [(e.verb, e.resource) for e in asked if e.resource != "events"] == [("patch", "configmaps")]
    assert story.get("Kustomization", "app")["status"]["history"] == history


def test_a_repair_is_quick(running: Story) -> None:
    story = running
    took = []
    for number in range(2):  # from the third on, a fight is damped
        story.patch("ConfigMap", "settings", {"data": {"level": f"high {number}"}}, manager="somebody")
        began = time.monotonic()
        story.becomes("it is repaired", lambda: story.data("settings") == {"level": "low"})
        took.append(time.monotonic() - began)
    assert min(took) < 1.0, took


# --- what is left alone ---


def test_what_others_add_is_left_alone(running: Story, audit: Audit) -> None:
    story = running
    audit.restart()
    story.patch("ConfigMap", "settings", {"data": {"theirs": "1"}}, manager="somebody")
    story.patch("Deployment", "web", {"metadata": {"annotations": {"theirs": "1"}}}, manager="somebody")
    story.patch("ConfigMap", "settings", {"metadata": {"finalizers": ["example.test/x"]}}, manager="somebody")
    _nothing_happens(story, audit, for_s=2.0)
    assert story.data("settings") == {"level": "low", "theirs": "1"}
    story.patch("ConfigMap", "settings", {"metadata": {"finalizers": None}}, manager="somebody")


def test_a_job_that_goes_by_itself_is_not_run_again(story: Story, audit: Audit, controllers: Pair) -> None:
    """Not by a repair, not after a restart; once its content changes, or a person asks for it."""
    objects = {name: job(name, story.namespace, ttl=ttl) for name, ttl in (("once", 60), ("kept", None))}
    story.start({"app/a.yaml": list(objects.values())})
    audit.restart()
    end(story, "once")
    lose(story, "kept")  # seen by the same watch, after the other end
    controllers.kustomize.restart()
    lose(story, "kept")
    applied = [entry.name for entry in writes(audit, story, KUSTOMIZE_USER) if entry.resource == "jobs"]
    assert applied == ["kept", "kept"]
    objects["once"]["spec"]["backoffLimit"] = 3
    commit = story.push({"app/a.yaml": list(objects.values())})
    story.ready("app", commit)
    assert story.get("Job", "once")["spec"]["backoffLimit"] == 3
    end(story, "once")
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.find("Job", "once")


def end(story: Story, name: str) -> None:
    """As the TTL controller does it: by default a Job would wait for its pods to be orphaned."""
    story.cluster.client.request("DELETE", story.path("Job", name), propagationPolicy="Background")


def lose(story: Story, name: str) -> None:
    """Delete a Job, and wait until it is there again."""
    end(story, name)
    story.becomes(f"{name} is back", lambda: story.find("Job", name))


def test_status_of_others_costs_nothing(running: Story, audit: Audit) -> None:
    story = running
    path = story.path("Deployment", "web") + "/status"
    audit.restart()
    for number in range(20):
        story.cluster.client.merge(path, {"status": {"observedGeneration": 1, "replicas": number}})
    _nothing_happens(story, audit, for_s=2.0)


def test_a_steady_state_costs_nothing(story: Story, audit: Audit) -> None:
    """Five Kustomizations that run again every second, over a source that is polled every second."""
    names = [f"k{number}" for number in range(5)]
    story.start(
        {f"{name}/a.yaml": [config_map(name, story.namespace)] for name in names}, *names, interval="1s"
    )
    story.respec(kind="GitRepository", interval="1s")
    story.ready(kind="GitRepository")
    polls = len(story.git.requests(story.repository_name))
    audit.restart()
    _nothing_happens(story, audit, for_s=10.0)
    assert len(story.git.requests(story.repository_name)) >= polls + 5  # it was awake


def _nothing_happens(story: Story, audit: Audit, *, for_s: float) -> None:
    time.sleep(for_s)  # silence is what is tested
    asked = audit.entries([KUSTOMIZE_USER, SOURCE_USER])
    assert [entry for entry in asked if entry.namespace == story.namespace] == []


def test_a_live_object_with_reconcile_disabled_is_left_alone(running: Story) -> None:
    """Edits stay, a new commit passes it by, and it is ours again once the annotation goes."""
    story = running
    off = {"metadata": {"annotations": {RECONCILE: "disabled"}}, "data": {"level": "by hand"}}
    story.patch("ConfigMap", "settings", off, manager="somebody")
    objects = [
        deployment("web", story.namespace, replicas=3),
        config_map("settings", story.namespace, level="new"),
    ]
    commit = story.push({"app/a.yaml": objects})
    story.ready("app", commit)
    assert replicas(story) == 3
    assert story.data("settings") == {"level": "by hand"}
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.data("settings") == {"level": "by hand"}
    assert f"{story.namespace}_settings__ConfigMap" in story.inventory()
    story.patch("ConfigMap", "settings", {"metadata": {"annotations": {RECONCILE: None}}}, manager="somebody")
    story.becomes("it is ours again", lambda: story.data("settings") == {"level": "new"})


def test_a_live_object_with_reconcile_disabled_is_not_pruned(running: Story) -> None:
    story = running
    story.patch("ConfigMap", "settings", {"metadata": {"annotations": {RECONCILE: "disabled"}}}, manager="me")
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace)]})
    story.ready("app", commit)
    assert story.find("ConfigMap", "settings")
    story.left.add(f"{story.namespace}_settings__ConfigMap")


def once(story: Story, *, x: str) -> list[Manifest]:
    return [
        config_map("once", story.namespace, annotations={SSA: "IfNotPresent"}, x=x),
        config_map("other", story.namespace, x=x),
    ]


def test_if_not_present_leaves_what_is_there(story: Story) -> None:
    story.create("ConfigMap", "once", {"data": {"mine": "1"}})
    story.start({"app/a.yaml": once(story, x="1")})
    assert story.data("once") == {"mine": "1"}
    assert f"{story.namespace}_once__ConfigMap" in story.inventory()
    commit = story.push({"app/a.yaml": once(story, x="2")})
    story.ready("app", commit)
    assert story.data("other") == {"x": "2"}
    assert story.data("once") == {"mine": "1"}


def test_what_was_passed_by_is_looked_at_again_at_the_interval(story: Story) -> None:
    """It carries no label of ours, so no watch tells of it."""
    story.create("ConfigMap", "once", {"data": {"mine": "1"}})
    disabled = {"metadata": {"annotations": {RECONCILE: "disabled"}}, "data": {"mine": "1"}}
    story.create("ConfigMap", "off", disabled)
    story.start(
        {"app/a.yaml": [*once(story, x="1"), config_map("off", story.namespace, x="1")]}, interval="1s"
    )
    story.delete("ConfigMap", "once")
    story.patch("ConfigMap", "off", {"metadata": {"annotations": None}})
    story.becomes("it is made", lambda: story.data("once") == {"x": "1"})
    story.becomes("it is ours", lambda: story.data("off") == {"x": "1", "mine": "1"})


def test_if_not_present_makes_what_is_missing_and_then_leaves_it(story: Story, audit: Audit) -> None:
    story.start({"app/a.yaml": once(story, x="1")})
    assert story.data("once") == {"x": "1"}
    commit = story.push({"app/a.yaml": once(story, x="2")})
    story.ready("app", commit)
    assert story.data("other") == {"x": "2"}
    assert story.data("once") == {"x": "1"}
    story.patch("ConfigMap", "once", {"data": {"x": "by hand"}}, manager="somebody")
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.data("once") == {"x": "by hand"}
    audit.restart()
    _nothing_happens(story, audit, for_s=1.5)
    story.delete("ConfigMap", "once")
    story.becomes("it is made again", lambda: story.find("ConfigMap", "once"))
    assert story.data("once") == {"x": "2"}


def test_ssa_ignore_and_reconcile_disabled_in_the_source(story: Story) -> None:
    """Never applied, never pruned, but in the inventory."""
    story.start(
        {
            "app/a.yaml": [
                config_map("ignored", story.namespace, annotations={SSA: "Ignore"}),
                config_map("disabled", story.namespace, annotations={RECONCILE: "disabled"}),
                config_map("applied", story.namespace),
            ]
        }
    )
    assert [one["metadata"]["name"] for one in story.all_of("ConfigMap")] == ["applied"]
    assert len(story.inventory()) == 3


def test_what_kubectl_added_goes_once_it_is_not_merged_any_more(story: Story) -> None:
    """No event tells of it: kubectl wrote before our last apply."""
    merged = config_map("settings", story.namespace, annotations={SSA: "Merge"}, level="low")
    story.start({"app/a.yaml": [merged]})
    edit_with_kubectl(story)
    commit = story.push({"app/a.yaml": [config_map("settings", story.namespace, level="low")]})
    story.ready("app", commit)
    assert story.data("settings") == {"level": "low"}


def test_ssa_merge_keeps_what_kubectl_added(story: Story, audit: Audit) -> None:
    merged = config_map("settings", story.namespace, annotations={SSA: "Merge"}, level="low")
    story.start({"app/a.yaml": [merged]})
    audit.restart()
    edit_with_kubectl(story)
    _nothing_happens(story, audit, for_s=1.5)
    assert story.data("settings") == {"level": "low", "extra": "1"}


# --- first contact ---


def test_what_is_not_there_is_made_without_a_look(story: Story, audit: Audit) -> None:
    """One request an object: its creation. The same where an object of ours was deleted by hand."""
    audit.restart()
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1"), config_map("b", story.namespace)]})
    story.delete("ConfigMap", "a")
    story.becomes("it is made again", lambda: story.find("ConfigMap", "a"))
    asked = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    of_objects = [(e.verb, e.name) for e in asked if e.resource == "configmaps"]
    assert sorted(of_objects) == [("patch", "a"), ("patch", "a"), ("patch", "b")]


def test_what_kubectl_made_is_taken_over(story: Story) -> None:
    """Fields that the source does not have go, and so does kubectl's own record."""
    text = (
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "0", "old": "1"}}'
    )
    story.cluster.kubectl("apply", "-n", story.namespace, "-f", "-", input=text)
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1")]})
    found = story.get("ConfigMap", "a")
    assert found["data"] == {"x": "1"}
    assert "annotations" not in found["metadata"]
    managers = [(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]]
    assert managers == [("kustomize-controller", "Apply")]


def test_what_another_tool_made_keeps_its_own_fields(story: Story) -> None:
    story.create("ConfigMap", "a", {"data": {"theirs": "1"}})
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1")]})
    assert story.data("a") == {"x": "1", "theirs": "1"}


def test_an_existing_object_that_is_disabled_is_never_touched(story: Story) -> None:
    content = {"metadata": {"annotations": {RECONCILE: "disabled"}}, "data": {"mine": "1"}}
    story.create("ConfigMap", "a", content)
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="1"), config_map("b", story.namespace)]})
    assert story.data("a") == {"mine": "1"}
    assert f"{story.namespace}_a__ConfigMap" in story.inventory()
    story.patch("ConfigMap", "a", {"metadata": {"annotations": None}})
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.data("a") == {"x": "1", "mine": "1"}


# --- a fight ---


class Rival:
    """Sets a value whenever it finds another one, until stopped."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._over = threading.Event()
        self.won = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Rival":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            if replicas(self._story) != 9:
                self._story.patch("Deployment", "web", {"spec": {"replicas": 9}}, manager="autoscaler")
                self.won += 1


def test_a_fight_is_damped_and_named(running: Story, audit: Audit) -> None:
    story = running
    audit.restart()
    with Rival(story) as rival:
        event = story.told("app", "contested")
        assert "spec.replicas changed by 'autoscaler'" in event["message"]
        story.patch("ConfigMap", "settings", {"data": {"level": "high"}}, manager="somebody")
        story.becomes(
            "other objects are repaired at once",
            lambda: story.data("settings") == {"level": "low"},
            timeout_s=2.0,
        )
    patches = [e for e in writes(audit, story, KUSTOMIZE_USER) if e.resource == "deployments"]
    assert len(patches) <= rival.won <= 6
    story.becomes("peace", lambda: replicas(story) == 2, timeout_s=30.0)
