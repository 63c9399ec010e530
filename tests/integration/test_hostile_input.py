"""Input that nobody should have to reckon with: it fails for itself, says why, and goes on when it is mended.

In every test a second, healthy Kustomization goes on: it takes a commit while its neighbour fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lab.apiclient import ApiRefused
from lab.controlplane import ControlPlane
from lab.ports import free_port
from tests.harness.manifests import (
    Manifest,
    config_map,
    kustomization_file,
    namespace_object,
    to_yaml,
    widget,
    widget_definition,
)
from tests.harness.story import Story, conditions
from tests.harness.wait import eventually

ARRIVAL_S = 8.0  # from a definition to what waited for it; an interval of an hour says that nobody asked
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


# --- what a commit may hold ---


def test_a_kustomization_that_refers_outside_of_its_source(neighbours: Story) -> None:
    story = neighbours
    good = story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.push({"app/kustomization.yaml": kustomization_file(resources=["../../../etc"])})
    item = story.failed("app", "BuildFailed", "is not in or below the source root")
    assert "../../../etc" in conditions(item)["Ready"]["message"]
    assert item["status"]["lastAppliedRevision"] == f"main@sha1:{good}"
    assert story.find("ConfigMap", "a")
    commit = story.push({"app/kustomization.yaml": kustomization_file(resources=["a.yaml"])})
    story.ready("app", commit)


def test_a_link_that_leaves_the_repository(neighbours: Story) -> None:
    """The source names it; who needs it is told that there are none in artifacts."""
    story = neighbours
    link = story.repository.path / "app" / "b.yaml"
    link.parent.mkdir()
    link.symlink_to("../../../../../../etc/hostname")
    story.push({"app/kustomization.yaml": kustomization_file(resources=["b.yaml"])})
    story.source()
    story.kustomization()
    event = story.told("app", "'app/b.yaml' (symbolic link)", kind="GitRepository")
    assert event["type"] == "Normal"
    text = "'app/b.yaml' is not in the artifact; links are left out of artifacts"
    story.failed("app", "BuildFailed", text)
    link.unlink()
    commit = story.push({"app/b.yaml": [config_map("b", story.namespace)]})
    story.ready("app", commit)


def test_a_file_name_that_is_not_utf8(neighbours: Story) -> None:
    """It is left out and named; everything else of the commit is applied."""
    story = neighbours
    odd = bytes(story.repository.path) + b"/app/\xff\xfe.yaml"
    (story.repository.path / "app").mkdir()
    with open(odd, "w") as file:  # noqa: PTH123  # a name that no Path can be printed with
        file.write("not: read\n")
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    story.kustomization()
    story.ready("app", commit)
    event = story.told("app", "(name is not UTF-8)", kind="GitRepository")
    assert r"app/\\xff\\xfe.yaml" in event["message"]


# --- too much ---


def test_more_ignore_patterns_than_anybody_needs(neighbours: Story) -> None:
    """Each path is compared with each pattern; the old artifact stays."""
    story = neighbours
    good = story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.push({".sourceignore": "*.x\n" * 10_001})
    text = "failed to load source ignore patterns from repository: '.sourceignore': more than 10000 patterns"
    item = story.failed("app", "SourceIgnoreError", text, kind="GitRepository")
    assert good in item["status"]["artifact"]["revision"]
    story.push({".sourceignore": "x" * (2 << 20)})
    story.failed("app", "SourceIgnoreError", "together exceed 1 MiB", kind="GitRepository")
    commit = story.push({".sourceignore": "*.x\n"})
    story.ready("app", commit)


def test_an_object_of_two_megabytes(neighbours: Story) -> None:
    """The API server's own words name the object and the limit; the others of the commit are applied."""
    story = neighbours
    large = config_map("large", story.namespace, k="x" * (2 << 20))
    story.push({"app/large.yaml": [large], "app/b.yaml": [config_map("b", story.namespace)]})
    story.source()
    story.kustomization()
    item = story.failed("app", "ReconciliationFailed", f"ConfigMap/{story.namespace}/large ")
    message = conditions(item)["Ready"]["message"]
    assert "Too long" in message
    assert "app/large.yaml" in message
    assert len(message) < 5_000
    assert story.find("ConfigMap", "b")
    assert story.inventory() == [f"{story.namespace}_b__ConfigMap"]
    commit = story.push({"app/large.yaml": [config_map("large", story.namespace, k="x")]})
    story.ready("app", commit)


