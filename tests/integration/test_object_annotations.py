"""What an object says of itself about how it is applied, and the fields of a spec that say it of all:
`force`, `ignore`, and the labels and annotations below `kustomize.toolkit.fluxcd.io/`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from lab.apiclient import ApiRefused
from lab.ports import free_port
from tests.harness.audit import Audit
from tests.harness.manifests import Manifest, config_map, deployment, widget, widget_definition
from tests.harness.story import KUSTOMIZE, Story, conditions
from tests.integration.conftest import KUSTOMIZE_USER, Pair

FORCE = f"{KUSTOMIZE}/force"
MANAGER = "somebody"


def marked(name: str, story: Story, form: str, key: str, value: str) -> Manifest:
    """A ConfigMap with one label or annotation of ours."""
    made = config_map(name, story.namespace)
    made["metadata"][form] = {f"{KUSTOMIZE}/{key}": value}
    return made


def fixed(name: str, story: Story, /, *, annotations: dict[str, str] | None = None, **data: str) -> Manifest:
    """A ConfigMap whose data cannot be changed."""
    return {**config_map(name, story.namespace, annotations=annotations, **data), "immutable": True}


def metadata(story: Story, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = story.get("ConfigMap", name)["metadata"]
    return found


def uid(story: Story, name: str) -> str:
    found: str = metadata(story, name)["uid"]
    return found


# --- in the source, as a label or an annotation, in any case ---

SAID: dict[str, tuple[str, str, str, bool]] = {
    "ignore, an annotation": ("annotations", "ssa", "Ignore", False),
    "ignore, a label": ("labels", "ssa", "ignore", False),
    "not to be reconciled, an annotation": ("annotations", "reconcile", "Disabled", False),
    "not to be reconciled, a label": ("labels", "reconcile", "disabled", False),
    "override, which is usual": ("annotations", "ssa", "Override", True),
    "to be reconciled": ("labels", "reconcile", "enabled", True),
}


def test_what_the_source_says_about_an_apply(story: Story) -> None:
    rows = list(enumerate(SAID.values()))
    objects = [marked(f"a{n}", story, form, key, value) for n, (form, key, value, _) in rows]
    story.start({"app/a.yaml": objects})
    for n, (form, key, value, applied) in rows:
        assert (story.find("ConfigMap", f"a{n}") is not None) is applied, (form, key, value)
    assert len(story.inventory()) == len(rows)


KEPT: dict[str, tuple[str, str, str]] = {
    "not to be pruned, an annotation": ("annotations", "prune", "disabled"),
    "not to be pruned, a label": ("labels", "prune", "Disabled"),
    "not to be reconciled, live": ("annotations", "reconcile", "disabled"),
    "to be ignored, live": ("labels", "ssa", "Ignore"),
}


def test_what_a_live_object_says_about_its_end(story: Story) -> None:
    """Whoever said it: here a person, after it was applied."""
    names = [f"a{n}" for n in range(len(KEPT))]
    files = {f"app/{name}.yaml": [config_map(name, story.namespace)] for name in (*names, "b", *"cdefgh")}
    story.start(files)
    for name, (form, key, value) in zip(names, KEPT.values(), strict=True):
        patch = {"metadata": {form: {f"{KUSTOMIZE}/{key}": value}}}
        story.patch("ConfigMap", name, patch, manager=MANAGER)
        story.left.add(f"{story.namespace}_{name}__ConfigMap")
    commit = story.push({f"app/{name}.yaml": None for name in (*names, "b")})
    story.ready("app", commit)
    assert story.find("ConfigMap", "b") is None
    assert all(story.find("ConfigMap", name) for name in names)
    assert len(story.inventory()) == len("cdefgh")


# --- made anew ---


def say_in_the_spec(story: Story) -> None:
    story.respec(force=True)


def say_in_the_source(story: Story) -> None:
    made = fixed("a", story, annotations={FORCE: "Enabled"}, x="2")
    story.push({"app/a.yaml": [made]})


def say_by_a_label(story: Story) -> None:
    made = fixed("a", story, x="2")
    made["metadata"]["labels"] = {FORCE: "enabled"}
    story.push({"app/a.yaml": [made]})


def say_on_the_live_object(story: Story) -> None:
    story.patch("ConfigMap", "a", {"metadata": {"annotations": {FORCE: "enabled"}}}, manager=MANAGER)
    story.left.add(f"{story.namespace}_a__ConfigMap")  # the record of our controllers does not show why
    story.request("Kustomization", "app")


SAYINGS = {
    "in the spec": say_in_the_spec,
    "in the source": say_in_the_source,
    "by a label": say_by_a_label,
    "on the live object": say_on_the_live_object,
}


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS)
def test_what_cannot_be_changed_is_made_anew_if_that_is_said(story: Story, say: Any) -> None:
    story.start({"app/a.yaml": [fixed("a", story, x="1")]})
    before = uid(story, "a")
    story.push({"app/a.yaml": [fixed("a", story, x="2")]})
    told = f"ConfigMap/{story.namespace}/a dry-run failed (Invalid): "
    story.failed("app", "ReconciliationFailed", told)
    assert uid(story, "a") == before
    say(story)
    story.ready()
    assert story.data("a") == {"x": "2"}
    assert uid(story, "a") != before
    story.told("app", f"ConfigMap/{story.namespace}/a created")


def test_many_of_a_stage_are_made_anew(story: Story, audit: Audit) -> None:
    """Where a dry run of all comes first."""
    story.start({"app/a.yaml": [fixed("a", story, x="1"), fixed("b", story, x="1")]}, force=True)
    audit.restart()
    commit = story.push({"app/a.yaml": [fixed("a", story, x="2"), fixed("b", story, x="2")]})
    story.ready("app", commit)
    assert (story.data("a"), story.data("b")) == ({"x": "2"}, {"x": "2"})
    deleted = [
        e.name for e in audit.entries([KUSTOMIZE_USER]) if e.verb == "delete" and e.resource == "configmaps"
    ]
    assert sorted(deleted) == ["a", "b"]


def test_an_object_may_refuse_to_be_made_anew(story: Story) -> None:
    story.start({"app/a.yaml": [fixed("a", story, x="1")]}, force=True)
    before = uid(story, "a")
    story.push({"app/a.yaml": [fixed("a", story, annotations={FORCE: "disabled"}, x="2")]})
    story.failed("app", "ReconciliationFailed", "(Invalid): ")
    assert uid(story, "a") == before


def test_a_mistake_is_no_reason_to_delete(story: Story, audit: Audit) -> None:
    """The API server says Invalid to it as well; it would as to a new object."""
    story.start({"app/a.yaml": [deployment("web", story.namespace)]}, force=True)
    audit.restart()
    wrong = deployment("web", story.namespace)
    wrong["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 70000}]
    story.push({"app/a.yaml": [wrong]})
    item = story.failed("app", "ReconciliationFailed", "containerPort")
    assert "dry-run failed (Invalid)" in conditions(item)["Ready"]["message"]
    assert not [e for e in audit.entries([KUSTOMIZE_USER]) if e.verb == "delete"]


def test_an_immutable_selector_is_made_anew(story: Story) -> None:
    story.start({"app/a.yaml": [deployment("web", story.namespace, app="one")]}, force=True)
    before = story.get("Deployment", "web")["metadata"]["uid"]
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace, app="two")]})
    story.ready("app", commit)
    found = story.get("Deployment", "web")
    assert found["metadata"]["uid"] != before
    assert found["spec"]["selector"]["matchLabels"] == {"app": "two"}


# --- not made anew, where a new one would be refused ---

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_TARGETS = {
    "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
    "operations": ["CREATE", "UPDATE"],
}  # fmt: skip


def policy(name: str, here: Mapping[str, Any], **validation: str) -> dict[str, Manifest]:
    """No Deployment may be called app `two`."""
    rule = {"expression": "object.spec.selector.matchLabels.app != 'two'", "message": "no", **validation}
    constraints = {"resourceRules": [_TARGETS], "namespaceSelector": here}
    return {
        "validatingadmissionpolicies": {"spec": {"matchConstraints": constraints, "validations": [rule]}},
        "validatingadmissionpolicybindings": {"spec": {"policyName": name, "validationActions": ["Deny"]}},
    }


def webhook_down(name: str, here: Mapping[str, Any]) -> dict[str, Manifest]:
    """Nobody listens at its port."""
    hook = {
        "name": f"down.{name}.test",
        "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [_TARGETS],
        "namespaceSelector": here,
    }
    return {"validatingwebhookconfigurations": {"webhooks": [hook]}}


def a_policy(name: str, here: Mapping[str, Any]) -> dict[str, Manifest]:
    return policy(name, here)


def a_policy_that_forbids(name: str, here: Mapping[str, Any]) -> dict[str, Manifest]:
    return policy(name, here, reason="Forbidden")


@contextmanager
def in_force(story: Story, make: Any) -> Iterator[None]:
    """What `make` gives, for the story's namespace, until it was seen to refuse a Deployment."""
    name = f"refuse-{story.namespace}"
    made = make(name, {"matchLabels": {"kubernetes.io/metadata.name": story.namespace}})
    client = story.cluster.client
    try:
        for plural, content in made.items():
            body = {**content, "metadata": {"name": name}}
            client.request("POST", f"{_ADMISSION}/{plural}", body)
        story.becomes("it is in force", lambda: refuses(story))
        yield
    finally:
        for plural in made:
            client.request("DELETE", f"{_ADMISSION}/{plural}/{name}")


