"""What to do about one GitRepository. Pure. The first check that holds wins: the order is the policy.

`refusal` comes before anything is looked at: it names what this release does not do, so that no field is
ignored in silence. `decide` then weighs what upstream has against what was published.
"""

from dataclasses import dataclass
from typing import Literal

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepositorySpec

Stored = Literal["intact", "damaged", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    remote: str  # revision that spec.ref names now, "main@sha1:<40 hex>"
    artifact: Artifact | None  # what status says was published last; None before the first time
    stored: Stored  # whether the store still holds it, and its bytes match its digest
    ignore: str | None  # spec.ignore
    observed_ignore: str | None  # the value that the last artifact was made with


@dataclass(frozen=True, slots=True)
class Keep:
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Fetch:
    because: str  # for people; logged when it is done, and shown while it takes long
    outdated: bool = False  # upstream is ahead of the artifact
    gone: bool = False  # the store has lost the artifact that status names


def decide(seen: Observed) -> Keep | Fetch:
    if seen.artifact is None:
        return Fetch("building artifact")
    if seen.artifact.revision != seen.remote:
        gone = seen.stored != "intact"
        return Fetch(f"building artifact: new upstream revision '{seen.remote}'", outdated=True, gone=gone)
    if seen.stored == "lost":
        return Fetch("building artifact: disappeared from storage", gone=True)
    if seen.stored == "damaged":
        return Fetch("building artifact: damaged in storage", gone=True)
    # An empty text counts as no pattern (behaviour-source.md 1.7).
    if (seen.ignore or "") != (seen.observed_ignore or ""):
        return Fetch("building artifact: spec.ignore changed")
    return Keep(seen.artifact)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Only a change of the object helps."""

    reason: str
    message: str


def refusal(spec: GitRepositorySpec) -> Refusal | None:
    """What in `spec` this release cannot do yet; None if it can do all of it."""
    if spec.url.startswith("ssh://"):
        return Refusal(
            "URLInvalid", "spec.url: ssh:// is not supported yet; use https:// and a token in spec.secretRef"
        )
    unbuilt = {
        "spec.provider": spec.provider != "generic" and spec.provider,
        "spec.serviceAccountName": spec.service_account_name,
        "spec.proxySecretRef": spec.proxy_secret_ref,
        "spec.verify": spec.verify,
        "spec.include": spec.include,
        "spec.recurseSubmodules": spec.recurse_submodules,
        "spec.sparseCheckout": spec.sparse_checkout,
    }
    named = [field for field, value in unbuilt.items() if value]
    if not named:
        return None
    verb = "is" if len(named) == 1 else "are"
    return Refusal(
        "UnsupportedField",
        f"{', '.join(named)} {verb} not supported yet; remove the field to go on without it",
    )
