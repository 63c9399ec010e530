"""Every error of a fetch has the contract's reason, and a text that begins in the contract's words."""

import pytest

from shared.artifacts.archive import ArchiveError
from shared.artifacts.ignore import IgnoreError
from shared.artifacts.store import StoreError
from shared.git import errors
from shared.git.auth import Credentials
from shared.git.refs import RefSpec, empty
from source_controller.included import IncludeFailed
from source_controller.sparse import SparseMissing
from source_controller.worker import CHECKOUT, Where, told

BRANCH, TAG, NAME = RefSpec(branch="x"), RefSpec(tag="x"), RefSpec(name="refs/x")
CLONE = f"{CHECKOUT}unable to clone 'https://git.example/x': "
CASES = {
    "a branch is missing": (errors.BranchOrTagMissing("m"), BRANCH, "GitOperationFailed", f"{CLONE}m"),
    "a name is missing": (errors.RefMissing("m"), NAME, "GitOperationFailed", f"{CHECKOUT}m"),
    "not a range": (errors.RefInvalid("m"), BRANCH, "GitOperationFailed", f"{CHECKOUT}m"),
    "401": (errors.Unauthorized("m"), BRANCH, "GitOperationFailed", f"{CLONE}m"),
    "no answer": (errors.Unreachable("m"), BRANCH, "GitOperationFailed", f"{CLONE}m"),
    "too much": (errors.TooLarge("m"), BRANCH, "GitOperationFailed", f"{CLONE}m"),
    "a dangerous name": (errors.ObjectRefused("m"), BRANCH, "GitOperationFailed", f"{CHECKOUT}m"),
    "an empty repository": (empty(BRANCH), BRANCH, "EmptyGitRepository", "git repository is empty"),
    "an empty repository, by tag": (
        empty(TAG),
        TAG,
        "GitOperationFailed",
        f"{CHECKOUT}unable to clone: remote repository is empty: ",
    ),
    "an empty repository, by name": (
        empty(NAME),
        NAME,
        "GitOperationFailed",
        f"{CHECKOUT}unable to list remote for 'https://git.example/x': remote repository is empty",
    ),
    "a bad URL": (errors.InvalidUrl("m"), BRANCH, "URLInvalid", "m"),
    "bad certificates": (
        errors.AuthError("m"),
        BRANCH,
        "AuthenticationFailed",
        "failed to configure authentication options: m",
    ),
    "a token beside a user": (
        errors.AuthContradicts("basic auth and bearer token cannot be set at the same time"),
        BRANCH,
        "GitOperationFailed",
        "failed to checkout and determine revision: basic auth and bearer token cannot be set at the same",
    ),
    "a locked key": (
        errors.PassphraseMissing("SSH identity key is encrypted but no 'password'"),
        BRANCH,
        "AuthenticationFailed",
        "SSH identity key is encrypted but no 'password'",
    ),
    "a bad proxy": (
        errors.ProxyInvalid("m"),
        BRANCH,
        "AuthenticationFailed",
        "failed to configure proxy options: m",
    ),
    "a host that nobody vouches for": (
        errors.HostKeyUnknown("m"),
        BRANCH,
        "GitOperationFailed",
        f"{CLONE}m",
    ),
    "another host key": (errors.HostKeyMismatch("m"), BRANCH, "GitOperationFailed", f"{CLONE}m"),
    "a folder that is not in the repository": (
        SparseMissing("failed to sparse checkout directories : sparse checkout dir 'x' does not exist"),
        BRANCH,
        "GitOperationFailed",
        "failed to sparse checkout directories : sparse checkout dir 'x' does not exist",
    ),
    "an include that leaves the artifact": (
        IncludeFailed("IllegalPath", "path calculation for include 'x' failed: m"),
        BRANCH,
        "IllegalPath",
        "path calculation for include 'x' failed: m",
    ),
    "a full store": (
        StoreError("m"),
        BRANCH,
        "ArchiveOperationFailed",
        "unable to archive artifact to storage: m",
    ),
    "too many patterns": (
        IgnoreError("m"),
        BRANCH,
        "SourceIgnoreError",
        "failed to load source ignore patterns from repository: m",
    ),
    "an archive beyond the limit": (
        ArchiveError("m"),
        BRANCH,
        "ArchiveOperationFailed",
        "unable to archive artifact to storage: m",
    ),
}


@pytest.mark.parametrize(("error", "want", "reason", "text"), CASES.values(), ids=CASES)
def test_how_a_failure_is_told(error: Exception, want: RefSpec, reason: str, text: str) -> None:
    answer = told(error, where(want))
    assert answer.reason == reason
    assert answer.message.startswith(text)


def test_every_error_of_git_has_a_row() -> None:
    """A new class must be thought about; roots need no row of their own."""
    roots = {errors.RemoteError, errors.GitError}
    tested = {type(error) for error, *_ in CASES.values()}
    same_as_401 = {errors.Denied, errors.RepositoryMissing}
    known = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GitError)
    }
    assert known - tested - roots - same_as_401 == set()


def test_flux_lists_before_it_clones_once_there_is_an_artifact() -> None:
    answer = told(errors.Denied("m"), where(BRANCH, lists_first=True))
    assert answer.message == f"{CHECKOUT}unable to list remote for 'https://git.example/x': m"


def where(want: RefSpec, *, lists_first: bool = False) -> Where:
    return Where(
        url="https://git.example/x",
        credentials=Credentials(),
        want=want,
        timeout_s=1,
        cache="",
        lists_first=lists_first or bool(want.name),
    )
