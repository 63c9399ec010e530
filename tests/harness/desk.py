"""A desk with GitRepositories on it: words for what a user of the source controller does and sees."""

import base64
import secrets
import tarfile
import urllib.request
from io import BytesIO
from typing import Any

from lab.controllers import SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import Basic, GitServer
from lab.worktree import Worktree
from tests.harness.invariants import Evidence, check_invariants
from tests.harness.wait import eventually

Object = dict[str, Any]


class Desk:
    """A GitRepository and the repository that it is about, seen through API server and Git.

    Args:
        namespace: of the object; `begin` makes it.
        name: of the object, and of its repository in a folder for the namespace.
    """

    def __init__(
        self, cluster: ControlPlane, git: GitServer, namespace: str, controller: SourceController, name: str
    ) -> None:
        self.cluster = cluster
        self.client = cluster.client
        self.git = git
        self.namespace = namespace
        self.controller = controller
        self.name = name
        self.repository = f"{namespace}/{name}"
        self.worktree: Worktree = git.create(self.repository)
        self._spec: Object = {}  # beside what all have

    @classmethod
    def begin(
        cls, cluster: ControlPlane, git: GitServer, namespace: str, controller: SourceController
    ) -> "Desk":
        """The first one in a namespace, "app"."""
        cluster.create_namespace(namespace)
        return cls(cluster, git, namespace, controller, "app")

    def another(self, name: str) -> "Desk":
        """Another one in the same namespace."""
        return Desk(self.cluster, self.git, self.namespace, self.controller, name)

    def lock(self, password: str) -> None:
        """From now on the repository wants a password, and the object names the Secret that has it."""
        self.git.protect(self.repository, Basic("ada", password))
        data = {
            key: base64.b64encode(text.encode()).decode()
            for key, text in {"username": "ada", "password": password}.items()
        }
        item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name}, "data": data}
        self.client.request("POST", f"/api/v1/namespaces/{self.namespace}/secrets", item)
        self._spec = {"secretRef": {"name": self.name}}

    @property
    def path(self) -> str:
        return f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{self.namespace}/gitrepositories/{self.name}"

    def apply(self, **spec: object) -> None:
        body = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "url": self.git.url(self.repository),
                "interval": "1h",
                "timeout": "10s",
                "ref": {"branch": "main"},
                **self._spec,
                **spec,
            },
        }
        self.client.apply(self.path, body)

    def read(self) -> Object:
        return self.client.get(self.path)

    def find(self) -> Object | None:
        return self.client.find(self.path)

    def ask(self) -> str:
        """Ask for a run; returns the value that lastHandledReconcileAt will have."""
        value = secrets.token_hex(4)
        self.client.merge(
            self.path, {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": value}}}
        )
        return value

    def ask_and_wait(self) -> Object:
        value = self.ask()

        def handled() -> Object | None:
            found = self.read()
            return found if found.get("status", {}).get("lastHandledReconcileAt") == value else None

        found = eventually(handled, 20, "the run that was asked for ended")
        assert found is not None
        return found

    def wait(self, reason: str) -> Object:
        """Until Ready has this reason, for the present generation's spec."""

        def there() -> Object | None:
            found = self.read()
            ready = condition(found, "Ready")
            same = ready.get("observedGeneration") == found["metadata"]["generation"]
            return found if same and ready.get("reason") == reason else None

        found = eventually(there, 30, f"Ready {reason} of {self.repository}: {self.read().get('status')}")
        assert found is not None
        return found

    def events(self, reason: str) -> list[str]:
        listed = self.client.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [
            event["message"]
            for event in listed
            if event["reason"] == reason and event["involvedObject"]["name"] == self.name
        ]

    def check(self, evidence: Evidence) -> None:
        """All invariants within the namespace. Raises InvariantsViolated."""
        check_invariants(
            self.client,
            store=self.controller.storage,
            namespace=self.namespace,
            kinds=frozenset({"ConfigMap"}),  # nobody here owns anything
            evidence=evidence,
        )

    def delete(self) -> None:
        self.client.request("DELETE", self.path)

    def end(self, evidence: Evidence) -> None:
        """Check, and delete all GitRepositories of the namespace: fetches that go on would slow down others.

        Raises:
            InvariantsViolated: at least one rule does not hold.
        """
        try:
            self.check(evidence)
        finally:
            self.client.request("DELETE", self.path.rpartition("/")[0])


def condition(found: Object, kind: str) -> Object:
    for each in found.get("status", {}).get("conditions", []):
        if each["type"] == kind:
            return dict(each)
    return {}


def content(found: Object) -> set[str]:
    """Names of the files in the artifact that status names."""
    url = found["status"]["artifact"]["url"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer, tarfile.open(fileobj=BytesIO(answer.read())) as tar:
        return {member.name for member in tar if member.isfile()}


def link(worktree: Worktree, path: str, commit: str, url: str) -> None:
    """Make `path` a submodule at `commit`; not committed yet. Git itself would refuse some of what tests
    want."""
    (worktree.path / path).mkdir(parents=True, exist_ok=True)
    worktree.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    modules = worktree.path / ".gitmodules"
    text = modules.read_text() if modules.exists() else ""
    modules.write_text(f'{text}[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
