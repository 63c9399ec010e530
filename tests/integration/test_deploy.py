"""deploy/ and deploy/lockdown on a real cluster: the pods are admitted, and the rights are the reviewed
ones and enough.

The controllers run here as processes, with the flags of their Deployments and with tokens of the service
accounts that the manifests make. A right that is missing shows as a request of theirs that is answered with
403.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.tools import Tools
from tests.harness import rights
from tests.harness.audit import Audit, Entry
from tests.harness.canaries import Canaries
from tests.harness.deployment import POD_UID, Workload, workloads
from tests.harness.invariants import Evidence
from tests.harness.manifests import Manifest, config_map
from tests.harness.outlets import Outlets
from tests.harness.rendering import render
from tests.harness.story import Story, conditions, not_yet
from tests.harness.wait import eventually
from tests.integration.conftest import Pair

ROOT = Path(__file__).parents[2]
NAMESPACE = "flux-system"
ENFORCE = "pod-security.kubernetes.io/enforce"
PART_OF = "app.kubernetes.io/part-of=flux"
NAMES = ("source-controller", "kustomize-controller")
USERS = [f"system:serviceaccount:{NAMESPACE}:{name}" for name in NAMES]
locked_down = pytest.mark.parametrize("variant", ["lockdown"], indirect=True)
WRITES = "writes.txt"
START_S = 60.0  # controller manager, scheduler and kwok, on a busy machine


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to install Headrace."""

    name: str
    folder: Path
    objects: list[Manifest]  # as the stock kustomize renders it

    @property
    def workloads(self) -> dict[str, Workload]:
        return workloads(self.objects)

    @property
    def is_locked_down(self) -> bool:
        return self.name == "lockdown"


@pytest.fixture(scope="module")
def cluster(cluster_full: ControlPlane) -> Iterator[ControlPlane]:
    """With a namespace that admits restricted pods only, and a node with the label that a kubelet gives
    it."""
    if cluster_full.client.find(f"/api/v1/namespaces/{NAMESPACE}") is None:
        cluster_full.create_namespace(NAMESPACE)
    restricted = {"metadata": {"labels": {ENFORCE: "restricted"}}}
    cluster_full.client.merge(f"/api/v1/namespaces/{NAMESPACE}", restricted)
    yield cluster_full
    kinds = "deployments,services,networkpolicies,resourcequotas,roles,rolebindings"
    cluster_full.kubectl("delete", kinds, "-n", NAMESPACE, "-l", PART_OF, "--wait=false")
    cluster_full.client.merge(f"/api/v1/namespaces/{NAMESPACE}", {"metadata": {"labels": {ENFORCE: None}}})


@pytest.fixture(scope="module", params=["deploy", "lockdown"])
def variant(request: pytest.FixtureRequest, tools: Tools) -> Variant:
    folder = ROOT / "deploy" / ("lockdown" if request.param == "lockdown" else "")
    return Variant(request.param, folder, list(render(tools, folder).values()))


@pytest.fixture(scope="module")
def installed(cluster: ControlPlane, variant: Variant) -> Iterator[Variant]:
    """Applied as docs/install.md says. What was there before is replaced, cluster-wide rights included."""
    cluster.kubectl("apply", "-k", str(variant.folder))
    yield variant
    cluster.kubectl("delete", "clusterroles,clusterrolebindings", "-l", PART_OF)


