"""Flags and environment of the source controller, read once into one frozen value; nobody else reads either.

Source: behaviour-source.md 1.6 and 1.10; telemetry.md 5.
"""

import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.artifacts.digest import ALGORITHMS
from shared.artifacts.store import Retention
from shared.git import algorithms
from shared.runtime.flags import Address, Flag, change, feature_gates, parse, refuse, unheeded
from shared.runtime.process_flags import COMMON, COMMON_GATES, PACE

PROG: Final = "python -m source_controller"
ABOUT: Final = "Publishes what Git repositories hold as artifacts for other controllers."
_STORAGE = "Artifact store"
_HELM = "Helm"
_IDENTITY = "ObjectLevelWorkloadIdentity"

# What these mean elsewhere has no place here: no run starts with a ConfigMap, and nothing is applied.
_SHARED: Final = change(
    change(change(COMMON, "concurrent", default=2), "watch-configs-label-selector", heeded=False),
    "default-service-account",
    heeded=False,
    help="Service account whose cloud identity is used where an object names none; without the gate "
    f"{_IDENTITY} the start fails.",
)

FLAGS: Final[tuple[Flag, ...]] = (
    *_SHARED,
    *PACE,
    Flag(
        "storage-path", "STORAGE_PATH", "/data", "string",
        "Folder of the artifacts.", group=_STORAGE,
    ),
    Flag(
        "storage-addr", "STORAGE_ADDRESS", ":9090", "address",
        "Where artifacts are served over HTTP.", group=_STORAGE,
    ),
    Flag(
        "storage-adv-addr", "STORAGE_ADV_ADDR", "", "string",
        "Address under which consumers reach the artifacts; empty: the host of --storage-addr.",
        group=_STORAGE,
    ),
    Flag(
        "artifact-retention-ttl", "ARTIFACT_RETENTION_TTL", "1m", "duration",
        "How long an old artifact stays beside the current one, for slow consumers.", group=_STORAGE,
    ),
    Flag(
        "artifact-retention-records", "ARTIFACT_RETENTION_RECORDS", 2, "int",
        "How many artifacts of an object stay after a collection, the current one among them.",
        group=_STORAGE,
    ),
    Flag(
        "artifact-digest-algo", "ARTIFACT_DIGEST_ALGO", "sha256", "string",
        "Algorithm of the artifacts' digests.", group=_STORAGE, choices=ALGORITHMS,
    ),
    Flag(
        "artifact-max-size", "ARTIFACT_MAX_SIZE", 512 << 20, "int",
        "Bytes that all files of one artifact may have together.", group=_STORAGE,
    ),
    Flag(
        "git-cache-path", "GIT_CACHE_PATH", "", "string",
        "Folder of the Git objects fetched so far, outside of the store; may be lost at any time. Empty: "
        "a folder below the system's one for temporary files.", group=_STORAGE,
    ),
    Flag(
        "ssh-kex-algos", "SSH_KEX_ALGOS", [], "list",
        "SSH key exchange algorithms to use, best first; empty: all of these: "
        f"{', '.join(algorithms.KEY_EXCHANGES)}.", group="SSH",
    ),
    Flag(
        "ssh-hostkey-algos", "SSH_HOSTKEY_ALGOS", [], "list",
        "SSH host key algorithms to accept, best first; empty: ssh-ed25519, ecdsa-sha2-* and rsa-sha2-*.",
        group="SSH",
    ),
    Flag("helm-index-max-size", "HELM_INDEX_MAX_SIZE", 52428800, "int", "Bytes of an index.", False, _HELM),
    Flag("helm-chart-max-size", "HELM_CHART_MAX_SIZE", 10485760, "int", "Bytes of a chart.", False, _HELM),
    Flag(
        "helm-chart-file-max-size", "HELM_CHART_FILE_MAX_SIZE", 5242880, "int",
        "Bytes of a file in a chart.", False, _HELM,
    ),
    Flag("helm-cache-max-size", "HELM_CACHE_MAX_SIZE", 0, "int", "Indexes in memory.", False, _HELM),
    Flag("helm-cache-ttl", "HELM_CACHE_TTL", "15m", "duration", "Age of an index.", False, _HELM),
    Flag(
        "helm-cache-purge-interval", "HELM_CACHE_PURGE_INTERVAL", "1m", "duration",
        "Time between looks at old indexes.", False, _HELM,
    ),
    feature_gates(COMMON_GATES, heeded=()),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the source controller itself needs; the runtime takes its own from `flags`."""

    storage_path: Path
    storage_addr: Address | None
    base_url: str  # of artifacts, without a trailing slash
    digest_algorithm: str
    retention: Retention
    artifact_max_bytes: int
    git_cache: Path
    made_up: Mapping[str, Path]  # folders that no flag names, by that flag: `own_folder.claim` is for these
    ssh: algorithms.Algorithms
    concurrent: int
    flags: Mapping[str, Any]  # every flag by name
    unheeded: tuple[str, ...]  # set, and changing nothing: named once in the log


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read flags and environment; ends the process if they cannot be read, or not be used together.

    Args:
        argv: without the program's name.
    """
    flags = parse(FLAGS, argv, environ, prog=PROG, about=ABOUT)
    # telemetry.md 9: here the account concerns cloud identities only.
    if flags["default-service-account"] and not flags["feature-gates"][_IDENTITY]:
        refuse(
            f"--default-service-account needs the feature gate {_IDENTITY}: add"
            f" --feature-gates={_IDENTITY}=true, or leave the account out"
        )
    named = flags["git-cache-path"]
    git_cache = Path(named or Path(tempfile.gettempdir()) / "headrace-git")
    ssh = algorithms.Algorithms(tuple(flags["ssh-kex-algos"]), tuple(flags["ssh-hostkey-algos"]))
    return Settings(
        storage_path=Path(flags["storage-path"]).absolute(),
        storage_addr=flags["storage-addr"],
        base_url=base_url(flags["storage-adv-addr"], flags["storage-addr"], environ),
        digest_algorithm=flags["artifact-digest-algo"],
        retention=Retention(
            ttl_s=flags["artifact-retention-ttl"], records=flags["artifact-retention-records"]
        ),
        artifact_max_bytes=flags["artifact-max-size"],
        git_cache=git_cache,
        made_up={} if named else {"git-cache-path": git_cache},
        ssh=ssh,
        concurrent=flags["concurrent"],
        flags=flags,
        unheeded=(*unheeded(FLAGS, argv, environ), *ssh.unspoken()),
    )


def base_url(advertised: str, listening: Address | None, environ: Mapping[str, str]) -> str:
    """The beginning of artifact URLs (behaviour-source.md 1.6, "flags" and "URL")."""
    if advertised.startswith(("http://", "https://")):
        return advertised.rstrip("/")
    if advertised:
        return f"http://{advertised.rstrip('/')}"
    if listening is None:
        return "http://localhost"
    host = listening.host or "localhost"
    if host == "0.0.0.0":  # noqa: S104  # compared with, not bound to
        host = environ.get("HOSTNAME") or socket.gethostname()
    return f"http://{listening._replace(host=host)}"
