"""Kustomization: manifests from a source, built and kept applied to a cluster."""

from typing import Annotated, ClassVar, Literal

from msgspec import field

from shared.api.building import CommonMetadata, Decryption, Image, Patch, PostBuild, Selector, SubstituteFrom
from shared.api.duration import PATTERN, positive_s
from shared.api.meta import Key, LocalRef, Resource, Rule, Status, Struct, about

__all__ = [
    "CommonMetadata",
    "Decryption",
    "DeletionPolicy",
    "Dependency",
    "HealthCheck",
    "HealthCheckExpr",
    "HistoryEntry",
    "IgnoreRule",
    "Image",
    "Inventory",
    "InventoryEntry",
    "KubeConfig",
    "Kustomization",
    "KustomizationSpec",
    "KustomizationStatus",
    "Patch",
    "PostBuild",
    "SecretKeyRef",
    "Selector",
    "SourceRef",
    "SubstituteFrom",
]

DeletionPolicy = Literal["MirrorPrune", "Delete", "WaitForTermination", "Orphan"]

# Source of both: the contract, behaviour-kustomize.md 1.
_TIMEOUT_BELOW_INTERVAL_S = 30.0
_LEAST_TIMEOUT_S = 30.0

_ONE_KUBECONFIG = "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified"


class SourceRef(Struct, frozen=True, kw_only=True):
    """The source whose artifact holds the manifests."""

    api_version: Annotated[
        str, about("API version of the source. May be left out, for the kind says enough.")
    ] = ""
    kind: Annotated[
        Literal["OCIRepository", "GitRepository", "Bucket", "ExternalArtifact"], about("Kind of the source.")
    ]
    name: Annotated[str, about("Name of the source.")]
    namespace: Annotated[
        str,
        about(
            "Namespace of the source, by default that of the Kustomization. Operators may forbid other ones."
        ),
    ] = ""


class Dependency(Struct, frozen=True, kw_only=True):
    """A Kustomization that must be ready before this one is applied."""

    name: Annotated[str, about("Name of the Kustomization to wait for.")]
    namespace: Annotated[str, about("Its namespace, by default that of this Kustomization.")] = ""
    ready_expr: Annotated[
        str,
        about(
            "CEL expression that says whether the dependency is ready, instead of the usual checks. It sees "
            "this object as self and the dependency as dep, and must give true or false."
        ),
    ] = ""


class SecretKeyRef(Struct, frozen=True, kw_only=True):
    """One entry of a Secret beside the object."""

    name: Annotated[str, about("Name of the Secret. It is looked up in this object's namespace.")]
    key: Annotated[
        str, about("Entry of the Secret that is read. By default value, and if there is none, value.yaml.")
    ] = ""


class KubeConfig(Struct, frozen=True, kw_only=True):
    """How to reach another cluster. Exactly one of the two is set."""

    secret_ref: Annotated[
        SecretKeyRef | None,
        about("Secret that holds a complete kubeconfig, with credentials and without commands to run."),
    ] = None
    config_map_ref: Annotated[
        LocalRef | None,
        about(
            "ConfigMap that says how to log in with a cloud identity: provider, and as needed cluster, "
            "address, ca.crt, audiences and serviceAccountName."
        ),
    ] = None


class IgnoreRule(Struct, frozen=True, kw_only=True):
    """Fields that others may change."""

    paths: Annotated[
        tuple[str, ...],
        about(
            "JSON pointers to the fields, such as /spec/replicas. A tilde is written ~0, a slash in a name "
            "~1."
        ),
    ]
    target: Annotated[
        Selector | None, about("Objects to which the rule applies. All that are applied, by default.")
    ] = None


class HealthCheck(Struct, frozen=True, kw_only=True):
    """An object that must become ready."""

    api_version: Annotated[
        str, about("API version of the object, such as apps/v1, which is also the default.")
    ] = "apps/v1"
    kind: Annotated[str, about("Kind of the object.")]
    name: Annotated[str, about("Name of the object.")]
    namespace: Annotated[str, about("Namespace of the object. Empty for kinds that have none.")] = ""


class HealthCheckExpr(Struct, frozen=True, kw_only=True):
    """What ready means for objects of one kind."""

    api_version: Annotated[str, about("API version of the objects for which the expressions speak.")]
    kind: Annotated[str, about("Kind of the objects for which the expressions speak.")] = ""
    current: Annotated[
        str,
        about("CEL expression over the object that is true once it is ready. Looked at last."),
    ]
    in_progress: Annotated[
        str,
        about("CEL expression that is true while the object is still on its way. Looked at first."),
    ] = ""
    failed: Annotated[
        str,
        about(
            "CEL expression that is true when the object will not become ready by itself. Looked at second."
        ),
    ] = ""


