"""One kustomize controller behind a fault proxy, for many Kustomizations one after the other.

A lane's controller sees only Kustomizations with the lane's label, so that several lanes share a control
plane, a Git server and a source controller. Each `Case` has names of its own for everything.

Two canaries are in every case: the password of its Git repository, and a value that manifests may have as
`${word}`, from a Secret. Nothing that the controllers put out may tell them.
"""

import json
import secrets
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.apiclient import ApiClient
from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import Basic, GitServer
from lab.worktree import Worktree
from tests.faults.faultproxy import FaultProxy
from tests.harness.canaries import Canaries
from tests.harness.invariants import Evidence, check_invariants, observe
from tests.harness.outlets import Outlets
from tests.harness.rendering import inventory_id, render
from tests.harness.replay import Past, Revision
from tests.harness.wait import eventually

Object = dict[str, Any]
Files = Mapping[str, str | None]

CONVERGE_S = 10.0  # reliability F01: from a restart to the right state
_START_S = 30.0  # for everything that is not what a test measures
_RETRY_S = 3.0  # spec.retryInterval of a second, with its jitter and a slow machine
_SOURCES = "/apis/source.toolkit.fluxcd.io/v1"
_KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1"


@dataclass(frozen=True, slots=True)
class World:
    """What all lanes share."""

    cluster: ControlPlane
    git_server: GitServer
    sources: SourceController
    canaries: Canaries


class Lane:
    """A context manager: the proxy and the controller run inside."""

    def __init__(self, world: World, *flags: str) -> None:
        self.world = world
        self.name = f"lane-{secrets.token_hex(3)}"
        self.proxy = FaultProxy(world.cluster).start()
        self.controller = Controller(
            "kustomize_controller",
            self.proxy.kubeconfig,
            flags=[
                f"--watch-label-selector=lane={self.name}",
                "--cache-path=cache",
                "--state-path=state",
                *flags,
            ],
        )
        self.git_password = world.canaries.plant(f"Git password of {self.name}")
        self.word = world.canaries.plant(f"substituted value of {self.name}")
        self.outlets = Outlets(world.canaries, (world.sources, self.controller))

    def __enter__(self) -> "Lane":
        self.controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.controller.stop()
        self.proxy.stop()

    def case(self) -> "Case":
        """A fresh namespace and repository; the proxy's history begins anew."""
        self.proxy.obey()
        self.proxy.forget()
        return Case(self)