def refuses(story: Story) -> bool:
    probe = deployment("probe", story.namespace, app="two")
    try:
        story.cluster.client.request("POST", story.path("Deployment"), probe, dryRun="All")
    except ApiRefused:
        return True
    return False


REFUSALS = {
    "a policy": (a_policy, "ValidatingAdmissionPolicy"),
    "a policy that forbids": (a_policy_that_forbids, "ValidatingAdmissionPolicy"),
    "a webhook that is down": (webhook_down, "failed calling webhook"),
}


@pytest.mark.parametrize(("make", "told"), REFUSALS.values(), ids=REFUSALS)
def test_the_old_one_stays_if_the_new_one_would_be_refused(
    story: Story, audit: Audit, make: Any, told: str
) -> None:
    story.start({"app/a.yaml": [deployment("web", story.namespace, app="one")]}, force=True)
    audit.restart()
    with in_force(story, make):
        story.push({"app/a.yaml": [deployment("web", story.namespace, app="two")]})
        item = story.failed("app", "ReconciliationFailed", "force does not delete it")
        message = conditions(item)["Ready"]["message"]
        assert "field is immutable" in message
        assert told in message
        assert story.get("Deployment", "web")["spec"]["selector"]["matchLabels"] == {"app": "one"}
        assert not [e for e in audit.entries([KUSTOMIZE_USER]) if e.verb == "delete"]