def test_an_object_that_the_database_refuses(neighbours: Story) -> None:
    """No schema bounds it, so the API server tries, and etcd says no."""
    story = neighbours
    group = f"{story.namespace}.test"
    definition = widget_definition(group)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["text"] = {"type": "string"}
    large = widget("large", story.namespace, group=group)
    large["spec"]["text"] = "x" * (2 << 20)
    story.push({"app/crd.yaml": [definition], "app/w.yaml": [large, config_map("b", story.namespace)]})
    story.source()
    story.kustomization()
    item = story.failed("app", "ReconciliationFailed", f"Widget/{story.namespace}/large ")
    assert "larger than" in conditions(item)["Ready"]["message"]
    assert story.find("ConfigMap", "b")
    commit = story.push({"app/w.yaml": [config_map("b", story.namespace)]})
    story.ready("app", commit)


def test_a_build_of_ten_thousand_objects(neighbours: Story) -> None:
    story = neighbours
    good = story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    many = to_yaml(*(config_map(f"c{number}", story.namespace) for number in range(10_000)))
    story.push({"app/a.yaml": many})
    text = "build has at least 10000 objects, limit 5000 (--max-objects)"
    item = story.failed("app", "BuildFailed", text)
    assert item["status"]["lastAppliedRevision"] == f"main@sha1:{good}"
    assert story.inventory() == [f"{story.namespace}_a__ConfigMap"]
    commit = story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.ready("app", commit)


# --- a cluster that is not ready for it ---


def test_a_namespace_that_is_stuck_in_termination(neighbours: Story) -> None:
    """Nobody empties a namespace here, so it stays; once it is gone and made again, all goes on."""
    story = neighbours
    stuck = f"{story.namespace}-stuck"
    story.others.append(stuck)
    story.cluster.create_namespace(stuck)
    story.cluster.client.request("DELETE", f"/api/v1/namespaces/{stuck}")
    story.push({"app/a.yaml": [config_map("a", stuck), config_map("b", story.namespace)]})
    story.source()
    story.kustomization(retryInterval="1s")
    text = f"unable to create new content in namespace {stuck} because it is being terminated"
    item = story.failed("app", "ReconciliationFailed", text)
    assert f"ConfigMap/{stuck}/a " in conditions(item)["Ready"]["message"]
    assert story.find("ConfigMap", "b")
    finish(story.cluster, stuck)
    story.cluster.client.request("POST", "/api/v1/namespaces", namespace_object(stuck))
    story.ready()


def finish(cluster: ControlPlane, namespace: str) -> None:
    """What the namespace controller does at the end."""
    path = f"/api/v1/namespaces/{namespace}"
    item = cluster.client.get(path)
    item["spec"]["finalizers"] = []
    cluster.client.request("PUT", f"{path}/finalize", item)
    eventually(lambda: cluster.client.find(path) is None, 10, f"namespace {namespace} is gone")


def test_a_definition_that_comes_later(neighbours: Story) -> None:
    """It wakes who waits for it: the retry interval is an hour."""
    story = neighbours
    group = f"{story.namespace}.test"
    commit = story.push(
        {"app/a.yaml": [config_map("a", story.namespace), widget("w", story.namespace, group=group)]}
    )
    story.source()
    story.kustomization()
    text = f'no matches for kind "Widget" in version "{group}/v1"'
    story.failed("app", "ReconciliationFailed", text)
    assert story.find("ConfigMap", "a"), "the rest of a first install goes ahead"
    with defined(story.cluster, group):
        story.ready("app", commit, timeout_s=ARRIVAL_S)
        assert f"{story.namespace}_w_{group}_Widget" in story.inventory()
        story.delete("Kustomization", "app")
        story.gone("Kustomization", "app")


