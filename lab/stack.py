"""All of the lab at once: a control plane with our CRDs, a Git server with a repository, our controllers."""

import json
import shutil
import tempfile
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from lab.apiclient import ApiClient
from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.processes import Process
from lab.tools import Tools

REPOSITORY = "shop"
_CRDS = Path(__file__).parent.parent / "deploy" / "crds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a running stack is found."""

    kubeconfig: Path  # the administrator's
    git_url: str  # of a repository that is empty at first and takes pushes

    def client(self) -> ApiClient:
        """Requests as the kubeconfig's user. Reads the kubeconfigs that ControlPlane writes, no others."""
        config = json.loads(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        return ApiClient(
            port=int(cluster["server"].rpartition(":")[2]),
            authority_pem=b64decode(cluster["certificate-authority-data"]),
            token=config["users"][0]["user"]["token"],
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the start. `run` returns when that part can be used."""

    title: str
    about: str
    run: Callable[[], None]


class Lab(Protocol):
    """A stack, wherever it runs: in this process (`Stack`) or in one of its own (`background.Background`)."""

    def phases(self) -> tuple[Phase, ...]:
        """The start, in order. After the last one `place` may be asked."""
        ...

    @property
    def place(self) -> Place: ...

    def stop(self, *, keep_logs: bool = False) -> None:
        """End everything, also a start that is under way."""
        ...


class Stack:
    """A lab whose processes end with this one, however it ends.

    Args:
        folder: an existing folder for logs, keys and data; `stop` removes it.
    """

    def __init__(self, tools: Tools, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="headrace-lab-"))
        self._cluster = ControlPlane(tools, folder=self._subfolder("cluster"))
        self._git_server: GitServer | None = None
        self._controllers: list[Controller] = []

    @property
    def place(self) -> Place:
        if self._git_server is None:
            raise RuntimeError("the stack has not been started")
        return Place(kubeconfig=self._cluster.kubeconfig, git_url=self._git_server.url(REPOSITORY))

    @property
    def processes(self) -> list[Process]:
        """All that was started, once all was."""
        return [*self._cluster.processes.values(), *(controller.process for controller in self._controllers)]

    def phases(self) -> tuple[Phase, ...]:
        return tuple(
            Phase(title, about, run)
            for (title, about), run in zip(
                PHASES,
                (self._start_cluster, self._install_crds, self._start_git, self._start_controllers),
                strict=True,
            )
        )

    def stop(self, *, keep_logs: bool = False) -> None:
        try:
            with ThreadPoolExecutor(max_workers=2) as pool:
                list(pool.map(lambda controller: controller.stop(), self._controllers))
        finally:  # also when one of them did not stop well
            if self._git_server is not None:
                self._git_server.stop()
            self._cluster.stop()
            if not keep_logs:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _start_cluster(self) -> None:
        self._cluster.start()

    def _install_crds(self) -> None:
        self._cluster.install_crds(_definitions())

    def _start_git(self) -> None:
        self._git_server = GitServer(self._subfolder("git"))
        self._git_server.start()
        self._git_server.create(REPOSITORY)

    def _start_controllers(self) -> None:
        """Start both at once, for each takes a second to load."""
        kubeconfig = self._cluster.kubeconfig
        sources, builds = self._subfolder("source_controller"), self._subfolder("kustomize_controller")
        self._controllers = [
            SourceController(kubeconfig, folder=sources),
            Controller("kustomize_controller", kubeconfig, folder=builds),
        ]
        for controller in self._controllers:
            controller.start(ready=False)
        for controller in self._controllers:
            controller.await_ready()

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


PHASES = (
    ("Control plane", "etcd, API server, its controllers, a fake node (kwok)"),
    ("Custom resources", "GitRepository and Kustomization, from deploy/crds"),
    ("Git server", "git's own, over HTTP, with an empty repository"),
    ("Controllers", "source_controller and kustomize_controller"),
)


def _definitions() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    return [document for document in documents if document["kind"] == "CustomResourceDefinition"]
