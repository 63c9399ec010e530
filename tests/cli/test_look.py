"""Commands that only read: each of them against the statuses that our controllers wrote.

One world for all rows: a Kustomization `all` that brings the Kustomization `app`, which brings a Deployment
with its Service and settings; a Kustomization `broken` that cannot be built; a source `gone` whose branch is
not there; a source `idle` that is suspended.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.cli.conftest import Installed
from tests.cli.flux import Flux, expect
from tests.harness.manifests import Manifest, config_map, deployment
from tests.harness.story import Story

TEAM = {"team": "web"}


@dataclass(frozen=True, slots=True)
class Shop:
    story: Story
    flux: Flux
    known: Mapping[str, str]  # what the lines of the rows mean


@pytest.fixture(scope="module")
def shop(installed: Installed) -> Iterator[Shop]:
    ns = "shop"
    story = installed.story(ns)
    story.source()
    commit = story.push(
        {
            "all/app.yaml": [child(ns)],
            "app/web.yaml": [deployment("web", ns, replicas=1), service("web", ns)],
            "app/settings.yaml": [config_map("settings", ns, color="blue")],
            "broken/a.yaml": "a: [\n",
        }
    )
    story.source("gone", ref={"branch": "gone"})
    story.source("idle", suspend=True)
    story.kustomization("all")
    story.kustomization("broken")
    for name in ("all", "app"):
        story.ready(name, commit)
    story.failed("broken", "BuildFailed")
    story.failed("gone", kind="GitRepository", reason="GitOperationFailed")
    story.told("app", "Reconciliation finished")
    story.told("broken", "broken/a.yaml")
    story.told("app", "stored artifact", kind="GitRepository")
    pod = story.cluster.kubectl("get", "pods", "-n", ns, "-o", "jsonpath={.items[0].metadata.name}")
    known = {"ns": ns, "revision": f"main@sha1:{commit}", "short": f"main@sha1:{commit[:8]}", "pod": pod}
    yield Shop(story, installed.flux(ns), {**known, "url": installed.git.url(ns)})
    story.end()


def child(namespace: str) -> Manifest:
    spec = {
        "interval": "1h",
        "path": "./app",
        "prune": True,
        "sourceRef": {"kind": "GitRepository", "name": "app"},
    }
    metadata = {"name": "app", "namespace": namespace, "labels": TEAM}
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": metadata,
        "spec": spec,
    }


def service(name: str, namespace: str) -> Manifest:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


HEADER = "NAME REVISION SUSPENDED READY MESSAGE"
STORED = "False True stored artifact for revision '{short}'"
APPLIED = "False True Applied revision: {short}"

ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sources of a namespace": (
        "get sources git",
        (
            HEADER,
            f"app {{short}} {STORED}",
            "gone False False failed to checkout and determine revision: …",
            "idle True False waiting to be reconciled",
        ),
    ),
    "one source": ("get sources git app", (HEADER, f"app {{short}} {STORED}")),
    "sources of all kinds": ("get sources all", (HEADER, f"gitrepository/app {{short}} {STORED}")),
    "sources everywhere": (
        "get sources git --all-namespaces",
        (f"NAMESPACE {HEADER}", f"{{ns}} app {{short}} {STORED}"),
    ),
    "Kustomizations of a namespace": (
        "get kustomizations",
        (
            HEADER,
            f"all {{short}} {APPLIED}",
            f"app {{short}} {APPLIED}",
            "broken False False …broken/a.yaml…",
        ),
    ),
    "Kustomizations with their sources": (
        "get kustomizations --show-source",
        (
            "NAME SOURCE REVISION SUSPENDED READY MESSAGE",
            f"app GitRepository/{{ns}}/app {{short}} {APPLIED}",
        ),
    ),
    "Kustomizations by label": ("get kustomizations -l team=web", (HEADER, f"app {{short}} {APPLIED}")),
    "no header": ("get kustomizations app --no-header", (f"app {{short}} {APPLIED}",)),
    "everything": (
        "get all",
        (f"gitrepository/app {{short}} {STORED}", f"kustomization/app {{short}} {APPLIED}"),
    ),
    "everything everywhere": (
        "get all -A",
        (f"{{ns}} gitrepository/app {{short}} {STORED}", f"{{ns}} kustomization/app {{short}} {APPLIED}"),
    ),
    "the tree of a Kustomization of Kustomizations": (
        "tree kustomization all",
        (
            "Kustomization/{ns}/all",
            "└── Kustomization/{ns}/app",
            "├── ConfigMap/{ns}/settings",
            "├── Service/{ns}/web",
            "└── Deployment/{ns}/web",
        ),
    ),
    "where a Deployment comes from": (
        "trace deployment web",
        (
            "Object: Deployment/web",
            "Namespace: {ns}",
            "Status: Managed by Flux",
            "Kustomization: app",
            "Path: ./app",
            "Revision: {revision}",
            "Status: Last reconciled at …",
            "Message: Applied revision: {revision}",
            "GitRepository: app",
            "URL: {url}",
            "Branch: main",
            "Revision: {revision}",
            "Message: stored artifact for revision '{revision}'",
        ),
    ),
    "where a Pod comes from, through its owners": (
        "trace pod/{pod}",
        ("Object: Pod/{pod}", "Kustomization: app", "GitRepository: app"),
    ),
    "where a Kustomization comes from": (
        "trace kustomization app",
        ("Object: Kustomization/app", "Kustomization: all", "GitRepository: app"),
    ),
    "statistics": (
        "stats",
        (
            "RECONCILERS RUNNING FAILING SUSPENDED STORAGE",
            "GitRepository 2 1 1 … B",
            "OCIRepository 0 0 0 -",
            "Kustomization 3 1 0 -",
        ),
    ),
    "events of a namespace": (
        "events",
        (
            "LAST SEEN TYPE REASON OBJECT MESSAGE",
            "… Normal ReconciliationSucceeded Kustomization/app Reconciliation finished in …",
        ),
    ),
    "warnings only": (
        "events --types=Warning",
        (
            "LAST SEEN TYPE REASON OBJECT MESSAGE",
            "… Warning BuildFailed Kustomization/broken …broken/a.yaml…",
        ),
    ),
    "events everywhere": (
        "events -A --for=Kustomization/app",
        ("NAMESPACE LAST SEEN TYPE REASON OBJECT MESSAGE", "{ns} … Kustomization/app …"),
    ),
    "the status of a Kustomization": (
        "debug kustomization app --show-status",
        (
            "lastAppliedRevision: {revision}",
            "lastAttemptedRevision: {revision}",
            "observedGeneration: 1",
        ),
    ),
    "the history of a Kustomization": (
        "debug kustomization app --show-history",
        ("…digest: sha256:…", "lastReconciledStatus: ReconciliationSucceeded"),
    ),
}


@pytest.mark.parametrize(("command", "lines"), ROWS.values(), ids=ROWS)
def test_a_look(command: str, lines: tuple[str, ...], shop: Shop) -> None:
    expect(shop.flux(command.format(**shop.known)), lines, shop.known)


WITHOUT_SUCCESS = {
    "a source that is not there": (
        "get sources git nobody",
        "✗ GitRepository object 'nobody' not found in \"{ns}\" namespace",
    ),
    "one Kustomization, until the time is over": (
        "get kustomizations app --watch --timeout=1s",
        "app {short} False True Applied revision: {short}",
    ),
}


@pytest.mark.parametrize(("command", "line"), WITHOUT_SUCCESS.values(), ids=WITHOUT_SUCCESS)
def test_a_look_without_success(command: str, line: str, shop: Shop) -> None:
    expect(shop.flux(command), (line,), shop.known, code=1)


def test_an_object_that_nobody_brought_has_no_trace(shop: Shop) -> None:
    said = shop.flux("trace service kubernetes -n default")
    expect(said, ("failed to trace Service/kubernetes in namespace default: object not managed by Flux",), {})


@pytest.mark.parametrize(
    ("selector", "names"),
    {
        "ready=true": {"app", "all"},
        "ready=false": {"gone", "broken"},
        "ready!=true": {"gone", "broken", "idle"},
        "Reconciling=True": {"gone", "broken"},
    }.items(),
)
def test_objects_are_chosen_by_condition(selector: str, names: set[str], shop: Shop) -> None:
    said = shop.flux("get all --no-header", f"--status-selector={selector}")
    assert said.code == 0, str(said)
    assert {line.split()[0].partition("/")[2] for line in said.lines} == names, str(said)


def test_events_for_a_kustomization_include_those_of_its_source(shop: Shop) -> None:
    said = shop.flux("events --for=Kustomization/app")
    about = set(re.findall(r"\t(?:Normal|Warning) *\t\S+ *\t(\S+)", said.out))
    assert about == {"Kustomization/app", "GitRepository/app"}, str(said)


def test_a_compact_tree_has_flux_objects_only(shop: Shop) -> None:
    said = shop.flux("tree kustomization all --compact")
    expect(said, ("Kustomization/{ns}/all", "└── Kustomization/{ns}/app"), shop.known)
    assert len(said.lines) == 2, str(said)


GOES_ROUND = {"GitRepository": ("source git", "app"), "Kustomization": ("kustomization", "all")}


@pytest.mark.parametrize(("kind", "row"), GOES_ROUND.items(), ids=GOES_ROUND)
def test_what_is_exported_goes_round(kind: str, row: tuple[str, str], shop: Shop) -> None:
    """Exported, applied, and exported again it is the same, and our controllers take it."""
    command, name = row
    said = shop.flux(f"export {command} {name}")
    shop.story.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=said.out)
    assert shop.flux(f"export {command} {name}").out == said.out
    shop.story.ready(name, kind=kind)