def test_a_definition_that_another_kustomization_brings(neighbours: Story) -> None:
    story = neighbours
    group = f"{story.namespace}.test"
    story.push({"app/w.yaml": [widget("w", story.namespace, group=group)]})
    story.source()
    story.kustomization()
    story.failed("app", "ReconciliationFailed", "no matches for kind")
    commit = story.push({"crds/crd.yaml": [widget_definition(group)]})
    story.failed("app", "ReconciliationFailed", "no matches for kind")
    story.kustomization("crds")
    story.ready("crds", commit)
    story.ready("app", commit, timeout_s=ARRIVAL_S)
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")


def test_another_definition_of_the_same_group_is_not_it(neighbours: Story) -> None:
    """Who waits goes on waiting, and is woken by the right one."""
    story = neighbours
    group = f"{story.namespace}.test"
    other = widget("w", story.namespace, group=group) | {"kind": "Gadget"}
    story.push({"app/a.yaml": [other]})
    story.source()
    story.kustomization()
    story.failed("app", "ReconciliationFailed", 'no matches for kind "Gadget"')
    before = story.get("Kustomization", "app")["metadata"]["resourceVersion"]
    with defined(story.cluster, group):
        gadgets = widget_definition(group)
        gadgets["metadata"]["name"] = f"gadgets.{group}"
        gadgets["spec"]["names"] = {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"}
        assert story.get("Kustomization", "app")["metadata"]["resourceVersion"] == before
        with defined(story.cluster, group, gadgets):
            story.ready("app", timeout_s=ARRIVAL_S)
            story.delete("Kustomization", "app")
            story.gone("Kustomization", "app")


@contextmanager
def defined(cluster: ControlPlane, group: str, definition: Manifest | None = None) -> Iterator[None]:
    """While it lasts, `definition` is there, by default that of the widgets of `group`, and is served."""
    made = definition or widget_definition(group)
    name = made["metadata"]["name"]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    cluster.client.apply(path, made)
    plural = name.partition(".")[0]

    def served() -> bool:
        cluster.client.get(f"/apis/{group}/v1/{plural}")
        return True

    try:
        eventually(served, 20, f"{name} is served")
        yield
    finally:
        cluster.client.request("DELETE", path)
        eventually(lambda: cluster.client.find(path) is None, 20, f"{name} is gone")


def test_an_admission_webhook_that_is_down(neighbours: Story) -> None:
    """What was there stays, nothing is pruned, and it goes on by itself when the webhook is back."""
    story = neighbours
    good = story.start({f"app/{n}.yaml": [config_map(n, story.namespace, x="1")] for n in "abc"})
    with webhook(story):
        commit = story.push({"app/a.yaml": [config_map("a", story.namespace, x="2")], "app/c.yaml": None})
        story.respec(retryInterval="1s")
        item = story.failed("app", "ReconciliationFailed", f"ConfigMap/{story.namespace}/a ")
        message = conditions(item)["Ready"]["message"]
        assert "down.example.test" in message
        assert "connection refused" in message
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{good}"
        assert story.data("a") == {"x": "1"}
        assert story.find("ConfigMap", "c"), "a failed apply prunes nothing"
        assert f"{story.namespace}_c__ConfigMap" in story.inventory()
    story.ready("app", commit)
    assert story.data("a") == {"x": "2"}
    assert story.find("ConfigMap", "c") is None


@contextmanager
def webhook(story: Story) -> Iterator[None]:
    """A webhook for writes of the Kustomization `app`, at a port where nobody listens."""
    name = f"down-{story.namespace}"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
        "operations": ["CREATE", "UPDATE"],
    }
    hook = {
        "name": "down.example.test",
        "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/validate"},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": story.namespace}},
        "objectSelector": {"matchLabels": {"kustomize.toolkit.fluxcd.io/name": "app"}},
    }
    content = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }
    story.cluster.client.request("POST", _WEBHOOKS, content)
    try:
        eventually(lambda: _is_in_force(story), 20, "the webhook is in force")
        yield
    finally:
        story.cluster.client.request("DELETE", f"{_WEBHOOKS}/{name}")


def _is_in_force(story: Story) -> bool:
    probe = config_map("probe", story.namespace)
    probe["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "app"}
    try:
        story.cluster.client.request("POST", story.path("ConfigMap"), probe, dryRun="All")
    except ApiRefused as refusal:
        return "down.example.test" in str(refusal)
    return False
