"""What to do about one GitRepository. Pure. The first check that holds wins: the order is the policy.

`refusal` comes before anything is looked at: it names what this release does not do, so that no field is
ignored in silence. `decide` then weighs what upstream and included repositories have against what was
published.
"""

from dataclasses import dataclass
from typing import Literal

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepositorySpec, GitRepositoryStatus, Include

Stored = Literal["intact", "damaged", "lost"]
INCLUDES_DIFFER = "included artifacts differ from last observed includes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What of the spec shapes an artifact, beside its revision (behaviour-source.md 2, "content options")."""

    ignore: str = ""  # an empty text counts as no pattern (behaviour-source.md 1.7)
    recurse_submodules: bool = False
    sparse_checkout: tuple[str, ...] = ()
    include: tuple[Include, ...] = ()

    @classmethod
    def wanted(cls, spec: GitRepositorySpec) -> "Options":
        return cls(
            ignore=spec.ignore or "",
            recurse_submodules=spec.recurse_submodules,
            sparse_checkout=spec.sparse_checkout,
            include=spec.include,
        )

    @classmethod
    def observed(cls, status: GitRepositoryStatus) -> "Options":
        """Those that the last artifact was made with."""
        return cls(
            ignore=status.observed_ignore or "",
            recurse_submodules=status.observed_recurse_submodules,
            sparse_checkout=status.observed_sparse_checkout,
            include=status.observed_include,
        )

    def changed_from(self, other: "Options") -> str | None:
        """The first field of the spec that differs."""
        pairs = {
            "spec.ignore": (self.ignore, other.ignore),
            "spec.recurseSubmodules": (self.recurse_submodules, other.recurse_submodules),
            "spec.sparseCheckout": (self.sparse_checkout, other.sparse_checkout),
            "spec.include": (self.include, other.include),
        }
        return next((field for field, (mine, theirs) in pairs.items() if mine != theirs), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    remote: str  # revision that spec.ref names now, "main@sha1:<40 hex>"
    artifact: Artifact | None  # what status says was published last; None before the first time
    stored: Stored  # whether the store still holds it, and its bytes match its digest
    wanted: Options
    made_with: Options
    included: tuple[Artifact, ...] = ()  # what the repositories in spec.include have now, in its order
    made_from: tuple[Artifact, ...] = ()  # the included artifacts that are in the last one


@dataclass(frozen=True, slots=True)
class Keep:
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Outdated:
    """Why the artifact that consumers have is not the newest: reason and message of ArtifactOutdated."""

    reason: Literal["NewRevision", "IncludeChange"]
    message: str


@dataclass(frozen=True, slots=True)
class Fetch:
    because: str  # for people; logged when it is done, and shown while it takes long
    outdated: Outdated | None = None
    gone: bool = False  # the store has lost the artifact, so that status may not name it any longer


def decide(seen: Observed) -> Keep | Fetch:
    ahead = Outdated("NewRevision", f"new upstream revision '{seen.remote}'")
    if seen.artifact is None:
        return Fetch(f"building artifact: {ahead.message}")
    if seen.artifact.revision != seen.remote:
        return Fetch(f"building artifact: {ahead.message}", ahead, gone=seen.stored != "intact")
    if seen.stored == "lost":
        return Fetch("building artifact: disappeared from storage", gone=True)
    if seen.stored == "damaged":
        return Fetch("building artifact: damaged in storage", gone=True)
    if _content(seen.included) != _content(seen.made_from):
        # Flux marks it only if something was included before.
        differ = Outdated("IncludeChange", INCLUDES_DIFFER) if seen.made_from else None
        return Fetch(f"building artifact: {INCLUDES_DIFFER}", differ)
    changed = seen.wanted.changed_from(seen.made_with)
    if changed is not None:
        return Fetch(f"building artifact: {changed} changed")
    return Keep(seen.artifact)


def _content(artifacts: tuple[Artifact, ...]) -> list[tuple[str, str]]:
    return [(artifact.revision, artifact.digest) for artifact in artifacts]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Only a change of the object helps."""

    reason: str
    message: str


def refusal(spec: GitRepositorySpec) -> Refusal | None:
    """What in `spec` this release cannot do yet; None if it can do all of it."""
    unbuilt = {
        "spec.provider": spec.provider != "generic" and spec.provider,
        "spec.serviceAccountName": spec.service_account_name,
        "spec.verify": spec.verify,
    }
    named = [field for field, value in unbuilt.items() if value]
    if not named:
        return None
    verb = "is" if len(named) == 1 else "are"
    return Refusal(
        "UnsupportedField",
        f"{', '.join(named)} {verb} not supported yet; remove the field to go on without it",
    )
