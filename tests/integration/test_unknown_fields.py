"""A field that a built-in kind does not have is left out, and told once a revision, with its place and no
value.

Source: the contract, behaviour-kustomize.md 7.1; design 9 has the event.
"""

import pytest

from tests.harness.canaries import Canaries
from tests.harness.manifests import config_map, deployment, to_yaml, widget, widget_definition
from tests.harness.story import Object, Story
from tests.integration.conftest import Pair

LEFT_OUT = "was left out"
TYPO = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: {namespace}
data:
  level: {level}
binarydata:
  logo: aGVsbG8=
"""


def typo(story: Story, level: str = "info") -> str:
    return TYPO.format(namespace=story.namespace, level=level)


def left_out(story: Story, name: str = "app") -> list[Object]:
    return [event for event in story.events(name) if event["reason"] == "UnknownField"]


def told_for(story: Story, commit: str) -> int:
    """How often it was told for this revision."""
    revision = f"main@sha1:{commit}"
    return sum(
        event.get("count", 1)
        for event in left_out(story)
        if event["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/revision"] == revision
    )


def test_a_misspelled_field_is_left_out_and_told(story: Story) -> None:
    commit = story.start({"app/settings.yaml": typo(story)})
    assert story.data("settings") == {"level": "info"}
    event = story.told("app", LEFT_OUT)
    assert event["type"] == "Warning"
    assert event["reason"] == "UnknownField"
    subject = f"ConfigMap/{story.namespace}/settings"
    why = "binarydata is not a field of v1 ConfigMap in Kubernetes 1.37 and was left out"
    assert event["message"] == f"{subject}: {why} (app/settings.yaml:8)"
    annotations = event["metadata"]["annotations"]
    assert annotations["kustomize.toolkit.fluxcd.io/revision"] == f"main@sha1:{commit}"
    ready = next(
        one for one in story.get("Kustomization", "app")["status"]["conditions"] if one["type"] == "Ready"
    )
    assert ready["message"] == f"Applied revision: main@sha1:{commit}"


def test_it_is_told_once_a_revision(story: Story) -> None:
    """Not again by a requested run or a repair, but by a new revision, even one that builds nothing."""
    story.start({"app/settings.yaml": typo(story)})
    story.told("app", LEFT_OUT)
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    story.patch("ConfigMap", "settings", {"data": {"level": "debug"}}, manager="somebody")
    story.becomes("the change is undone", lambda: story.data("settings") == {"level": "info"})
    assert [event.get("count", 1) for event in left_out(story)] == [1]
    commit = story.push({"elsewhere/readme.txt": "nothing of it is built"})
    story.ready("app", commit)
    assert sum(event.get("count", 1) for event in left_out(story)) == 2


@pytest.mark.parametrize("spec", [{"wait": True}, {}], ids=["with a wait", "without one"])
def test_a_restart_does_not_tell_it_again(story: Story, controllers: Pair, spec: dict[str, object]) -> None:
    """Even if the last revision built nothing."""
    commits = [story.start({"app/settings.yaml": typo(story)}, **spec)]
    commits.append(story.push({"elsewhere/readme.txt": "nothing of it is built"}))
    story.becomes("the second is told", lambda: told_for(story, commits[-1]))
    story.ready("app", commits[-1])
    controllers.kustomize.restart()
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    commits.append(story.push({"elsewhere/readme.txt": "nor of this"}))
    story.becomes("the third is told", lambda: told_for(story, commits[-1]))
    assert [told_for(story, commit) for commit in commits] == [1, 1, 1]


def test_fields_of_a_patch_and_of_a_list_name_their_place(story: Story) -> None:
    patch = to_yaml(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": story.namespace},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "imagePullPolicie": "Always"}]}}},
        }
    )
    story.start(
        {
            "app/kustomization.yaml": "resources: [web.yaml]\npatches: [{path: patch.yaml}]\n",
            "app/web.yaml": [deployment("web", story.namespace)],
            "app/patch.yaml": patch,
        }
    )
    line = 1 + patch[: patch.index("imagePullPolicie")].count("\n")
    told = story.told("app", LEFT_OUT)["message"]
    path = "spec.template.spec.containers[0].imagePullPolicie"
    assert told.startswith(f"Deployment/{story.namespace}/web: {path} is not a field of apps/v1 Deployment")
    assert told.endswith(f"(app/patch.yaml:{line})")
    assert story.get("Deployment", "web")["spec"]["replicas"] == 2


def test_no_value_is_told(story: Story, canaries: Canaries) -> None:
    value = canaries.plant("the value of a field that is left out", in_git=True)
    manifest = to_yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", "namespace": story.namespace},
            "stringDate": {"password": value},
        }
    )
    story.start({"app/keys.yaml": manifest})
    assert story.told("app", LEFT_OUT)["message"].startswith(
        f"Secret/{story.namespace}/keys: stringDate is not"
    )
    assert "data" not in story.get("Secret", "keys")


def test_an_object_with_variables_names_its_place(story: Story) -> None:
    """What is left out is known only after substitution; the file is the one before it."""
    story.start({"app/settings.yaml": typo(story, "${level}")}, postBuild={"substitute": {"level": "debug"}})
    assert story.data("settings") == {"level": "debug"}
    assert story.told("app", LEFT_OUT)["message"].endswith("(app/settings.yaml:8)")


def test_a_field_of_a_kustomization_is_told_too(story: Story) -> None:
    story.start(
        {
            "app/kustomization.yaml": "resources: [a.yaml]\ncommonLabls: {a: b}\n",
            "app/a.yaml": [config_map("a", story.namespace)],
        }
    )
    event = story.told("app", LEFT_OUT)
    why = "commonLabls is not a field of a kustomization and was left out"
    assert event["message"] == f"app/kustomization.yaml: {why} (app/kustomization.yaml:2)"


def test_a_definition_without_the_field_refuses_it(story: Story) -> None:
    """What a custom resource has is its definition's business, so nothing is left out."""
    group = f"{story.namespace}.test"
    wrong = widget("w", story.namespace, group=group) | {"extra": 1}
    story.push({"app/w.yaml": [widget_definition(group), wrong]})
    story.source()
    story.kustomization()
    story.failed("app", "ReconciliationFailed", "extra")
    assert not left_out(story)


@pytest.mark.parametrize(
    ("written", "held"),
    [
        pytest.param({"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "1", "memory": "1Gi"}, id="quantities"),
        pytest.param({"cpu": 0.5}, {"cpu": "500m"}, id="a number"),
    ],
)
def test_quantities_get_their_usual_form_and_do_not_drift(
    story: Story, written: dict[str, object], held: dict[str, object]
) -> None:
    web = deployment("web", story.namespace)
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": written}
    story.start({"app/web.yaml": [web]})
    found = story.get("Deployment", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] == held
    story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    assert story.get("Deployment", "web")["metadata"]["generation"] == found["metadata"]["generation"]
