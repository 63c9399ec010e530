"""One test's world: a namespace, a Git repository, and words for what a user does and sees.

Sources are polled once an hour here; `push` asks for a look at once, as `flux reconcile source` does, so that
many repositories cost nothing while they wait. Whatever a story made is deleted at its end, after the
invariants were checked.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lab.apiclient import ApiRefused
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.worktree import Worktree
from tests.harness.invariants import NO_EVIDENCE, Evidence, check_invariants
from tests.harness.manifests import Manifest, to_yaml
from tests.harness.wait import eventually

KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
SOURCE = "source.toolkit.fluxcd.io"
REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
REVISION = f"{KUSTOMIZE}/revision"  # on events
TIMEOUT_S = 20.0  # seconds are the rule; the deadline is for a busy machine

Object = dict[str, Any]
Files = Mapping[str, "str | bytes | Iterable[Manifest] | None"]  # by path; None deletes

_ROOTS = {  # where the kinds of the stories live
    "ConfigMap": ("/api/v1", "configmaps"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Namespace": ("/api/v1", "namespaces"),
    "Event": ("/api/v1", "events"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Kustomization": (f"/apis/{KUSTOMIZE}/v1", "kustomizations"),
    "GitRepository": (f"/apis/{SOURCE}/v1", "gitrepositories"),
    "Widget": ("/apis/example.test/v1", "widgets"),
}
_CLUSTER_SCOPED = ("Namespace", "ClusterRole", "CustomResourceDefinition")
_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Story:
    """Builders and looks within one namespace.

    Attributes:
        repository: of the source `app`, which `source` creates; served by `git` under `repository_name`.
        left: inventory ids of objects that the test leaves in no inventory on purpose.
        store: the source controller's store, for the invariants.
        evidence: of the story's controllers, for the invariants.
    """

    cluster: ControlPlane
    git: GitServer
    namespace: str
    repository_name: str
    repository: Worktree
    store: Path | None = None
    left: set[str] = field(default_factory=set)
    evidence: Evidence = NO_EVIDENCE
    others: list[str] = field(default_factory=list)  # further namespaces with objects of ours

    @classmethod
    def begin(cls, cluster: ControlPlane, git: GitServer, namespace: str, store: Path | None) -> "Story":
        cluster.create_namespace(namespace)
        return cls(cluster, git, namespace, namespace, git.create(namespace), store)

    # --- what a user does ---

    def source(self, name: str = "app", namespace: str = "", /, **spec: object) -> None:
        """A GitRepository of this story's repository; `spec` adds and replaces fields."""
        fields = {
            "interval": "1h",
            "url": self.git.url(self.repository_name),
            "ref": {"branch": "main"},
            **spec,
        }
        self.create("GitRepository", name, {"spec": fields}, namespace=namespace)

    def kustomization(self, name: str = "app", namespace: str = "", /, **spec: object) -> None:
        """A Kustomization of the source `app`, its path the folder of its own name, pruning."""
        fields = {
            "interval": "1h",
            "retryInterval": "1h",
            "path": f"./{name}",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "app"},
            **spec,
        }
        self.create("Kustomization", name, {"spec": fields}, namespace=namespace)

    def push(self, files: Files) -> str:
        """Publish a commit; manifests become YAML. All sources of the story look at once. Gives its id."""
        written = {
            name: content if content is None or isinstance(content, str | bytes) else to_yaml(*content)
            for name, content in files.items()
        }
        commit = self.repository.publish(written)
        for item in self.all_of("GitRepository"):
            self.request("GitRepository", item["metadata"]["name"])
        return commit

    def start(self, files: Files, *names: str, **spec: object) -> str:
        """Push, make the source and Kustomizations of these names (`app` by default), wait until they are
        Ready."""
        commit = self.push(files)
        self.source()
        for name in names or ("app",):
            self.kustomization(name, **spec)
        for name in names or ("app",):
            self.ready(name, commit)
        return commit

    def request(self, kind: str, name: str) -> str:
        """As `flux reconcile` does; returns the token that lastHandledReconcileAt will show."""
        token = f"request {next(_NUMBERS)}"
        self.annotate(kind, name, **{REQUESTED_AT: token})
        return token

    def annotate(self, kind: str, name: str, **annotations: str | None) -> None:
        self.patch(kind, name, {"metadata": {"annotations": annotations}})

    def respec(self, name: str = "app", *, kind: str = "Kustomization", **fields: object) -> int:
        """Change spec fields (None removes one); returns the new generation."""
        generation: int = self.patch(kind, name, {"spec": fields})["metadata"]["generation"]
        return generation

    def suspend(self, name: str = "app") -> None:
        """Suspend a Kustomization that is Ready, and wait until the controller has seen it."""
        generation = self.respec(name, suspend=True)
        what = f"Kustomization {name} is seen to be suspended"
        eventually(
            lambda: self.get("Kustomization", name)["status"]["observedGeneration"] == generation,
            TIMEOUT_S,
            what,
        )

    def create(self, kind: str, name: str, content: Mapping[str, Any], *, namespace: str = "") -> Object:
        metadata = {"name": name, **content.get("metadata", {})}
        root, plural = _ROOTS[kind]
        body = {**content, "apiVersion": root.split("/", 2)[2], "kind": kind, "metadata": metadata}
        return self.cluster.client.request("POST", self._folder(root, plural, kind, namespace), body)

    def patch(self, kind: str, name: str, patch: object, *, manager: str = "", namespace: str = "") -> Object:
        """A merge patch, under a field manager's name where one is given."""
        query = {"fieldManager": manager} if manager else {}
        text = self.cluster.client.text(
            "PATCH",
            self.path(kind, name, namespace),
            body=patch,
            content_type="application/merge-patch+json",
            query=query,
        )
        answer: Object = json.loads(text)
        return answer

    def delete(self, kind: str, name: str) -> None:
        self.cluster.client.request("DELETE", self.path(kind, name))

    # --- what a user sees ---

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        root, plural = _ROOTS[kind]
        folder = self._folder(root, plural, kind, namespace)
        return f"{folder}/{name}" if name else folder

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.cluster.client.find(self.path(kind, name, namespace))

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        return self.cluster.client.get(self.path(kind, name, namespace))

    def all_of(self, kind: str, namespace: str = "") -> list[Object]:
        items: list[Object] = self.cluster.client.get(self.path(kind, namespace=namespace))["items"]
        return items

    def data(self, name: str, namespace: str = "") -> dict[str, str]:
        """Of a ConfigMap."""
        data: dict[str, str] = self.get("ConfigMap", name, namespace).get("data", {})
        return data

    def inventory(self, name: str = "app") -> list[str]:
        entries = self.get("Kustomization", name)["status"].get("inventory", {}).get("entries", [])
        return [entry["id"] for entry in entries]

    def events(self, name: str, kind: str = "Kustomization", namespace: str = "") -> list[Object]:
        """About one of our objects, in the order in which they were told."""
        found = [
            item
            for item in self.all_of("Event", namespace)
            if (item["involvedObject"]["kind"], item["involvedObject"]["name"]) == (kind, name)
        ]
        return sorted(found, key=lambda item: int(item["metadata"]["resourceVersion"]))

    # --- what a user waits for ---

    def ready(self, name: str = "app", commit: str = "", *, kind: str = "Kustomization", namespace: str = "",
              timeout_s: float = TIMEOUT_S) -> Object:  # fmt: skip
        """Wait for Ready=True at `commit` and at the object's generation; gives the object."""

        def seen() -> Object:
            item = self.get(kind, name, namespace)
            condition = conditions(item).get("Ready", {})
            current = condition.get("observedGeneration") == item["metadata"]["generation"]
            good = condition.get("status") == "True" and current and commit in condition["message"]
            return item if good else not_yet(item)

        return eventually(seen, timeout_s, f"{kind} {name} is Ready at '{commit}'")

    def failed(self, name: str = "app", reason: str = "", text: str = "", *, kind: str = "Kustomization",
               timeout_s: float = TIMEOUT_S) -> Object:  # fmt: skip
        """Wait for Ready=False with this reason and a message that contains `text`; gives the object."""

        def seen() -> Object:
            item = self.get(kind, name)
            condition = conditions(item).get("Ready", {})
            good = condition.get("status") == "False" and condition["reason"] == reason
            return item if good and text in condition["message"] else not_yet(item)

        return eventually(seen, timeout_s, f"{kind} {name} says {reason}: {text}")

    def gone(self, kind: str, name: str, *, timeout_s: float = TIMEOUT_S) -> None:
        eventually(lambda: self.find(kind, name) is None, timeout_s, f"{kind} {name} is gone")

    def told(self, name: str, text: str, *, kind: str = "Kustomization", namespace: str = "") -> Object:
        """Wait for an event about one of our objects whose message contains `text`; gives the last one."""

        def seen() -> Object:
            events = self.events(name, kind, namespace)
            found = [event for event in events if text in event["message"]]
            return found[-1] if found else not_yet([event["message"] for event in events])

        return eventually(seen, TIMEOUT_S, f"an event about {kind} {name} says '{text}'")

    def becomes(self, what: str, check: Callable[[], object], *, timeout_s: float = TIMEOUT_S) -> None:
        eventually(check, timeout_s, what)

    def handled(self, kind: str, name: str, token: str) -> Object:
        """Wait until a request was answered; gives the object."""

        def seen() -> Object:
            item = self.get(kind, name)
            return item if item["status"].get("lastHandledReconcileAt") == token else not_yet(item)

        return eventually(seen, TIMEOUT_S, f"{kind} {name} has handled '{token}'")

    # --- the end ---

    def end(self) -> None:
        """Check the invariants, delete all that is ours, and wait until it is gone."""
        try:
            self._check()
        finally:
            self.remove()

    def _check(self) -> None:
        for namespace in (self.namespace, *self.others):
            if namespace == self.namespace or self.all_of("Kustomization", namespace):
                check_invariants(
                    self.cluster.client,
                    store=self.store,
                    left=frozenset(self.left),
                    namespace=namespace,
                    kinds=frozenset(_ROOTS),
                    evidence=self.evidence,
                )

    def remove(self) -> None:
        """Delete Kustomizations and sources, wait until they are gone, and sweep up what they left behind,
        for other tests look at the whole cluster."""
        namespaces = (self.namespace, *self.others)
        for kind in ("Kustomization", "GitRepository"):
            for namespace in namespaces:
                for item in self.all_of(kind, namespace):
                    self._delete_if_there(self.path(kind, item["metadata"]["name"], namespace))
        for kind in ("Kustomization", "GitRepository"):
            for namespace in namespaces:
                what = f"every {kind} in {namespace} is gone"
                eventually(functools.partial(self._is_empty, kind, namespace), TIMEOUT_S, what)
        for namespace in namespaces:
            self._sweep(namespace)

    def _sweep(self, owner: str) -> None:
        for kind, (root, plural) in _ROOTS.items():
            if kind in ("Event", "Kustomization", "GitRepository", "Widget"):
                continue
            selector = f"{KUSTOMIZE}/namespace={owner}"
            for item in self.cluster.client.get(f"{root}/{plural}", labelSelector=selector)["items"]:
                metadata = item["metadata"]
                self._delete_if_there(self.path(kind, metadata["name"], metadata.get("namespace", "")))

    def _is_empty(self, kind: str, namespace: str) -> bool:
        items = self.all_of(kind, namespace)
        return True if not items else not_yet(items)

    def _delete_if_there(self, path: str) -> None:
        try:
            self.cluster.client.request("DELETE", path)
        except ApiRefused as refusal:
            if refusal.status != 404:
                raise

    def _folder(self, root: str, plural: str, kind: str, namespace: str) -> str:
        if kind in _CLUSTER_SCOPED:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{namespace or self.namespace}/{plural}"


def conditions(item: Mapping[str, Any]) -> dict[str, Object]:
    """Conditions by their type."""
    return {one["type"]: one for one in item.get("status", {}).get("conditions", [])}


class NotYet(Exception):
    """What was seen instead."""


def not_yet(seen: object) -> NoReturn:
    """Not yet, and what was seen: `eventually` shows it when the time is over."""
    if isinstance(seen, dict):
        shown = {"generation": seen["metadata"].get("generation"), "status": seen.get("status")}
        raise NotYet(json.dumps(shown))
    raise NotYet(json.dumps(seen))