def test_what_holds_more_than_itself_must_say_so_itself(story: Story) -> None:
    """With a definition go all its custom resources; a mistake in it is no reason even then."""
    group = f"{story.namespace}.test"
    client = story.cluster.client
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}"
    item = f"/apis/{group}/v1/namespaces/{story.namespace}/widgets/w"
    made = widget_definition(group)
    story.start({"app/a.yaml": [made]}, force=True)
    client.apply(item, widget("w", story.namespace, group=group))
    before = client.get(path)["metadata"]["uid"]
    made["spec"]["scope"] = "Cluster"
    story.push({"app/a.yaml": [made]})
    story.failed("app", "ReconciliationFailed", f"set {FORCE}: enabled on the object itself")
    assert client.find(item)
    made["metadata"]["annotations"] = {FORCE: "enabled"}
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["type"] = "thing"
    story.push({"app/a.yaml": [made]})
    story.failed("app", "ReconciliationFailed", "would not take a new one")
    assert client.get(path)["metadata"]["uid"] == before
    assert client.find(item)
    schema["type"] = "object"
    commit = story.push({"app/a.yaml": [made]})
    story.ready("app", commit)
    assert client.get(path)["metadata"]["uid"] != before
    assert client.get(path)["spec"]["scope"] == "Cluster"


def test_drift_of_what_was_made_anew_is_undone(story: Story, audit: Audit) -> None:
    made = fixed("a", story, x="1")
    story.start({"app/a.yaml": [made]}, force=True)
    loose = config_map("a", story.namespace, x="2")
    commit = story.push({"app/a.yaml": [loose]})
    story.ready("app", commit)
    story.patch("ConfigMap", "a", {"data": {"x": "by hand"}}, manager=MANAGER)
    story.becomes("it is undone", lambda: story.data("a") == {"x": "2"})


def test_it_waits_for_what_holds_the_old_one(story: Story) -> None:
    story.start({"app/a.yaml": [fixed("a", story, x="1")]}, force=True)
    before = uid(story, "a")
    story.patch("ConfigMap", "a", {"metadata": {"finalizers": ["example.test/hold"]}}, manager=MANAGER)
    commit = story.push({"app/a.yaml": [fixed("a", story, x="2")]})
    story.becomes("its deletion was asked for", lambda: "deletionTimestamp" in metadata(story, "a"))
    assert story.inventory() == [f"{story.namespace}_a__ConfigMap"]
    story.patch("ConfigMap", "a", {"metadata": {"finalizers": None}}, manager=MANAGER)
    story.ready("app", commit)
    assert uid(story, "a") != before
    assert story.data("a") == {"x": "2"}