class KustomizationSpec(Struct, frozen=True, kw_only=True):
    """What a user asks for."""

    interval: Annotated[
        str,
        about(
            "How often the cluster is compared with the source even if neither is known to have changed, "
            "such as 10m.",
            pattern=PATTERN,
        ),
    ]
    retry_interval: Annotated[
        str,
        about(
            "How long to wait after a failure before the next attempt. By default as long as interval.",
            pattern=PATTERN,
        ),
    ] = ""
    timeout: Annotated[
        str,
        about(
            "How long one attempt may take, with the wait for health included. By default 30 seconds less "
            "than interval; 30 seconds are the least.",
            pattern=PATTERN,
        ),
    ] = ""
    source_ref: Annotated[SourceRef, about("The source whose artifact holds the manifests.")]
    path: Annotated[
        str,
        about(
            "Folder of the artifact to build, such as ./clusters/prod. The artifact's root by default. "
            "Without a kustomization.yaml there, all manifests below it are taken."
        ),
    ] = ""
    prune: Annotated[
        bool,
        about(
            "Delete an object from the cluster once it is gone from the source. False leaves it behind, "
            "unowned."
        ),
    ]
    depends_on: Annotated[
        tuple[Dependency, ...],
        about("Kustomizations that must be ready first. Nothing is applied until all of them are."),
    ] = ()
    target_namespace: Annotated[
        str,
        about("Namespace to put every object into, whatever the manifests say.", minLength=1, maxLength=63),
    ] = ""
    name_prefix: Annotated[
        str, about("Text to put before every object's name.", minLength=1, maxLength=200)
    ] = ""
    name_suffix: Annotated[
        str, about("Text to put after every object's name.", minLength=1, maxLength=200)
    ] = ""
    common_metadata: Annotated[
        CommonMetadata | None,
        about(
            "Labels and annotations that every object gets, in place of values that it has for the same keys."
        ),
    ] = None
    patches: Annotated[tuple[Patch, ...], about("Changes to the built manifests, made in this order.")] = ()
    images: Annotated[tuple[Image, ...], about("Container images to replace, by name.")] = ()
    components: Annotated[
        tuple[str, ...],
        about(
            "Folders with kustomize components to build in, as paths relative to path. Remote ones are "
            "refused."
        ),
    ] = ()
    ignore_missing_components: Annotated[
        bool, about("Go on without those components whose folder does not exist, rather than fail the build.")
    ] = False
    build_metadata: Annotated[
        tuple[Literal["originAnnotations", "transformerAnnotations"], ...],
        about(
            "What the build notes on each object as annotations: the file it came from, what transformed it."
        ),
    ] = ()
    post_build: Annotated[
        PostBuild | None, about("Variables that are put into the manifests after the build.")
    ] = None
    decryption: Annotated[
        Decryption | None, about("How to decrypt manifests. Encrypted ones fail to apply without it.")
    ] = None
    ignore: Annotated[
        tuple[IgnoreRule, ...],
        about("Fields that something else may change: set when an object is created, not put back later."),
    ] = ()
    force: Annotated[
        bool,
        about(
            "Delete and create anew an object that cannot be updated, as when an immutable field changed. "
            "What it holds is lost, and it is gone for a moment.",
            default=False,
        ),
    ] = False
    wait: Annotated[
        bool,
        about(
            "Wait until everything that was applied is ready. The list in healthChecks is then not looked at."
        ),
    ] = False
    health_checks: Annotated[
        tuple[HealthCheck, ...],
        about("Objects that must be ready for the Kustomization to be ready. They need not be part of it."),
    ] = ()
    health_check_exprs: Annotated[
        tuple[HealthCheckExpr, ...],
        about("What ready means for kinds that do not follow the usual conventions."),
    ] = ()
    service_account_name: Annotated[
        str,
        about(
            "ServiceAccount in the same namespace with whose rights objects are applied, checked and "
            "deleted. The controller's own rights by default, if operators allow that."
        ),
    ] = ""
    kube_config: Annotated[
        KubeConfig | None,
        about(
            "Another cluster to apply to, instead of the one with this Kustomization.",
            rules=(
                Rule(rule="has(self.configMapRef) || has(self.secretRef)", message=_ONE_KUBECONFIG),
                Rule(rule="!has(self.configMapRef) || !has(self.secretRef)", message=_ONE_KUBECONFIG),
            ),
        ),
    ] = None
    deletion_policy: Annotated[
        DeletionPolicy,
        about(
            "What becomes of the applied objects when the Kustomization is deleted: Delete removes them, "
            "WaitForTermination also waits until they are gone, Orphan keeps them, MirrorPrune does as "
            "prune says. Without a value: MirrorPrune."
        ),
    ] = "MirrorPrune"
    suspend: Annotated[
        bool,
        about("Hands off: nothing is applied or pruned while this is true, and deleting keeps all objects."),
    ] = False

    @property
    def interval_s(self) -> float:
        """Raises: InvalidObject."""
        return positive_s(self.interval, "spec.interval")

    @property
    def retry_interval_s(self) -> float:
        """With its default, the interval. Raises: InvalidObject."""
        if not self.retry_interval:
            return self.interval_s
        return positive_s(self.retry_interval, "spec.retryInterval")

    @property
    def timeout_s(self) -> float:
        """With its default and its floor. Raises: InvalidObject."""
        if self.timeout:
            wanted_s = positive_s(self.timeout, "spec.timeout")
        else:
            wanted_s = self.interval_s - _TIMEOUT_BELOW_INTERVAL_S
        return max(wanted_s, _LEAST_TIMEOUT_S)


