"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, and what makes Deployments ready.

`bare` is etcd and the API server only: up in seconds, enough for everything that reads and writes objects.
But then nothing acts on them: no namespace is emptied, no service account appears, no owner reference is
followed, and the aggregated roles `admin`, `edit` and `view` stay empty. Otherwise controller manager,
scheduler and kwok (one fake node) run as well. Everything listens on 127.0.0.1, and everything ends with
the process that started it, however that one ends.
"""

import json
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab import components
from lab.apiclient import ApiClient, ApiRefused
from lab.certs import Authority, token_keys
from lab.components import Files, Ports
from lab.kubeconfig import certificate, kubeconfig
from lab.processes import Command, Process, clean_environment
from lab.scratch import scratch_folder
from lab.tools import Tools

_START_TIMEOUT_S = 120.0  # seconds on an idle machine; the deadline is for a very busy one
_STATE_BYTES = 2 << 30  # free memory that tmpfs must have before etcd's data goes there
_NODE = "node-0"


class ControlPlane:
    """One control plane; a context manager, or `start` and `stop`.

    Args:
        bare: only etcd and the API server.
        audit: keep an audit log (level Metadata) at `audit_log`, for counting requests.
        audit_bodies: users whose writes the audit log keeps with what they sent; then it also keeps all
            writes to objects of ours, with the answer.
        folder: an existing folder for logs, keys and kubeconfigs, kept; by default a temporary one, which is
            deleted at the end unless something failed.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        bare: bool = False,
        audit: bool = False,
        audit_bodies: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        self.tools = tools
        self.bare = bare
        self.audit = audit
        self._audit_bodies = list(audit_bodies)
        self.processes: dict[str, Process] = {}
        self._own_folder = folder is None
        self.files = Files(folder or Path(tempfile.mkdtemp(prefix="headrace-cluster-")))
        self._ports = Ports.free()
        self._authority = Authority("lab")
        self._crd_lists: list[str] = []
        self._backups: list[Path] = []
        self._home = self.files.folder / "home"
        self.client = ApiClient(
            port=self._ports.api_server,
            authority_pem=self._authority.certificate_pem,
            token=secrets.token_urlsafe(24),
        )

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._ports.api_server}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's: user `admin` in group `system:masters`, by token."""
        return self.files.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON audit event a line, up to 0.2 s late. Only with `audit=True`."""
        if not self.audit:
            raise RuntimeError("no audit log is kept: ControlPlane(audit=True) keeps one")
        return self.files.audit_log

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by component."""
        return {name: process.pid for name, process in self.processes.items()}

    def start(self) -> Self:
        """Start, and return when it can be used. On failure everything is ended again, and the logs are kept.

        Raises:
            ProcessFailed: a component ended or was not ready in time; carries the tail of its log.
        """
        try:
            self._write_files()
            self._start_etcd()
            self._start_api_server()
            if not self.bare:
                self._start_controllers()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        return self

    def stop(self, *, keep_logs: bool = False) -> None:
        """End everything, the API server's clients first. `keep_logs` keeps the temporary folder."""
        clients = [self.processes[name] for name in self.processes if name not in ("etcd", "kube-apiserver")]
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda process: process.stop(), clients))
        for name in ("kube-apiserver", "etcd"):
            if name in self.processes:
                self.processes[name].stop(grace_s=1.0)  # nobody needs the data any more
        for backup in self._backups:
            shutil.rmtree(backup, ignore_errors=True)
        if self._own_folder and not keep_logs:
            shutil.rmtree(self.files.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(keep_logs=error is not None)

    def restart_apiserver(self) -> None:
        """Stop the API server, start it again on the same port, and wait until it is ready."""
        # Open watches hold a graceful end up; after a second they are cut, which is what a crash would do.
        self.processes["kube-apiserver"].stop(grace_s=1.0)
        self._start_api_server()
        self.processes["kube-apiserver"].await_ready(self._crds_missing, _START_TIMEOUT_S)

    def back_up(self) -> Path:
        """A copy of all that etcd holds now, for `restore`; it goes with the control plane."""
        etcd = self.processes["etcd"]
        data = etcd.command.remove
        assert data is not None  # noqa: S101  # `_start_etcd` names it
        backup = Path(tempfile.mkdtemp(prefix="etcd-backup-", dir=self.files.folder))
        self._backups.append(backup)
        etcd.signal(signal.SIGSTOP)  # what is copied is what a crash would leave, which etcd recovers from
        try:
            shutil.copytree(data, backup, dirs_exist_ok=True)
        finally:
            etcd.signal(signal.SIGCONT)
        return backup

    def restore(self, backup: Path) -> None:
        """Go back to a backup, as an administrator does it: API server down, etcd begins anew, both up.

        resourceVersions go back too, and will be given out a second time. Only when `bare`: controller
        manager, scheduler and kwok would have to be started again.
        """
        self.processes["kube-apiserver"].stop(grace_s=1.0)
        self.processes["etcd"].stop(grace_s=1.0)
        self._start_etcd(backup)
        self._start_api_server()
        self.processes["kube-apiserver"].await_ready(self._crds_missing, _START_TIMEOUT_S)

    def serve_logs(self, logs: Mapping[str, Path]) -> None:
        """From now on these files are the logs of pods, by "namespace/name"; they may grow. Not when `bare`.

        A line is as a container runtime writes it: RFC 3339 time, "stdout", "F", the text (CRI's log format).
        """
        documents = [
            {
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": "Logs",
                "metadata": dict(zip(("namespace", "name"), pod.split("/"), strict=True)),
                "spec": {"logs": [{"logsFile": str(file)}]},
            }
            for pod, file in logs.items()
        ]
        self.files.pod_logs.write_text("\n---\n".join(map(json.dumps, documents)))
        self.processes["kwok"].stop()
        kwok = self._run("kwok", components.kwok(self.tools, self._ports, self.files))
        kwok.await_ready(_answers(f"https://127.0.0.1:{self._ports.kwok}/healthz", "ok"), _START_TIMEOUT_S)

    def user_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a user with a client certificate; RBAC decides what the user may do."""
        credentials = certificate(self._authority.issue_client(user, groups))
        return self._write_kubeconfig(f"user-{secrets.token_hex(4)}.kubeconfig", user, credentials)

    def kubeconfig_through(self, port: int) -> Path:
        """The administrator's kubeconfig, for a proxy on another loopback port.

        A proxy that ends TLS can serve `files.serving_certificate`, which names 127.0.0.1 and no port.
        """
        return self._write_kubeconfig(f"port-{port}.kubeconfig", "admin", {"token": self.client.token}, port)

    def token_kubeconfig(self, user: str, token: str) -> Path:
        """A kubeconfig for a bearer token, such as a service account's."""
        return self._write_kubeconfig(f"token-{secrets.token_hex(4)}.kubeconfig", user, {"token": token})

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Create the service account where it is missing, and give a kubeconfig with a token of it."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if self.client.find(f"{accounts}/{name}") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
            self.client.request("POST", accounts, account)
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": None},
        }
        granted = self.client.request("POST", f"{accounts}/{name}/token", asked)
        return self.token_kubeconfig(f"{namespace}:{name}", granted["status"]["token"])

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Standard output of kubectl as administrator.

        Raises:
            RuntimeError: it failed, and `check` is set; carries its standard error.
        """
        ran = subprocess.run(
            [self.tools.path("kubectl"), *args],
            input=input,
            env=clean_environment(self._home, {"KUBECONFIG": str(self.kubeconfig)}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and ran.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(args)} ended with {ran.returncode}: {ran.stderr.strip()}")
        return ran.stdout

    def create_namespace(self, name: str) -> None:
        self.client.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def install_crds(self, documents: Sequence[dict[str, Any]]) -> None:
        """Apply CustomResourceDefinitions, and wait until the API server serves them."""
        base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for document in documents:
            self.client.apply(f"{base}/{document['metadata']['name']}", document)
        # The condition Established comes a moment before the first list is answered, so the lists are asked.
        self._crd_lists += [
            f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
            for spec in (document["spec"] for document in documents)
            for version in spec["versions"]
            if version["served"]
        ]
        self.processes["kube-apiserver"].await_ready(self._crds_missing, _START_TIMEOUT_S)

    def _crds_missing(self) -> str | None:
        try:
            for path in self._crd_lists:
                self.client.get(path, limit=1)
        except ApiRefused as refusal:  # 404 at first, then 429 while the storage is initialised
            return str(refusal)
        return None

    def _write_files(self) -> None:
        files = self.files
        self._home.mkdir(exist_ok=True)
        hosts = [
            "127.0.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "10.0.0.1",
        ]
        serving = self._authority.issue_server("kube-apiserver", hosts)
        accounts = token_keys()
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "omitManagedFields": True,
            "rules": [*_bodies(self._audit_bodies), {"level": "Metadata"}],
        }
        files.authority.write_bytes(self._authority.certificate_pem)
        files.serving_certificate.write_bytes(serving.public_pem)
        files.serving_key.write_bytes(serving.private_pem)
        files.token_public_key.write_bytes(accounts.public_pem)
        files.token_private_key.write_bytes(accounts.private_pem)
        files.tokens.write_text(f'{self.client.token},admin,admin,"system:masters"\n')
        files.audit_policy.write_text(json.dumps(policy))
        self._write_kubeconfig(files.kubeconfig.name, "admin", {"token": self.client.token})

    def _write_kubeconfig(
        self, file_name: str, user: str, credentials: dict[str, str], port: int | None = None
    ) -> Path:
        server = f"https://127.0.0.1:{port}" if port else self.url
        path = self.files.folder / file_name
        path.write_text(kubeconfig(server, self._authority.certificate_pem, user, credentials))
        path.chmod(0o600)
        return path

    def _start_etcd(self, backup: Path | None = None) -> None:
        data = scratch_folder("etcd", room_bytes=_STATE_BYTES, otherwise=self.files.folder)
        if backup is not None:
            shutil.copytree(backup, data, dirs_exist_ok=True)
        etcd = self._run("etcd", components.etcd(self.tools, self._ports, data), remove=data)
        etcd.await_ready(_answers(f"http://127.0.0.1:{self._ports.etcd}/health", "true"), _START_TIMEOUT_S)

    def _start_api_server(self) -> None:
        argv = components.api_server(self.tools, self._ports, self.files, audit=self.audit)
        self._run("kube-apiserver", argv).await_ready(self._api_server_missing, _START_TIMEOUT_S)

    def _api_server_missing(self) -> str | None:
        try:
            self.client.text("GET", "/readyz")
        except (ApiRefused, OSError) as error:
            return str(error)
        return None

    def _start_controllers(self) -> None:
        """Start the rest at once, and wait for a node that takes pods and the service account they need."""
        ports = self._ports
        manager = self._run(
            "kube-controller-manager", components.controller_manager(self.tools, ports, self.files)
        )
        scheduler = self._run("kube-scheduler", components.scheduler(self.tools, ports, self.files))
        kwok = self._run("kwok", components.kwok(self.tools, ports, self.files))
        metadata = {"name": _NODE, "labels": {"kubernetes.io/os": "linux"}}  # the label that a kubelet sets
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        self.client.request("POST", "/api/v1/nodes", node)
        kwok.await_ready(self._node_missing, _START_TIMEOUT_S)
        manager.await_ready(self._service_account_missing, _START_TIMEOUT_S)
        healthy = _answers(f"https://127.0.0.1:{ports.scheduler}/healthz", "ok")
        scheduler.await_ready(healthy, _START_TIMEOUT_S)

    def _node_missing(self) -> str | None:
        node = self.client.get(f"/api/v1/nodes/{_NODE}")
        conditions = node.get("status", {}).get("conditions", [])
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return f"node {_NODE} is not Ready"
        taints = node["spec"].get("taints", [])
        return f"node {_NODE} still has taints: {taints}" if taints else None

    def _service_account_missing(self) -> str | None:
        found = self.client.find("/api/v1/namespaces/default/serviceaccounts/default")
        return None if found else "the controller manager made no service account in namespace 'default'"

    def _run(self, name: str, argv: Sequence[str | Path], *, remove: Path | None = None) -> Process:
        command = Command(
            name=name,
            argv=argv,
            log=self.files.log(name),
            environment=clean_environment(self._home),
            folder=self.files.folder,
            remove=remove,
        )
        self.processes[name] = Process(command)
        return self.processes[name]


def _bodies(users: list[str]) -> list[dict[str, Any]]:
    """Rules of an audit policy: the first one that fits a request says how much of it is kept."""
    if not users:
        return []
    ours = [{"group": f"{name}.toolkit.fluxcd.io"} for name in ("source", "kustomize")]
    writes = ["create", "update", "patch", "delete"]
    return [
        {"level": "Metadata", "resources": [{"group": "", "resources": ["events"]}]},
        {"level": "RequestResponse", "resources": ours, "verbs": writes},
        {"level": "Request", "users": users, "verbs": writes},
    ]


def _answers(url: str, word: str) -> Callable[[], str | None]:
    """A readiness check: a GET on loopback gives 200 and a body with `word`. No certificate is checked."""
    context = ssl._create_unverified_context()  # noqa: S323  # the scheduler signs its own certificate
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def missing() -> str | None:
        try:
            with opener.open(url, timeout=5) as answer:
                body = answer.read(4096).decode(errors="replace")
        except (urllib.error.URLError, OSError) as error:
            return f"{url}: {error}"
        return None if word in body else f"{url} says {body!r}"

    return missing