def test_a_kill_between_the_end_of_one_and_the_next(story: Story, controllers: Pair) -> None:
    """The object is in the inventory all the while, so the next process makes it."""
    story.start({"app/a.yaml": [fixed("a", story, x="1")]}, force=True)
    before = uid(story, "a")
    story.patch("ConfigMap", "a", {"metadata": {"finalizers": ["example.test/hold"]}}, manager=MANAGER)
    commit = story.push({"app/a.yaml": [fixed("a", story, x="2")]})
    story.becomes("its deletion was asked for", lambda: "deletionTimestamp" in metadata(story, "a"))
    controllers.kustomize.kill()
    story.patch("ConfigMap", "a", {"metadata": {"finalizers": None}}, manager=MANAGER)
    story.gone("ConfigMap", "a")
    assert story.inventory() == [f"{story.namespace}_a__ConfigMap"]
    controllers.kustomize.restart()
    story.ready("app", commit)
    assert uid(story, "a") != before


# --- fields that others may change ---

REPLICAS = [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]


def replicas(story: Story, name: str = "web") -> int:
    found: int = story.get("Deployment", name)["spec"]["replicas"]
    return found


def scale(story: Story, count: int) -> None:
    story.cluster.kubectl("scale", "deployment", "web", "-n", story.namespace, f"--replicas={count}")


def test_an_ignored_field_is_set_at_first_and_then_left(story: Story, audit: Audit) -> None:
    story.start({"app/a.yaml": [deployment("web", story.namespace, replicas=2)]}, ignore=REPLICAS)
    assert replicas(story) == 2
    audit.restart()
    scale(story, 5)
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    assert replicas(story) == 5
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace, replicas=3, image="nginx:2")]})
    story.ready("app", commit)
    assert replicas(story) == 5
    assert story.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"


def test_an_ignored_change_costs_nothing(story: Story, audit: Audit) -> None:
    """And a change of another field is undone without it."""
    objects = [deployment("web", story.namespace, replicas=2), deployment("other", story.namespace)]
    story.start({"app/a.yaml": objects}, ignore=REPLICAS)
    audit.restart()
    scale(story, 4)
    lose_the_label(story, "other")  # seen by the same watch, after the other change
    asked = [e for e in audit.entries([KUSTOMIZE_USER]) if e.resource == "deployments" and e.is_write]
    assert [entry.name for entry in asked] == ["other"]
    lose_the_label(story, "web")
    assert replicas(story) == 4


def test_a_restart_knows_what_is_ignored(story: Story, audit: Audit, controllers: Pair) -> None:
    """Of every object that the rule covers."""
    objects = [deployment(name, story.namespace) for name in ("web", "other", "last")]
    story.start({"app/a.yaml": objects}, ignore=REPLICAS)
    for name in ("web", "other"):
        story.patch("Deployment", name, {"spec": {"replicas": 4}}, manager=MANAGER)
    audit.restart()
    controllers.kustomize.restart()
    lose_the_label(story, "last")
    asked = [e for e in audit.entries([KUSTOMIZE_USER]) if e.resource == "deployments" and e.is_write]
    assert [entry.name for entry in asked] == ["last"]


def lose_the_label(story: Story, name: str) -> None:
    """And wait until it is back."""
    label = f"{KUSTOMIZE}/name"
    story.patch("Deployment", name, {"metadata": {"labels": {label: "x"}}}, manager=MANAGER)
    story.becomes(
        "the label is back", lambda: story.get("Deployment", name)["metadata"]["labels"][label] == "app"
    )


def test_a_field_that_nobody_took_stays_as_it_is(story: Story) -> None:
    """What we own alone would vanish if we ceased to send it."""
    story.start({"app/a.yaml": [deployment("web", story.namespace, replicas=2)]}, ignore=REPLICAS)
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace, replicas=7)]})
    story.ready("app", commit)
    assert replicas(story) == 2


