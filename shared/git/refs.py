"""Which commit `spec.ref` names. Pure: a wish and a listing in, a resolved reference or an error out.

The first field that is set wins, in the order commit > name > tag > semver > branch > `master`; the published
documentation says that semver beats tag, the running code does not (behaviour-source.md 2).

Object ids are 40 hex characters as `str`; reference names are full ("refs/heads/main") and `str`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.git.errors import BranchOrTagMissing, EmptyRepository, GitError, RefInvalid, RefMissing
from shared.git.semver import Constraint, SemverError, Version, parse_release

DEFAULT_BRANCH = "master"
_HEX40 = re.compile(r"[0-9a-f]{40}")
_PEELED = "^{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefSpec:
    """`spec.ref`; an empty string is an absent field."""

    branch: str = ""
    tag: str = ""
    semver: str = ""
    name: str = ""
    commit: str = ""

    @property
    def lists_first(self) -> bool:
        """Whether Flux lists the remote before it clones, which shows in the words of a failure."""
        return bool(self.name) or not (self.commit or (self.semver and not self.tag))

    def history(self) -> tuple[str, ...]:
        """Prefixes of the references that a pinned commit must be reachable from."""
        if self.name or self.branch:
            return self.prefixes()
        return ("refs/heads/", "refs/tags/")

    def prefixes(self) -> tuple[str, ...]:
        """Reference name prefixes that a listing must cover for `resolve`."""
        if self.name:
            return (_unpeeled(self.name),)
        if self.commit:
            # The answer is known; the listing only shows that the repository can be read.
            return (f"refs/heads/{self.branch}",) if self.branch else ("HEAD",)
        if self.tag:
            return (f"refs/tags/{self.tag}",)
        if self.semver:
            return ("refs/tags/",)
        return (f"refs/heads/{self.branch or DEFAULT_BRANCH}",)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One commit that the wish may mean."""

    commit: str
    revision: str  # as status.artifact.revision has it, "main@sha1:<40 hex>"
    ref: str  # the reference to fetch by; empty when only the commit is named


@dataclass(frozen=True, slots=True)
class Listing:
    """What the remote offers: full reference name to object id; annotated tags also as "<name>^{}"."""

    refs: Mapping[str, str]

    def peeled(self, name: str) -> str | None:
        """The commit that `name` points to, through an annotated tag if it is one."""
        return self.refs.get(name + _PEELED) or self.refs.get(name)


def resolve(want: RefSpec, listing: Listing) -> Sequence[Candidate]:
    """The commit that `want` names; several only if tags of equal precedence differ in build metadata alone.

    The listing covers `want.prefixes()`. That the repository is empty cannot be told from a partial
    listing: the caller asks for all references before it trusts `RefMissing`, and then calls `missing`.

    Raises:
        RefInvalid: no repository could satisfy the wish as it is written.
        RefMissing: the listing has no such reference.
    """
    if want.commit:
        return [_commit(want, listing)]
    if want.name:
        return [_name(want.name, listing)]
    if want.tag:
        return [_plain("refs/tags/", want.tag, listing)]
    if want.semver:
        return _semver(want.semver, listing)
    return [_plain("refs/heads/", want.branch or DEFAULT_BRANCH, listing)]


def empty(want: RefSpec) -> EmptyRepository:
    """The error for a repository without any reference; in the contract's words for each wish."""
    if want.name:
        return EmptyRepository("remote repository is empty; push a commit to it")
    if want.commit or want.tag or want.semver:
        return EmptyRepository("unable to clone: remote repository is empty: push a commit to it")
    return EmptyRepository("git repository is empty")


def _commit(want: RefSpec, listing: Listing) -> Candidate:
    sha = want.commit.lower()
    if not _HEX40.fullmatch(sha):
        raise RefInvalid(
            f"unable to resolve commit object for '{want.commit}': object not found; "
            "spec.ref.commit must be the full 40 hex characters of a SHA-1"
        )
    if want.name:
        _check_name(want.name)
        if listing.peeled(_unpeeled(want.name)) is None:
            raise _missing_name(want.name)
        return Candidate(sha, f"{want.name}@sha1:{sha}", _unpeeled(want.name))
    if want.branch and not (want.tag or want.semver):
        branch = f"refs/heads/{want.branch}"
        if branch not in listing.refs:
            raise _missing_ref(branch)
        return Candidate(sha, f"{want.branch}@sha1:{sha}", branch)
    return Candidate(sha, f"sha1:{sha}", "")


def _name(name: str, listing: Listing) -> Candidate:
    _check_name(name)
    commit = listing.peeled(_unpeeled(name))
    if commit is None:
        raise _missing_name(name)
    return Candidate(commit, f"{name}@sha1:{commit}", _unpeeled(name))


def _plain(prefix: str, short: str, listing: Listing) -> Candidate:
    commit = listing.peeled(prefix + short)
    if commit is None:
        raise _missing_ref(prefix + short)
    return Candidate(commit, f"{short}@sha1:{commit}", prefix + short)


def _semver(text: str, listing: Listing) -> Sequence[Candidate]:
    try:
        constraint = Constraint.parse(text)
    except SemverError as error:
        raise RefInvalid(f"semver parse error: {error}; correct spec.ref.semver") from error
    prefix = "refs/tags/"
    best: Version | None = None
    found: list[str] = []
    for ref in listing.refs:
        if not ref.startswith(prefix) or ref.endswith(_PEELED):
            continue
        version = parse_release(ref.removeprefix(prefix))
        if version is None or not constraint.allows(version):
            continue
        if best is None or version.precedence > best.precedence:
            best, found = version, [ref]
        elif version.precedence == best.precedence:
            found.append(ref)
    if not found:
        raise RefMissing(f"no match found for semver: {text}; push a tag like v1.2.3 that lies in the range")
    return [_plain(prefix, ref.removeprefix(prefix), listing) for ref in sorted(found)]


def _unpeeled(name: str) -> str:
    return name.removesuffix(_PEELED)


def _check_name(name: str) -> None:
    if name.startswith("/") or name.endswith("/"):
        raise RefInvalid(f"ref {name} is invalid; Git refs cannot begin or end with a slash '/'")


def _missing_name(name: str) -> GitError:
    return RefMissing(
        f"unable to resolve ref '{name}' to a specific commit; "
        "spec.ref.name must be the full name of a reference that exists, as in refs/heads/main"
    )


def _missing_ref(ref: str) -> GitError:
    kind = "tag" if ref.startswith("refs/tags/") else "branch"
    return BranchOrTagMissing(
        f'couldn\'t find remote ref "{ref}"; push the {kind} or correct spec.ref.{kind}'
    )
