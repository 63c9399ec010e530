"""What can go wrong between us and a Git repository.

The text of each is shown to users behind the contract's prefix ("failed to checkout and determine revision:
"), so it names the thing, the fact and the remedy. Source of the first words of each: behaviour-source.md,
"facts for an implementer".
"""

import re
from urllib.parse import urlsplit, urlunsplit

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_FOREIGN_TEXT_LIMIT = 200  # characters of a server's own words that a message may quote


class GitError(Exception):
    """Root of this package's errors; its text may be shown to users."""


class InvalidUrl(GitError):
    """`spec.url` cannot be used; only another value helps."""


class AuthError(GitError):
    """The Secret's data do not make credentials for this URL."""


class AuthContradicts(GitError):
    """The URL names a user while the Secret has a token; to the contract a failure of the clone."""


class PassphraseMissing(AuthError):
    """The private key of an SSH Secret is encrypted, and the Secret does not say with what."""


class ProxyInvalid(GitError):
    """The Secret of `spec.proxySecretRef` does not name a proxy that can be used."""


class RemoteError(GitError):
    """The server refused, failed, or spoke something that is not Git's smart protocol."""


class Unauthorized(RemoteError):
    """HTTP 401, or an SSH key that the server does not take."""


class Denied(RemoteError):
    """HTTP 403, or the same in an SSH server's words."""


class RepositoryMissing(RemoteError):
    """HTTP 404, which many hosts also answer to wrong or absent credentials; or an SSH server's words."""


class HostKeyUnknown(RemoteError):
    """`known_hosts` says nothing about the SSH server, so that anyone could answer in its place."""


class HostKeyMismatch(RemoteError):
    """The SSH server has another key than `known_hosts` says, or one that is revoked."""


class Unreachable(RemoteError):
    """No answer: name, route, refusal, TLS or time."""


class EmptyRepository(GitError):
    """The repository has no references at all."""


class RefMissing(GitError):
    """The reference, version or commit that the spec names is not there."""


class BranchOrTagMissing(RefMissing):
    """The same for a branch or a tag, which Flux reports as a failure of the clone."""


class RefInvalid(GitError):
    """The reference, version or commit is written in a way that cannot name anything."""


class ObjectRefused(GitError):
    """An object of the repository is malformed or would be dangerous to write."""


class TooLarge(GitError):
    """A pack, an object or a tree beyond the limits."""


def shown(url: str) -> str:
    """`url` without user part, query and fragment: what messages and logs may contain."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def quoted(foreign: str) -> str:
    """A server's own words on one line, without control characters, cut at 200 characters."""
    text = _CONTROL.sub(" ", foreign).strip()
    return text if len(text) <= _FOREIGN_TEXT_LIMIT else text[:_FOREIGN_TEXT_LIMIT] + "..."