@dataclass(slots=True)
class Case:
    """One Kustomization `app` with its source, in a namespace of its own, and what Git has said so far.

    Attributes:
        token: a word for names of cluster-scoped objects; also the namespace of Kustomization and source.
        held: inventory ids of what a guard keeps although Git has it no longer.
    """

    lane: Lane
    token: str = field(default_factory=lambda: f"case-{secrets.token_hex(4)}")
    revisions: list[Revision] = field(default_factory=list)
    uids: dict[str, str] = field(default_factory=dict)
    deleted_s: float | None = None
    held: frozenset[str] = frozenset()
    worktree: Worktree = field(init=False)

    def __post_init__(self) -> None:
        server = self.lane.world.git_server
        self.worktree = server.create(self.token)
        server.protect(self.token, Basic("ada", self.lane.git_password))
        self.cluster.create_namespace(self.token)
        self._create_secret("git", username="ada", password=self.lane.git_password)
        self._create_secret("values", word=self.lane.word)

    @property
    def cluster(self) -> ControlPlane:
        return self.lane.world.cluster

    @property
    def client(self) -> ApiClient:
        return self.cluster.client

    @property
    def path(self) -> str:
        return f"{_KUSTOMIZATIONS}/namespaces/{self.token}/kustomizations/app"

    def publish(self, files: Files, *, builds: bool = True, path: str = "") -> str:
        """Commit, push, and have the source controller look; returns the revision's name.

        Args:
            builds: whether it must build; what it then renders to is asked of the stock binary.
            path: what the Kustomization builds, below the repository's root.
        """
        named = {name: text and text.replace("TOKEN", self.token) for name, text in files.items()}
        self.worktree.write(named)
        self.worktree.commit()
        return self.push(builds=builds, path=path)

    def push(self, *, builds: bool = True, path: str = "", force: bool = False) -> str:
        """As `publish`, for what is committed already."""
        name = self.expect(self.worktree, path, builds=builds)
        self.worktree.push(force=force)
        self.look()
        return name

    def expect(self, worktree: Worktree, path: str = "", *, builds: bool = True) -> str:
        """From now on a revision may be acted upon: what is committed in `worktree`. Returns its name."""
        objects = self._rendered(worktree.path / path) if builds else None
        name = f"main@sha1:{worktree.head()}"
        self.revisions.append(Revision(name=name, published_s=time.monotonic(), objects=objects))
        return name

    def _rendered(self, folder: Path) -> dict[str, Object]:
        text = json.dumps(render(self.cluster.tools, folder))
        objects: dict[str, Object] = json.loads(text.replace("${word}", json.dumps(self.lane.word)[1:-1]))
        return objects

    def look(self) -> None:
        """Have the source controller look at the repository now."""
        repository = f"{_SOURCES}/namespaces/{self.token}/gitrepositories/app"
        if self.client.find(repository) is None:
            spec = {
                "interval": "1h",
                "url": self.lane.world.git_server.url(self.token),
                "ref": {"branch": "main"},
                "secretRef": {"name": "git"},
            }
            self.client.apply(repository, _object("source.toolkit.fluxcd.io/v1", "GitRepository", spec))
            return
        now = {"reconcile.fluxcd.io/requestedAt": secrets.token_hex(4)}
        self.client.merge(repository, {"metadata": {"annotations": now}})

    def create(self, **spec: object) -> None:
        """Create the Kustomization; `spec` on top of what all have."""
        usual = {
            "interval": "1h",
            "retryInterval": "1s",
            "timeout": "30s",
            "prune": True,
            "path": "./",
            "sourceRef": {"kind": "GitRepository", "name": "app"},
            "postBuild": {"substituteFrom": [{"kind": "Secret", "name": "values"}]},
        }
        item = _object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", usual | spec)
        item["metadata"]["labels"] = {"lane": self.lane.name}
        self.client.apply(self.path, item)

    def set_spec(self, **spec: object) -> None:
        self.client.merge(self.path, {"spec": spec})

    def delete(self) -> None:
        self.deleted_s = time.monotonic()
        self.client.request("DELETE", self.path)

    def read(self) -> Object:
        return self.client.get(self.path)

    def ready(self) -> Object:
        """The condition Ready, {} while there is none."""
        conditions: list[Object] = self.read().get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Ready"), {})

    def await_artifact(self, timeout_s: float = _START_S) -> None:
        """Until the source controller has published the newest revision."""
        wanted = self.revisions[-1].name
        repository = f"{_SOURCES}/namespaces/{self.token}/gitrepositories/app"

        def published() -> bool:
            status = self.client.get(repository).get("status", {})
            return bool(status.get("artifact", {}).get("revision") == wanted)

        eventually(published, timeout_s, f"artifact of {wanted}")

    def await_converged(self, timeout_s: float = _START_S) -> float:
        """Until the newest revision is applied, or the deleted Kustomization gone; the seconds that took."""
        began = time.monotonic()

        def converged() -> bool:
            missing = self._missing()
            if missing is not None:
                raise LookupError(missing)
            return True

        eventually(converged, timeout_s, f"{self.token} converges")
        return time.monotonic() - began

    def is_done(self) -> bool:
        """Converged, and nothing was written for a second."""
        return self._missing() is None and self.lane.proxy.history.quiet_for_s() > 1

    def await_settled(self, timeout_s: float = _START_S) -> None:
        """Until the controller knows too that it is converged.

        The cluster may show the end while the answer to the last write was lost: then the controller has to
        write once more, which is no unrest. It does so within its retry interval, or learns the outcome
        from its watch.
        """

        def settled() -> bool:
            if self._missing() is not None:
                return False
            history = self.lane.proxy.history  # read after the cluster: what the cluster shows is in it
            known = all(change.answered for change in history.changes()[-1:])
            return known or history.quiet_for_s() > _RETRY_S

        eventually(settled, timeout_s, f"{self.token} settles")

    def _missing(self) -> str | None:
        item = self.client.find(self.path)
        if self.deleted_s is not None:
            return None if item is None else "the Kustomization is still there"
        if item is None:
            return "the Kustomization is not there"
        status = item.get("status", {})
        conditions: list[Object] = status.get("conditions", [])
        ready = next((c for c in conditions if c["type"] == "Ready"), {})
        at = (status.get("lastAppliedRevision"), status.get("observedGeneration"), ready.get("status"))
        wanted = (self.revisions[-1].name, item["metadata"]["generation"], "True")
        if at != wanted:
            return f"{at}, not {wanted}: {ready.get('message')}"
        entries = {entry["id"] for entry in status.get("inventory", {}).get("entries", [])}
        leaving = entries - set(self.revisions[-1].objects or entries)
        return f"{leaving} on the way out" if leaving else None

    def snapshot(self, kinds: frozenset[str] = frozenset()) -> dict[str, str]:
        """Remember the UIDs of all owned objects; what Git keeps from now on must keep them."""
        seen = observe(self.client, namespace=self.token, kinds=kinds)
        self.uids = {inventory_id(item): item["metadata"]["uid"] for item in seen.labelled}
        return self.uids

    def past(self, still_s: float = 0.5) -> Past:
        return Past(
            namespace=self.token,
            name="app",
            history=self.lane.proxy.history,
            revisions=tuple(self.revisions),
            deleted_s=self.deleted_s,
            uids=self.uids,
            held=self.held,
            still_s=still_s,
        )

    def check(self, kinds: frozenset[str] = frozenset(), *, still_s: float = 0.5) -> None:
        """All invariants, over the cluster and over the past; waits `still_s` to see that nothing is written.

        Raises:
            InvariantsViolated: lists every violation.
        """
        store = self.lane.world.sources.storage
        check_invariants(
            self.client,
            store=store,
            namespace=self.token,
            kinds=kinds,
            pasts=[self.past(still_s)],
            evidence=Evidence(outlets=self.lane.outlets),
        )

    def _create_secret(self, name: str, **values: str) -> None:
        data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
        item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        self.client.request("POST", f"/api/v1/namespaces/{self.token}/secrets", item)

    def leave(self) -> None:
        """Take the Kustomization out of the lane, so that its controller does nothing more about it."""
        if self.client.find(self.path) is not None:
            self.client.merge(self.path, {"metadata": {"labels": {"lane": None}}})


def _object(api_version: str, kind: str, spec: object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "app"}, "spec": spec}
