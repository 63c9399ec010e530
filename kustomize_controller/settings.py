"""Flags and environment of the kustomize controller, read once into one frozen value; nobody else reads
either.

Source: behaviour-kustomize.md 13; telemetry.md 5.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kustomize_controller.artifact_hosts import ArtifactHosts
from kustomize_controller.kustomization.stages import GroupKind, group_kind
from shared.runtime.flags import Flag, feature_gates, parse, refuse, unheeded
from shared.runtime.process_flags import COMMON, COMMON_GATES, PACE

PROG: Final = "python -m kustomize_controller"
ABOUT: Final = "Makes the cluster hold what Kustomizations build, and keeps it so."
_BUILD = "Builds"
_WORK = "Work and retries"
_TENANTS = "Tenants"
_SECRETS = "Secrets and remote clusters"

_GATES: Final = COMMON_GATES | {
    "DisableStatusPollerCache": True,
    "DisableFailFastBehavior": False,
    "StrictPostBuildSubstitutions": True,
    "GroupChangeLog": False,
    "AdditiveCELDependencyCheck": False,
    "ExternalArtifact": False,
    "CancelHealthCheckOnNewRevision": False,
    "DisableConfigWatchers": False,
    "DirectSourceFetch": False,
    "MigrateAPIVersion": False,
}

FLAGS: Final[tuple[Flag, ...]] = (
    *COMMON,
    *PACE,
    Flag(
        "concurrent-ssa", "CONCURRENT_SSA", 4, "int",
        "How many objects of one Kustomization are applied at once.", group=_WORK,
    ),
    Flag(
        "http-retry", "HTTP_RETRY", 9, "int",
        "How often the download of an artifact is tried again.", group=_WORK,
    ),
    Flag(
        "custom-apply-stage-kinds", "CUSTOM_APPLY_STAGE_KINDS", [], "list",
        "Kinds to apply after classes and before everything else: group/Kind, or Kind in the core group.",
        group=_WORK,
    ),
    Flag(
        "engine", "HEADRACE_ENGINE", "", "string",
        "The build engine's program; empty: `engine` in $HEADRACE_TOOLS_DIR.", group=_BUILD,
    ),
    Flag(
        "kustomize-binary", "KUSTOMIZE_BINARY", "", "string",
        "A stock kustomize binary that builds in the place of the engine's own kustomize; slower, and it can "
        "reach the network. Empty: the engine builds.", group=_BUILD,
    ),
    Flag(
        "cache-path", "CACHE_PATH", "", "string",
        "Folder of unpacked artifacts; emptied at start. Empty: one below the system's for temporary files.",
        group=_BUILD,
    ),
    Flag(
        "state-path", "STATE_PATH", "", "string",
        "Folder of what is remembered across restarts; may be lost at any time, at the price of one full "
        "apply. Empty: one below the system's for temporary files.", group=_BUILD,
    ),
    Flag(
        "cache-max-size", "CACHE_MAX_SIZE", 1 << 30, "int",
        "Bytes of unpacked artifacts to keep beyond those in use.", group=_BUILD,
    ),
    Flag(
        "artifact-max-size", "ARTIFACT_MAX_SIZE", 512 << 20, "int",
        "Bytes that all files of one artifact may have together.", group=_BUILD,
    ),
    Flag(
        "max-objects", "MAX_OBJECTS", 5000, "int", "Objects that one build may have.", group=_BUILD,
    ),
    Flag(
        "build-timeout", "BUILD_TIMEOUT", "30s", "duration",
        "Time that one build may take before it is ended.", group=_BUILD,
    ),
    Flag(
        "no-remote-bases", "NO_REMOTE_BASES", True, "bool",
        "Refuse bases, patches and files that a kustomization names by URL. Flux's default is false.",
        group=_BUILD, always=True,
    ),
    Flag(
        "no-cross-namespace-refs", "NO_CROSS_NAMESPACE_REFS", False, "bool",
        "Refuse references to objects of another namespace.", group=_TENANTS,
    ),
    Flag("override-manager", "OVERRIDE_MANAGER", [], "list", "Field managers to take over.", False, _WORK),
    Flag("sops-age-secret", "SOPS_AGE_SECRET", "", "string", "Age keys for all.", False, _SECRETS),
    Flag("sops-vault-configmap", "SOPS_VAULT_CONFIGMAP", "", "string", "Vaults.", False, _SECRETS),
    Flag(
        "default-decryption-service-account", "DEFAULT_DECRYPTION_SERVICE_ACCOUNT", "", "string",
        "Service account for decryption.", False, _SECRETS,
    ),
    Flag(
        "default-kubeconfig-service-account", "DEFAULT_KUBECONFIG_SERVICE_ACCOUNT", "", "string",
        "Service account for remote clusters.", False, _SECRETS,
    ),
    Flag(
        "insecure-kubeconfig-exec", "INSECURE_KUBECONFIG_EXEC", False, "bool",
        "Let kubeconfigs run commands.", False, _SECRETS,
    ),
    Flag(
        "insecure-kubeconfig-tls", "INSECURE_KUBECONFIG_TLS", False, "bool",
        "Let kubeconfigs skip TLS verification.", False, _SECRETS,
    ),
    feature_gates(
        _GATES,
        heeded=(
            "StrictPostBuildSubstitutions",
            "DisableConfigWatchers",
            "DisableFailFastBehavior",
            "AdditiveCELDependencyCheck",
            "CancelHealthCheckOnNewRevision",  # ours always does
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the kustomize controller itself needs; the runtime takes its own from `flags`."""

    engine: Path
    kustomize_binary: Path | None  # absolute; None: the engine builds
    state_path: Path
    cache_path: Path
    made_up: Mapping[str, Path]  # folders that no flag names, by that flag: `own_folder.claim` is for these
    cache_max_bytes: int
    artifact_max_bytes: int
    max_objects: int
    build_timeout_s: float
    http_attempts: int
    concurrent_ssa: int
    custom_apply_stage_kinds: frozenset[GroupKind]
    requeue_dependency_s: float
    default_service_account: str
    no_cross_namespace_refs: bool
    strict_substitutions: bool
    fail_fast: bool  # a failed object ends a wait for health
    additive_ready_expr: bool  # the usual checks of a dependency are made beside an expression
    config_selector: str | None  # of ConfigMaps and Secrets whose change starts a run; None: of none
    config_namespace: str  # the only one in which they are watched; "": in all
    artifact_hosts: ArtifactHosts
    flags: Mapping[str, Any]
    unheeded: tuple[str, ...]


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read flags and environment; ends the process with a usage if they cannot be read.

    Args:
        argv: without the program's name.
    """
    flags = parse(FLAGS, argv, environ, prog=PROG, about=ABOUT)
    temporary = Path(tempfile.gettempdir())
    defaults = {
        "cache-path": temporary / f"headrace-artifacts-{os.getpid()}",
        "state-path": temporary / "headrace-state",
    }
    made_up = {flag: folder for flag, folder in defaults.items() if not flags[flag]}
    engine = flags["engine"] or os.path.join(environ.get("HEADRACE_TOOLS_DIR", "/usr/local/bin"), "engine")  # noqa: PTH118
    return Settings(
        engine=Path(engine),
        kustomize_binary=Path(binary).absolute() if (binary := flags["kustomize-binary"]) else None,
        state_path=Path(flags["state-path"] or defaults["state-path"]),
        # Absolute: the engine takes no other.
        cache_path=Path(flags["cache-path"] or defaults["cache-path"]).absolute(),
        made_up=made_up,
        cache_max_bytes=flags["cache-max-size"],
        artifact_max_bytes=flags["artifact-max-size"],
        max_objects=flags["max-objects"],
        build_timeout_s=flags["build-timeout"],
        http_attempts=flags["http-retry"] + 1,
        concurrent_ssa=flags["concurrent-ssa"],
        custom_apply_stage_kinds=_kinds(flags["custom-apply-stage-kinds"]),
        requeue_dependency_s=flags["requeue-dependency"],
        default_service_account=flags["default-service-account"],
        no_cross_namespace_refs=flags["no-cross-namespace-refs"],
        fail_fast=not flags["feature-gates"]["DisableFailFastBehavior"],
        additive_ready_expr=flags["feature-gates"]["AdditiveCELDependencyCheck"],
        strict_substitutions=flags["feature-gates"]["StrictPostBuildSubstitutions"],
        config_selector=None
        if flags["feature-gates"]["DisableConfigWatchers"]
        else flags["watch-configs-label-selector"],
        config_namespace="" if flags["watch-all-namespaces"] else environ.get("RUNTIME_NAMESPACE", ""),
        artifact_hosts=ArtifactHosts.named_in(environ),
        flags=flags,
        unheeded=tuple(unheeded(FLAGS, argv, environ)),
    )


def _kinds(texts: Sequence[str]) -> frozenset[GroupKind]:
    try:
        return frozenset(group_kind(text) for text in texts)
    except ValueError as error:
        refuse(f"--custom-apply-stage-kinds: {error}")
