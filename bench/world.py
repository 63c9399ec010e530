"""All that runs during a bench: control plane, Git server, the two controllers, and what watches them."""

import asyncio
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.audit import AuditLog, What, count
from bench.board import Board, Goal
from bench.load import REPOSITORY, Load
from bench.measure import Meter
from bench.watch import Cluster
from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.processes import ProcessFailed
from lab.scratch import scratch_folder
from lab.tools import Tools
from lab.worktree import Worktree

SOURCE, KUSTOMIZE = "source-controller", "kustomize-controller"
CONTROLLERS = (SOURCE, KUSTOMIZE)
_NAMESPACE = "flux-system"
_CRDS = Path(__file__).parent.parent / "deploy" / "crds"
TIMEOUT_S = 180.0  # of whatever a phase waits for: several times the goals
_AUDIT_TIMEOUT_S = 60.0
_QUIET_S = 1.0
_QUIET_CPU_S = 0.02  # two clock ticks of CPU within _QUIET_S: a timer or two, no work
_GIVE_UP_QUIET_S = 8.0  # with many objects, timed runs never pause


def say(text: str) -> None:
    """A progress line; results go to standard output."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    load: Load
    control_plane: ControlPlane
    git_url: str
    worktree: Worktree
    controllers: Mapping[str, Controller]
    cluster: Cluster
    meter: Meter
    audit: AuditLog
    values: dict[str, str] = field(default_factory=dict)  # what Git says of each marker, by application

    @property
    def names(self) -> list[str]:
        return [application.name for application in self.load.applications]

    async def requests(self, since: float, until: float) -> Counter[What]:
        """The controllers' requests received in [since, until), by what they were."""
        await self._await_audit()
        found = count(self.audit.between(since, until), (user(name) for name in CONTROLLERS))
        return Counter({what._replace(user=what.user.rpartition(":")[2]): n for what, n in found.items()})

    async def reach(self, board: Board, goal: Goal) -> float:
        """As `board.reach`, but a controller that ended ends the wait too (ProcessFailed)."""
        waiting = asyncio.ensure_future(board.reach(goal, TIMEOUT_S))
        try:
            while not (await asyncio.wait([waiting], timeout=1.0))[0]:
                self.check_alive()
        finally:
            waiting.cancel()
        return await waiting

    def check_alive(self) -> None:
        """Raises ProcessFailed, with the end of its log, when a controller has ended."""
        for name, controller in self.controllers.items():
            code = controller.process.exit_code()
            if code is not None:
                raise ProcessFailed(f"the {name} ended with {code}\n{controller.process.log_tail()}")

    async def quiet(self) -> None:
        """Wait until the controllers do nothing any more, or for `_GIVE_UP_QUIET_S`."""
        deadline = time.monotonic() + _GIVE_UP_QUIET_S
        before = self.meter.controllers_cpu_s()
        while time.monotonic() < deadline:
            await asyncio.sleep(_QUIET_S)
            now = self.meter.controllers_cpu_s()
            if now - before <= _QUIET_CPU_S:
                return
            before = now

    async def _await_audit(self) -> None:
        """The log is written in batches, in order: once a request of now is in it, all earlier ones are."""
        mark = uuid.uuid4().hex
        await self.cluster.get(f"/version?mark={mark}")
        deadline = time.monotonic() + _AUDIT_TIMEOUT_S
        while time.monotonic() < deadline:
            self.audit.read()
            if any(mark in request.uri for request in reversed(self.audit.requests)):
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"the audit log does not show a request made {_AUDIT_TIMEOUT_S:g} s ago")


@asynccontextmanager
async def world(load: Load) -> AsyncIterator[World]:
    """Start everything; the controllers are ready and have nothing to do. The load is in Git already."""
    with ExitStack() as stack:
        say("starting a control plane")
        control_plane = stack.enter_context(ControlPlane(Tools.from_environment(), bare=True, audit=True))
        control_plane.install_crds(crds())
        for namespace in load.namespaces:
            control_plane.create_namespace(namespace)
        kubeconfigs = _accounts(control_plane)
        git_server = stack.enter_context(GitServer())
        worktree = git_server.create(REPOSITORY)
        worktree.publish(load.files("start"))
        say("starting the controllers")
        controllers: dict[str, Controller] = {
            SOURCE: stack.enter_context(SourceController(kubeconfigs[SOURCE])),
            KUSTOMIZE: stack.enter_context(
                Controller("kustomize_controller", kubeconfigs[KUSTOMIZE], flags=_on_tmpfs(stack))
            ),
        }

        def pids() -> dict[str, int]:
            ours = {name: controller.pid for name, controller in controllers.items()}
            return {**ours, **control_plane.pids}

        client = control_plane.client
        meter = stack.enter_context(Meter(pids, CONTROLLERS))
        async with Cluster(control_plane.url, client.authority_pem, client.token) as cluster:
            yield World(
                load=load,
                control_plane=control_plane,
                git_url=git_server.url(REPOSITORY),
                worktree=worktree,
                controllers=controllers,
                cluster=cluster,
                meter=meter,
                audit=AuditLog(control_plane.audit_log),
                values=dict.fromkeys((application.name for application in load.applications), "start"),
            )


def user(controller: str) -> str:
    """Under this name the audit log shows a controller's requests, kopf's included."""
    return f"system:serviceaccount:{_NAMESPACE}:{controller}"


def _accounts(control_plane: ControlPlane) -> dict[str, Path]:
    """Kubeconfigs of two service accounts that may do everything, as Flux's own may."""
    control_plane.create_namespace(_NAMESPACE)
    binding = {
        "metadata": {"name": "controllers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"kind": "ServiceAccount", "name": name, "namespace": _NAMESPACE} for name in CONTROLLERS
        ],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    control_plane.client.request("POST", bindings, binding)
    return {name: control_plane.service_account_kubeconfig(_NAMESPACE, name) for name in CONTROLLERS}


def crds() -> list[dict[str, object]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    return [document for document in documents if document["kind"] == "CustomResourceDefinition"]


def _on_tmpfs(stack: ExitStack) -> list[str]:
    """Unpacked artifacts and checkpoints in memory, as etcd's data are: the bench measures us, not a disk."""
    folder = scratch_folder("bench", room_bytes=1 << 30)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return [f"--cache-path={folder / 'artifacts'}", f"--state-path={folder / 'state'}"]