class InventoryEntry(Struct, frozen=True, kw_only=True):
    """One object that the Kustomization put into the cluster."""

    id: Annotated[
        str,
        about("The object as <namespace>_<name>_<group>_<kind>; parts that it does not have are empty."),
    ]
    v: Annotated[str, about("API version in which it was applied, without the group.")]


class Inventory(Struct, frozen=True, kw_only=True):
    """The objects that the Kustomization put into the cluster."""

    entries: Annotated[
        tuple[InventoryEntry, ...], about("The objects, in the order in which they were applied.")
    ]


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """Reconciliations with the same manifests and the same result, told as one."""

    digest: Annotated[str, about("Checksum of the built manifests.")]
    first_reconciled: Annotated[
        str, about("When these manifests first had this result, in UTC.", format="date-time")
    ]
    last_reconciled: Annotated[
        str, about("When these manifests last had this result, in UTC.", format="date-time")
    ]
    last_reconciled_duration: Annotated[str, about("How long the last one took, such as 1m2.5s.")]
    last_reconciled_status: Annotated[str, about("The result: the reason that the Ready condition had.")]
    total_reconciliations: Annotated[int, about("How many there were.")]
    metadata: Annotated[
        dict[str, str],
        about("Where the manifests came from: revision, and originRevision if the source knows one."),
    ] = field(default_factory=dict)


class KustomizationStatus(Status, frozen=True, kw_only=True):
    """What the controller reports."""

    last_attempted_revision: Annotated[
        str, about("Revision of the source that was tried last, with whatever result.")
    ] = ""
    last_applied_revision: Annotated[
        str, about("Revision of the source that was last applied in full, with health checks passed.")
    ] = ""
    last_applied_origin_revision: Annotated[
        str,
        about(
            "Revision in the place from which the source itself was built, such as a Git commit behind an "
            "image."
        ),
    ] = ""
    inventory: Annotated[
        Inventory | None,
        about("The objects that this Kustomization put into the cluster. What leaves the list is pruned."),
    ] = None
    history: Annotated[tuple[HistoryEntry, ...], about("The last few distinct results, newest first.")] = ()


class Kustomization(Resource, frozen=True, kw_only=True):
    """Manifests of a source that the kustomize controller builds and keeps applied, as the source says."""

    kind: ClassVar[str] = "Kustomization"

    spec: Annotated[
        KustomizationSpec, about("What to build, where to apply it, and when that counts as done.")
    ]
    status: Annotated[
        KustomizationStatus,
        about("What was last built and applied, and how it fares.", default={"observedGeneration": -1}),
    ] = KustomizationStatus()

    @property
    def source(self) -> Key:
        ref = self.spec.source_ref
        return self.beside(ref.kind, ref.name, ref.namespace)

    @property
    def dependencies(self) -> tuple[Key, ...]:
        """The Kustomizations in `spec.dependsOn`, in its order."""
        return tuple(self.beside(self.kind, each.name, each.namespace) for each in self.spec.depends_on)

    @property
    def configs(self) -> tuple[Key, ...]:
        """The ConfigMaps and Secrets that the spec refers to: their change may change the result.

        Source: the contract, behaviour-kustomize.md 1, triggers.
        """
        found: list[Key] = []
        if self.spec.post_build:
            found += (self.beside(each.kind, each.name) for each in self.spec.post_build.substitute_from)
        if self.spec.decryption and self.spec.decryption.secret_ref:
            found.append(self.beside("Secret", self.spec.decryption.secret_ref.name))
        if self.spec.kube_config and self.spec.kube_config.secret_ref:
            found.append(self.beside("Secret", self.spec.kube_config.secret_ref.name))
        if self.spec.kube_config and self.spec.kube_config.config_map_ref:
            found.append(self.beside("ConfigMap", self.spec.kube_config.config_map_ref.name))
        return tuple(found)
