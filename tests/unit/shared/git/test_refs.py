"""Which commit a reference names, and what is said when it names none."""

import pytest

from shared.git.errors import EmptyRepository, GitError, RefInvalid, RefMissing
from shared.git.refs import Listing, RefSpec, empty, resolve

A, B, C, D, T = (char * 40 for char in "abcde")
LISTING = Listing(
    {
        "refs/heads/master": A,
        "refs/heads/feature/x": B,
        "refs/tags/v1.0.0": C,
        "refs/tags/v1.1.0": T,
        "refs/tags/v1.1.0^{}": D,
        "refs/tags/v2.0.0-rc.1": B,
        "refs/tags/3.0": A,
        "refs/pull/7/head": C,
    }
)
NAMED = {
    "nothing: the branch master": (RefSpec(), A, f"master@sha1:{A}"),
    "a branch": (RefSpec(branch="feature/x"), B, f"feature/x@sha1:{B}"),
    "a tag": (RefSpec(tag="v1.0.0"), C, f"v1.0.0@sha1:{C}"),
    "an annotated tag names its commit": (RefSpec(tag="v1.1.0"), D, f"v1.1.0@sha1:{D}"),
    "a range takes the highest": (RefSpec(semver=">=1.0.0"), D, f"v1.1.0@sha1:{D}"),
    "a range with a pre-release": (RefSpec(semver=">=1.0.0-0"), B, f"v2.0.0-rc.1@sha1:{B}"),
    "tag beats semver": (RefSpec(tag="v1.0.0", semver="*"), C, f"v1.0.0@sha1:{C}"),
    "semver beats branch": (RefSpec(semver="1.0.x", branch="feature/x"), C, f"v1.0.0@sha1:{C}"),
    "name beats tag": (RefSpec(name="refs/heads/master", tag="v1.0.0"), A, f"refs/heads/master@sha1:{A}"),
    "a pull request": (RefSpec(name="refs/pull/7/head"), C, f"refs/pull/7/head@sha1:{C}"),
    "a peeled name": (RefSpec(name="refs/tags/v1.1.0^{}"), D, f"refs/tags/v1.1.0^{{}}@sha1:{D}"),
    "a commit": (RefSpec(commit=B), B, f"sha1:{B}"),
    "a commit on a branch": (RefSpec(commit=B, branch="master"), B, f"master@sha1:{B}"),
    "a commit beats a tag": (RefSpec(commit=B, tag="v1.0.0", branch="master"), B, f"sha1:{B}"),
    "a commit beside a name": (RefSpec(commit=B, name="refs/heads/master"), B, f"refs/heads/master@sha1:{B}"),
}
NOT_NAMED = {
    "no such branch": (RefSpec(branch="x"), RefMissing, 'couldn\'t find remote ref "refs/heads/x"'),
    "no such tag": (RefSpec(tag="x"), RefMissing, 'couldn\'t find remote ref "refs/tags/x"'),
    "no such name": (
        RefSpec(name="refs/x"),
        RefMissing,
        "unable to resolve ref 'refs/x' to a specific commit",
    ),
    "a slash first": (
        RefSpec(name="/refs/x"),
        RefInvalid,
        "ref /refs/x is invalid; Git refs cannot begin or",
    ),
    "a slash last": (RefSpec(name="refs/x/"), RefInvalid, "ref refs/x/ is invalid; Git refs cannot begin or"),
    "no version in range": (RefSpec(semver=">9"), RefMissing, "no match found for semver: >9"),
    "not a range": (RefSpec(semver="x y"), RefInvalid, 'semver parse error: improper constraint: "x y"'),
    "two parts are no version": (RefSpec(semver="3.x"), RefMissing, "no match found for semver: 3.x"),
    "half a commit": (RefSpec(commit="abc"), RefInvalid, "unable to resolve commit object for 'abc': object"),
    "a commit on no branch": (RefSpec(commit=A, branch="x"), RefMissing, "couldn't find remote ref"),
}


@pytest.mark.parametrize(("want", "commit", "revision"), NAMED.values(), ids=NAMED)
def test_what_a_reference_names(want: RefSpec, commit: str, revision: str) -> None:
    found = resolve(want, LISTING)
    assert [(each.commit, each.revision) for each in found] == [(commit, revision)]


@pytest.mark.parametrize(("want", "error", "text"), NOT_NAMED.values(), ids=NOT_NAMED)
def test_what_is_said_when_it_names_nothing(want: RefSpec, error: type[GitError], text: str) -> None:
    with pytest.raises(error) as raised:
        resolve(want, LISTING)
    assert str(raised.value).startswith(text)


def test_tags_that_differ_in_build_metadata_are_all_candidates() -> None:
    listing = Listing({"refs/tags/1.0.0+a": A, "refs/tags/1.0.0+b": B, "refs/tags/0.9.0": C})
    assert [each.revision for each in resolve(RefSpec(semver="*"), listing)] == [
        f"1.0.0+a@sha1:{A}",
        f"1.0.0+b@sha1:{B}",
    ]


PREFIXES = {
    "nothing": (RefSpec(), ("refs/heads/master",)),
    "a peeled name": (RefSpec(name="refs/tags/v1^{}"), ("refs/tags/v1",)),
    "a range": (RefSpec(semver="*"), ("refs/tags/",)),
    "a commit anywhere": (RefSpec(commit=A), ("HEAD",)),
    "a commit on a branch": (RefSpec(commit=A, branch="x"), ("refs/heads/x",)),
}


@pytest.mark.parametrize(("want", "prefixes"), PREFIXES.values(), ids=PREFIXES)
def test_a_listing_asks_only_for_what_matters(want: RefSpec, prefixes: tuple[str, ...]) -> None:
    assert want.prefixes() == prefixes


EMPTY = {
    "branch": (RefSpec(branch="x"), "git repository is empty"),
    "tag": (RefSpec(tag="x"), "unable to clone: remote repository is empty: "),
    "name": (RefSpec(name="x"), "remote repository is empty"),
}


@pytest.mark.parametrize(("want", "text"), EMPTY.values(), ids=EMPTY)
def test_an_empty_repository_is_called_so(want: RefSpec, text: str) -> None:
    error = empty(want)
    assert isinstance(error, EmptyRepository)
    assert str(error).startswith(text)