def test_of_an_ignored_branch_ours_stays_beside_what_others_add(story: Story) -> None:
    """The others own a key of it, or took one of ours; and then nothing of it is drift."""
    made = config_map("a", story.namespace, annotations={"example.test/a": "1"}, x="1", y="1")
    rule = {"paths": ["/data", "/metadata/annotations"]}
    story.start({"app/a.yaml": [made]}, ignore=[rule])
    injected = {
        "data": {"ca": "injected", "y": "taken"},
        "metadata": {"annotations": {"example.test/b": "1"}},
    }
    story.patch("ConfigMap", "a", injected, manager=MANAGER)
    changed = config_map("a", story.namespace, annotations={"example.test/a": "2"}, x="2", y="2")
    changed["metadata"]["labels"] = {"version": "2"}
    commit = story.push({"app/a.yaml": [changed]})
    story.ready("app", commit)
    assert metadata(story, "a")["labels"]["version"] == "2"
    assert story.data("a") == {"x": "1", "y": "taken", "ca": "injected"}
    assert metadata(story, "a")["annotations"] == {"example.test/a": "1", "example.test/b": "1"}
    story.patch("ConfigMap", "a", {"data": {"ca": None}}, manager=MANAGER)
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    assert story.data("a") == {"x": "1", "y": "taken"}


def test_of_an_ignored_list_ours_stays_beside_what_others_add(story: Story) -> None:
    containers = "/spec/template/spec/containers"
    rule = {"paths": [containers], "target": {"kind": "Deployment"}}
    story.start({"app/a.yaml": [deployment("web", story.namespace, image="nginx:1")]}, ignore=[rule])
    proxy = {"op": "add", "path": f"{containers}/0", "value": {"name": "proxy", "image": "proxy:1"}}
    story.cluster.client.text(
        "PATCH", story.path("Deployment", "web"), body=[proxy],
        content_type="application/json-patch+json", query={"fieldManager": MANAGER},
    )  # fmt: skip
    commit = story.push({"app/a.yaml": [deployment("web", story.namespace, image="nginx:2", replicas=3)]})
    story.ready("app", commit)
    spec = story.get("Deployment", "web")["spec"]
    images = {one["name"]: one["image"] for one in spec["template"]["spec"]["containers"]}
    assert (spec["replicas"], images) == (3, {"app": "nginx:1", "proxy": "proxy:1"})


def test_who_stops_to_ignore_gets_the_field_back(story: Story) -> None:
    story.start({"app/a.yaml": [deployment("web", story.namespace, replicas=2)]}, ignore=REPLICAS)
    scale(story, 5)
    story.respec(ignore=None)
    story.ready()
    assert replicas(story) == 2


def test_only_what_the_target_selects_is_ignored(story: Story) -> None:
    objects = [
        config_map("picked", story.namespace, x="1"),
        config_map("other", story.namespace, x="1"),
    ]
    objects[0]["metadata"]["labels"] = {"loose": "yes"}
    target = {"kind": "Config.*", "name": "pick.d|oth.", "labelSelector": "loose=yes"}
    story.start({"app/a.yaml": objects}, ignore=[{"paths": ["/data/x"], "target": target}])
    for name in ("picked", "other"):
        story.patch("ConfigMap", name, {"data": {"x": "by hand"}}, manager=MANAGER)
    story.becomes("the other one is repaired", lambda: story.data("other") == {"x": "1"})
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    assert story.data("picked") == {"x": "by hand"}


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no pointer": ({"paths": ["spec.replicas"]}, "ValidationFailed", "'spec.replicas' is no JSON pointer"),
    "too many": (
        {"paths": [f"/data/k{n}" for n in range(101)]}, "ValidationFailed",
        "spec.ignore[].paths: there are 101 pointers, and at most 100 are allowed",
    ),
    "what an object is": ({"paths": ["/metadata/name"]}, "ValidationFailed", "is part of what an object is"),
    "no expression": (
        {"paths": ["/spec/x"], "target": {"name": "("}}, "BuildFailed",
        "spec.ignore[].target: error parsing regexp",
    ),
    "no selector": (
        {"paths": ["/spec/x"], "target": {"labelSelector": "a in"}}, "BuildFailed", "spec.ignore[].target: ",
    ),
}  # fmt: skip


def test_a_rule_that_cannot_be_read_is_named(story: Story) -> None:
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    for n, (rule, _, _) in enumerate(REFUSED.values()):
        story.kustomization(f"k{n}", path="./app", ignore=[rule])
    for n, (_, reason, told) in enumerate(REFUSED.values()):
        story.failed(f"k{n}", reason, told)
