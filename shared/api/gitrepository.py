"""GitRepository: a Git repository at some reference, published as an artifact."""

from typing import Annotated, ClassVar, Literal

from shared.api.artifact import Artifact
from shared.api.duration import PATTERN, positive_s
from shared.api.meta import Key, LocalRef, Resource, Rule, Status, Struct, about

__all__ = [
    "GitRepository",
    "GitRepositoryRef",
    "GitRepositorySpec",
    "GitRepositoryStatus",
    "Include",
    "Verification",
    "VerificationMode",
]

VerificationMode = Literal["head", "HEAD", "Tag", "TagAndHEAD"]

_ACCOUNT_NEEDS_CLOUD = Rule(
    rule="!has(self.serviceAccountName) || "
    "(has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))",
    message="serviceAccountName can only be set when provider is 'azure' or 'aws'",
)


class GitRepositoryRef(Struct, frozen=True, kw_only=True):
    """Which commit is wanted. The first one set of commit, name, tag, semver, branch counts."""

    branch: Annotated[
        str, about("Branch whose newest commit is taken. Without any other reference the default is master.")
    ] = ""
    tag: Annotated[str, about("Tag whose commit is taken. Set beside semver, the tag wins.")] = ""
    semver: Annotated[
        str,
        about(
            "Range of semantic versions, such as >=1.2.0 <2.0.0. The tag with the highest version in the "
            "range is taken; pre-releases count only if the range names one."
        ),
    ] = ""
    name: Annotated[
        str,
        about(
            "Full name of a reference, such as refs/heads/main or refs/pull/420/head, whose commit is "
            "taken. Wins over tag, semver and branch."
        ),
    ] = ""
    commit: Annotated[
        str,
        about(
            "Hash of the one commit to take. Wins over everything else; a branch beside it says where to "
            "look."
        ),
    ] = ""


class Verification(Struct, frozen=True, kw_only=True):
    """How signatures are checked before a revision is published."""

    mode: Annotated[
        VerificationMode,
        about(
            "What must carry a good signature: the commit (HEAD; head is the old spelling), the tag (Tag), "
            "or both (TagAndHEAD). A tag can be checked only if spec.ref names one.",
            default="HEAD",
        ),
    ] = "HEAD"
    secret_ref: Annotated[
        LocalRef,
        about("Secret with the public keys of the authors that are trusted. Each of its entries is one key."),
    ]


class Include(Struct, frozen=True, kw_only=True):
    """Content of another GitRepository that is laid into the artifact of this one."""

    repository: Annotated[
        LocalRef, about("GitRepository in the same namespace whose latest artifact is included.")
    ]
    from_path: Annotated[str, about("Folder of the included artifact to copy. All of it by default.")] = ""
    to_path: Annotated[
        str,
        about(
            "Folder in this artifact that receives the copy. By default one named like the included object."
        ),
    ] = ""

    @property
    def destination(self) -> str:
        """`to_path` with its default applied. Source: the contract, behaviour-source.md 2, include."""
        return self.to_path or self.repository.name