@pytest.fixture(scope="module")
def controllers(
    cluster: ControlPlane,
    installed: Variant,
    canaries: Canaries,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """Both, with exactly the rights and flags of the manifests. At the end: nothing was forbidden to them."""
    asked = Audit(cluster)
    source_folder, kustomize_folder = (tmp_path_factory.mktemp(name) for name in NAMES)
    source_made, kustomize_made = (installed.workloads[name] for name in NAMES)
    source_account, kustomize_account = (
        cluster.service_account_kubeconfig(NAMESPACE, name) for name in NAMES
    )
    source = SourceController(
        source_account,
        flags=source_made.process_flags(source_folder),
        environment={**source_made.environment, **_noting(source_folder)},
        folder=source_folder,
    )
    kustomize = Controller(
        kustomize_made.package,
        kustomize_account,
        flags=kustomize_made.process_flags(kustomize_folder),
        environment={**kustomize_made.environment, **_noting(kustomize_folder)},
        folder=kustomize_folder,
    )
    try:
        with source, kustomize:
            outlets = Outlets(canaries, (source, kustomize))
            yield Pair(source, kustomize, Evidence(outlets=outlets))
        refused = [entry for entry in asked.entries(USERS) if entry.status == 403 and not entry.impersonated]
        assert refused == [], "rights that deploy/rbac lacks"
    finally:
        for one in (source, kustomize):
            canaries.search(f"log of {one.package}", one.log.read_bytes())


def _noting(folder: Path) -> dict[str, str]:
    """Variables with which a controller notes what it writes, and puts everything below `folder`."""
    (folder / "tmp").mkdir()
    return {
        "NOTE_WRITES_IN": str(folder / WRITES),
        "PYTHONPATH": f"{ROOT / 'tests' / 'harness' / 'noting'}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",  # as in the image
        "TMPDIR": str(folder / "tmp"),
    }


# --- what is installed ---


def test_what_is_rendered_can_be_found_again(variant: Variant) -> None:
    """By the flux CLI: check, install and uninstall go by these labels (cli.md 1)."""
    wanted = {"instance": "flux-system", "part-of": "flux", "version": "v2.9.4"}
    wanted = {f"app.kubernetes.io/{key}": value for key, value in wanted.items()}
    for one in variant.objects:
        named = f"{one['kind']} {one['metadata']['name']}"
        assert wanted.items() <= one["metadata"]["labels"].items(), named
        assert one["metadata"].get("namespace", NAMESPACE) == NAMESPACE, named
        assert "kustomize.toolkit.fluxcd.io/namespace" not in one["metadata"]["labels"], (
            "that is a bootstrapped one"
        )
    for workload in variant.workloads.values():
        assert wanted.items() <= workload.template["metadata"]["labels"].items()
        assert workload.deployment["metadata"]["labels"]["app.kubernetes.io/component"] == workload.name


def test_both_kinds_of_flux_itself_are_defined(variant: Variant) -> None:
    names = {one["metadata"]["name"] for one in variant.objects if one["kind"] == "CustomResourceDefinition"}
    files = (ROOT / "deploy" / "crds").glob("*.toolkit.fluxcd.io.yaml")
    assert names == {file.stem for file in files}


def test_the_overlay_of_the_docs(tools: Tools, tmp_path: Path) -> None:
    """docs/install.md: an image of one's own, a flag more, and without the binding that lets become
    anybody."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "install.md").read_text(), re.DOTALL)
    overlay, narrowed = (yaml.safe_load(block) for block in blocks)
    (tmp_path / "headrace").symlink_to(ROOT)
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({**overlay, "patches": overlay["patches"] + narrowed["patches"]})
    )
    objects = render(tools, tmp_path)
    kustomize = workloads(objects.values())["kustomize-controller"]
    assert kustomize.container["image"] == "REGISTRY/headrace:0.1.0"
    assert kustomize.args[-1] == "--concurrent=8"
    bindings = {one["metadata"]["name"] for one in objects.values() if one["kind"] == "ClusterRoleBinding"}
    assert bindings == {
        "source-controller-flux-system",
        "kustomize-controller-flux-system",
        "drift-watch-flux-system",
    }


def test_the_pods_are_admitted_and_become_ready(cluster: ControlPlane, installed: Variant) -> None:
    """By the ReplicaSets, in a namespace that enforces the Pod Security Standard `restricted`."""
    for name in NAMES:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
        eventually(_available(cluster, path), START_S, f"Deployment {name} is available")
    pods = cluster.client.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    for name in NAMES:
        mine = [pod for pod in pods if pod["metadata"]["labels"]["app"] == name]
        assert any(pod["status"]["phase"] == "Running" for pod in mine)
        assert {owner["kind"] for pod in mine for owner in pod["metadata"]["ownerReferences"]} == {
            "ReplicaSet"
        }


def _available(cluster: ControlPlane, path: str) -> Callable[[], object]:
    """What kstatus wants of a Deployment, and with it `flux check`."""

    def seen() -> object:
        item = cluster.client.get(path)
        status, generation = item.get("status", {}), item["metadata"]["generation"]
        current = status.get("observedGeneration") == generation
        counts = [status.get(f"{which}Replicas", 0) for which in ("updated", "available", "ready")]
        alone = status.get("replicas") == 1
        return True if current and alone and counts == [1, 1, 1] else not_yet(item)

    return seen


def test_to_install_again_changes_nothing(cluster: ControlPlane, installed: Variant) -> None:
    said = cluster.kubectl("apply", "-k", str(installed.folder)).splitlines()
    assert [line for line in said if not line.endswith(" unchanged")] == []


# --- rights ---


@pytest.mark.parametrize("name", NAMES)
def test_rights_are_those_that_were_reviewed(cluster: ControlPlane, installed: Variant, name: str) -> None:
    """As the API server itself lists them for the service account, beyond what any service account may."""
    kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, name)
    anybody = cluster.service_account_kubeconfig(NAMESPACE, "anybody")
    reviewed = rights.reviewed(installed.name, name)

    def same() -> bool:
        now = rights.beyond(kubeconfig, anybody, own_namespace=NAMESPACE)
        return True if now == reviewed else not_yet([sorted(now - reviewed), sorted(reviewed - now)])

    eventually(same, 10.0, f"{name} may what {rights.FILE.name} says (more, less)")


ROLES = {
    "a viewer sees them": ("view", "get", "kustomizations", True),
    "a viewer changes none": ("view", "patch", "kustomizations", False),
    "an editor makes them": ("edit", "create", "gitrepositories", True),
    "an editor asks for a run": ("edit", "patch", "kustomizations", True),
    "an editor does not write what the controllers found": ("edit", "patch", "kustomizations/status", False),
    "an administrator of a namespace deletes them": ("admin", "delete", "kustomizations", True),
}


@pytest.mark.parametrize("case", ROLES.values(), ids=ROLES)
def test_the_clusters_own_roles_know_the_kinds(
    cluster: ControlPlane, installed: Variant, namespace: str, case: tuple[str, str, str, bool]
) -> None:
    role, verb, resource, may = case
    cluster.create_namespace(namespace)
    person = f"person-of-{namespace}"
    cluster.kubectl(
        "create", "rolebinding", role, f"--clusterrole={role}", f"--user={person}", "-n", namespace
    )
    plural, _, subresource = resource.partition("/")
    query = ["auth", "can-i", verb, plural, f"--subresource={subresource}", "-n", namespace, f"--as={person}"]

    def told() -> bool:
        said = cluster.kubectl(*query, check=False).strip()
        assert said == ("yes" if may else "no")
        return True

    eventually(told, 15.0, f"{person} who may {role} is asked for {verb} {resource}")


# --- the work ---


@pytest.fixture
def tenant(story: Story, installed: Variant) -> dict[str, str]:
    """Spec fields of a Kustomization that may apply ConfigMaps here, in the way of the variant."""
    if not installed.is_locked_down:
        return {}
    story.create("ServiceAccount", "tenant", {})
    _allow(story, "tenant")
    return {"serviceAccountName": "tenant"}


def _allow(story: Story, account: str) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}
    story.create("Role", account, {"rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": account, "namespace": story.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    story.create("RoleBinding", account, {"subjects": [subject], "roleRef": ref})


def test_from_git_to_the_cluster_and_back(story: Story, tenant: dict[str, str], audit: Audit) -> None:
    """Applied, repaired, pruned, deleted; with a Secret for the source, and told in events."""
    story.create("Secret", "login", {"stringData": {"username": "u", "password": "p"}})
    names = ("a", "b", "c")
    commit = story.push({f"app/{name}.yaml": [config_map(name, story.namespace, x="1")] for name in names})
    story.source("app", secretRef={"name": "login"})
    story.kustomization("app", **tenant)
    story.ready("app", commit)
    story.told("app", "Reconciliation finished in ")
    story.told("app", "stored artifact for commit", kind="GitRepository")
    story.patch("ConfigMap", "a", {"data": {"x": "by hand"}}, manager="someone")
    story.becomes("a change by hand is undone", lambda: story.data("a") == {"x": "1"})
    story.delete("ConfigMap", "b")
    story.becomes("what was deleted by hand is back", lambda: story.find("ConfigMap", "b"))
    commit = story.push({"app/c.yaml": None})
    story.ready("app", commit)
    assert story.find("ConfigMap", "c") is None
    story.delete("Kustomization", "app")
    story.gone("Kustomization", "app")
    assert [story.find("ConfigMap", name) for name in names] == [None, None, None]
    assert [entry for entry in audit.entries(USERS) if entry.status == 403] == []
    assert _whose(story, audit) == ({f"system:serviceaccount:{story.namespace}:tenant"} if tenant else {""})


def _whose(story: Story, audit: Audit) -> set[str]:
    """In whose name objects of the story were read by name or written; "" is the controller itself."""

    def is_work(entry: Entry) -> bool:
        mine = entry.namespace == story.namespace and entry.resource == "configmaps"
        return mine and entry.verb in ("get", "create", "patch", "update", "delete")

    return {entry.impersonated for entry in audit.entries(USERS) if is_work(entry)}


def test_nothing_is_written_beside_the_volumes(
    story: Story, tenant: dict[str, str], controllers: Pair
) -> None:
    """The root file system of the pods is read-only; here, the folder of a process is all its volumes."""
    story.start({"app/a.yaml": [config_map("a", story.namespace)]}, **tenant)
    for controller in (controllers.source, controllers.kustomize):
        written = {Path(line) for line in (controller.folder / WRITES).read_text().splitlines()}
        below = {path for path in written if path.is_relative_to(controller.folder)}
        assert written - below - {Path("/dev/null")} == set()
        assert below, "nothing was noted"


def test_variables_are_read_and_followed(story: Story, tenant: dict[str, str], audit: Audit) -> None:
    """ConfigMaps and Secrets of variables are the controller's own to read, whoever applies the objects."""
    watched = {"labels": {"reconcile.fluxcd.io/watch": "Enabled"}}
    story.create("ConfigMap", "level", {"metadata": watched, "data": {"level": "low"}})
    story.create("Secret", "tone", {"metadata": watched, "stringData": {"tone": "soft"}})
    origins = [{"kind": "ConfigMap", "name": "level"}, {"kind": "Secret", "name": "tone"}]
    manifest = config_map("a", story.namespace, level="${level}", tone="${tone}")
    story.start({"app/a.yaml": [manifest]}, postBuild={"substituteFrom": origins}, **tenant)
    assert story.data("a") == {"level": "low", "tone": "soft"}
    story.patch("ConfigMap", "level", {"data": {"level": "high"}})
    story.becomes("one is followed", lambda: story.data("a") == {"level": "high", "tone": "soft"})
    story.patch("Secret", "tone", {"stringData": {"tone": "loud"}})
    story.becomes("the other is followed", lambda: story.data("a") == {"level": "high", "tone": "loud"})
    assert [entry for entry in audit.entries(USERS) if entry.status == 403] == []


@locked_down
def test_a_restart_remembers(story: Story, tenant: dict[str, str], controllers: Pair, audit: Audit) -> None:
    """The cluster is known again, so the checkpoint counts: a commit elsewhere applies nothing."""
    story.start({"app/a.yaml": [config_map("a", story.namespace)]}, **tenant)
    audit.restart()
    controllers.kustomize.restart()
    commit = story.push({"elsewhere/readme.md": "new"})
    story.ready("app", commit)
    assert _said(controllers.kustomize, "checkpoints restored")
    asked = audit.entries(USERS)
    assert [entry for entry in asked if entry.status == 403] == []
    assert [entry for entry in asked if entry.resource == "configmaps" and entry.is_write] == []


def _said(controller: Controller, message: str) -> list[dict[str, Any]]:
    return [line for line in controller.lines() if line.get("msg") == message]


def test_the_lease_is_held_by_the_pod(story: Story, cluster: ControlPlane) -> None:
    for name in NAMES:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{name}-leader-election"
        assert cluster.client.get(path)["spec"]["holderIdentity"].endswith(f"_{POD_UID}")


# --- lockdown ---


@locked_down
def test_without_an_account_nothing_is_applied(story: Story, audit: Audit) -> None:
    """The service account `default` is who acts then, and it has no rights until somebody gives it some."""
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.source()
    story.kustomization()
    item = story.failed("app", "ReconciliationFailed", f"ConfigMap/{story.namespace}/a ")
    default = f"system:serviceaccount:{story.namespace}:default"
    message = conditions(item)["Ready"]["message"]
    assert "(Forbidden)" in message
    assert f'User "{default}" cannot ' in message
    assert story.find("ConfigMap", "a") is None
    assert _whose(story, audit) == {default}
    _allow(story, "default")
    story.becomes("the new rights count", lambda: _ready_when_asked(story))
    assert story.find("ConfigMap", "a")


def _ready_when_asked(story: Story) -> bool:
    item = story.handled("Kustomization", "app", story.request("Kustomization", "app"))
    return True if conditions(item)["Ready"]["status"] == "True" else not_yet(item)


@locked_down
def test_a_source_of_another_namespace_is_refused(story: Story) -> None:
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    story.kustomization("app", sourceRef={"kind": "GitRepository", "name": "app", "namespace": "default"})
    story.failed("app", "AccessDenied", "default")


@locked_down
def test_who_the_controller_may_become_can_be_narrowed(
    story: Story, cluster: ControlPlane, tenant: dict[str, str]
) -> None:
    """docs/install.md: a RoleBinding for each tenant's namespace instead of the one for all."""
    other = f"{story.namespace}-b"
    story.others.append(other)
    cluster.create_namespace(other)
    role, account = "impersonate-flux-system", f"{NAMESPACE}:kustomize-controller"
    given = cluster.client.get(f"{_BINDINGS}/{role}")
    cluster.kubectl("delete", "clusterrolebinding", role)
    try:
        binding = ["create", "rolebinding", role, f"--clusterrole={role}", f"--serviceaccount={account}"]
        cluster.kubectl(*binding, "-n", story.namespace)
        story.becomes("here only", lambda: _may_become(cluster, story.namespace, other) == ["yes", "no"])
        story.start({"app/a.yaml": [config_map("a", story.namespace)]}, **tenant)
    finally:
        metadata = {"name": role, "labels": given["metadata"]["labels"]}
        again = {"metadata": metadata, "roleRef": given["roleRef"], "subjects": given["subjects"]}
        cluster.client.request("POST", _BINDINGS, again)
        story.becomes("everywhere again", lambda: _may_become(cluster, other) == ["yes"])


_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def _may_become(cluster: ControlPlane, *namespaces: str) -> list[str]:
    """For each namespace, whether the kustomize controller may act as its service account `tenant`."""
    asker = f"--kubeconfig={cluster.service_account_kubeconfig(NAMESPACE, 'kustomize-controller')}"
    can_i = ("auth", "can-i", "impersonate", "serviceaccounts/tenant", asker, "-n")
    return [cluster.kubectl(*can_i, namespace, check=False).strip() for namespace in namespaces]
