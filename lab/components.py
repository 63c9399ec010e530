"""The command line of each control plane component: paths and ports in, argv out. Nothing is started here."""

from dataclasses import dataclass
from pathlib import Path

from lab.ports import free_port
from lab.tools import Tools

SERVICE_RANGE = "10.0.0.0/16"
ISSUER = "https://kubernetes.default.svc"
STAGES = Path(__file__).with_name("kwok") / "stages.yaml"


@dataclass(frozen=True, slots=True)
class Ports:
    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int
    kwok: int

    @classmethod
    def free(cls) -> "Ports":
        return cls(*(free_port() for _ in range(6)))


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one control plane, all in one folder that only its user may read."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def serving_certificate(self) -> Path:
        return self.folder / "apiserver.crt"

    @property
    def serving_key(self) -> Path:
        return self.folder / "apiserver.key"

    @property
    def token_public_key(self) -> Path:
        return self.folder / "service-accounts.pub"

    @property
    def token_private_key(self) -> Path:
        return self.folder / "service-accounts.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def pod_logs(self) -> Path:
        return self.folder / "pod-logs.yaml"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def log(self, component: str) -> Path:
        return self.folder / f"{component}.log"


def etcd(tools: Tools, ports: Ports, data: Path) -> list[str | Path]:
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        tools.path("etcd"),
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        # A member without peers elects itself after one election timeout: 0.1 s instead of a second.
        "--heartbeat-interval=10",
        "--election-timeout=100",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server(tools: Tools, ports: Ports, files: Files, *, audit: bool) -> list[str | Path]:
    argv: list[str | Path] = [
        tools.path("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={ports.api_server}",
        f"--tls-cert-file={files.serving_certificate}",
        f"--tls-private-key-file={files.serving_key}",
        f"--client-ca-file={files.authority}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={files.token_public_key}",
        f"--service-account-signing-key-file={files.token_private_key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
    ]
    if audit:
        argv += [
            f"--audit-policy-file={files.audit_policy}",
            f"--audit-log-path={files.audit_log}",
            "--audit-log-maxsize=0",  # no other file after the first 100 MB: readers go on where they were
            "--audit-log-mode=batch",
            "--audit-log-batch-max-wait=200ms",
            "--audit-log-batch-buffer-size=100000",  # events beyond the buffer are lost, and counts with them
            "--audit-log-batch-max-size=1000",
        ]
    return argv


def controller_manager(tools: Tools, ports: Ports, files: Files) -> list[str | Path]:
    return [
        tools.path("kube-controller-manager"),
        f"--kubeconfig={files.kubeconfig}",
        f"--root-ca-file={files.authority}",
        f"--service-account-private-key-file={files.token_private_key}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.controller_manager}",
        "--kube-api-qps=300",  # the defaults (20, 30) make a namespace of many objects slow to appear and go
        "--kube-api-burst=500",
        # A stopped kwok, or a machine too busy to renew leases, must not turn pods unready.
        "--node-monitor-grace-period=24h",
    ]


def scheduler(tools: Tools, ports: Ports, files: Files) -> list[str | Path]:
    return [
        tools.path("kube-scheduler"),
        f"--kubeconfig={files.kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.scheduler}",
    ]


def kwok(tools: Tools, ports: Ports, files: Files) -> list[str | Path]:
    argv: list[str | Path] = [
        tools.path("kwok"),
        f"--kubeconfig={files.kubeconfig}",
        f"--config={STAGES}",
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        # The node's kubelet, which the API server asks for logs, over TLS only.
        f"--node-port={ports.kwok}",
        f"--server-address=127.0.0.1:{ports.kwok}",
        f"--tls-cert-file={files.serving_certificate}",
        f"--tls-private-key-file={files.serving_key}",
    ]
    return [*argv, f"--config={files.pod_logs}"] if files.pod_logs.exists() else argv