class GitRepositorySpec(Struct, frozen=True, kw_only=True):
    """What a user asks for."""

    url: Annotated[
        str,
        about(
            "Address of the repository, beginning with http://, https:// or ssh://. The short form "
            "user@host:path is not understood; write ssh://user@host/path.",
            pattern=r"^(http|https|ssh)://.*$",
        ),
    ]
    interval: Annotated[
        str,
        about("How often the repository is looked at for a new revision, such as 5m.", pattern=PATTERN),
    ]
    timeout: Annotated[
        str,
        about(
            "How long one look or fetch may take before it is given up and tried again, such as 60s.",
            pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$",
            default="60s",
        ),
    ] = "60s"
    ref: Annotated[
        GitRepositoryRef | None,
        about(
            "Which commit to take. Of several fields the first one set counts, in the order commit, name, "
            "tag, semver, branch. Without any, the branch master."
        ),
    ] = None
    secret_ref: Annotated[
        LocalRef | None,
        about(
            "Secret with the credentials. For HTTPS: username and password, or bearerToken, and for a "
            "private authority ca.crt, tls.crt, tls.key. For SSH: identity and known_hosts. For provider "
            "github: the keys of a GitHub App."
        ),
    ] = None
    provider: Annotated[
        Literal["generic", "aws", "azure", "github"],
        about(
            "Who hands out the credentials: generic takes them from the Secret as they are, github makes a "
            "token from a GitHub App, aws and azure use the identity of the workload. Without a value: "
            "generic."
        ),
    ] = "generic"
    service_account_name: Annotated[
        str,
        about(
            "ServiceAccount in the same namespace whose cloud identity is used. Only for the providers "
            "azure and aws."
        ),
    ] = ""
    proxy_secret_ref: Annotated[
        LocalRef | None,
        about(
            "Secret that names a proxy: address, beginning with http://, https:// or socks5://, and where "
            "needed username and password. SSH goes through http:// and socks5://."
        ),
    ] = None
    verify: Annotated[
        Verification | None,
        about("Signatures that a revision must carry before it is published. None are asked for by default."),
    ] = None
    ignore: Annotated[
        str | None,
        about(
            "Files to leave out of the artifact, one pattern a line as in .gitignore. They come after the "
            "patterns of any .sourceignore file in the repository and win over them."
        ),
    ] = None
    include: Annotated[
        tuple[Include, ...],
        about("Other GitRepositories whose content is laid into this artifact, in this order."),
    ] = ()
    recurse_submodules: Annotated[
        bool,
        about(
            "Fetch submodules too. Credentials go to the server of url only. By default the folders of "
            "submodules stay empty."
        ),
    ] = False
    sparse_checkout: Annotated[
        tuple[str, ...],
        about("Folders to check out; everything else stays out. All of the repository by default."),
    ] = ()
    suspend: Annotated[
        bool,
        about("Hands off: no fetch and no change of the artifact while this is true. Deleting still works."),
    ] = False

    @property
    def interval_s(self) -> float:
        """Raises: InvalidObject."""
        return positive_s(self.interval, "spec.interval")

    @property
    def timeout_s(self) -> float:
        """Raises: InvalidObject."""
        return positive_s(self.timeout, "spec.timeout")


class GitRepositoryStatus(Status, frozen=True, kw_only=True):
    """What the controller reports."""

    artifact: Annotated[
        Artifact | None,
        about("The archive that was published last. It stays while newer revisions cannot be fetched."),
    ] = None
    included_artifacts: Annotated[
        tuple[Artifact, ...],
        about("The artifacts of other GitRepositories that are contained, in the order of spec.include."),
    ] = ()
    observed_ignore: Annotated[
        str | None, about("The value of spec.ignore with which the present artifact was made.")
    ] = None
    observed_include: Annotated[
        tuple[Include, ...], about("The value of spec.include with which the present artifact was made.")
    ] = ()
    observed_recurse_submodules: Annotated[
        bool, about("The value of spec.recurseSubmodules with which the present artifact was made.")
    ] = False
    observed_sparse_checkout: Annotated[
        tuple[str, ...], about("The value of spec.sparseCheckout with which the present artifact was made.")
    ] = ()
    source_verification_mode: Annotated[
        str,
        about(
            "The mode in which the present artifact's signatures were checked. Absent without spec.verify."
        ),
    ] = ""


class GitRepository(Resource, frozen=True, kw_only=True):
    """A Git repository that the source controller watches and publishes as an artifact."""

    kind: ClassVar[str] = "GitRepository"

    spec: Annotated[
        GitRepositorySpec,
        about(
            "Where the repository is, which commit is wanted and how to get it.",
            rules=(_ACCOUNT_NEEDS_CLOUD,),
        ),
    ]
    status: Annotated[
        GitRepositoryStatus,
        about("What the controller last found and published.", default={"observedGeneration": -1}),
    ] = GitRepositoryStatus()

    @property
    def includes(self) -> tuple[Key, ...]:
        """The GitRepositories in `spec.include`, in its order."""
        return tuple(self.beside(self.kind, each.repository.name) for each in self.spec.include)

    @property
    def configs(self) -> tuple[Key, ...]:
        """The Secrets that the spec refers to: their change may change what a fetch gives."""
        verify = self.spec.verify
        refs = (self.spec.secret_ref, self.spec.proxy_secret_ref, verify.secret_ref if verify else None)
        return tuple(self.beside("Secret", ref.name) for ref in refs if ref is not None)
