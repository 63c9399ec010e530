"""A Secret's data become credentials for one URL. Pure.

Which keys count is behaviour-source.md 1.9. Credentials print as `***`, whatever prints them, and travel to
the child process as JSON on its standard input, never on a command line or in the environment.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import msgspec

from shared.git import origin
from shared.git.algorithms import Algorithms
from shared.git.errors import AuthContradicts, AuthError, InvalidUrl, PassphraseMissing, shown
from shared.git.proxy import Proxy

SCHEMES = ("http", "https", "ssh")
_KEYS = (
    "username",
    "password",
    "bearerToken",
    "ca.crt",
    "caFile",
    "tls.crt",
    "tls.key",
    "identity",
    "known_hosts",
)
_GITHUB_APP_KEYS = (
    "githubAppID",
    "githubAppInstallationID",
    "githubAppInstallationOwner",
    "githubAppPrivateKey",
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OPENSSH_KEY = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", re.DOTALL)


class Basic(msgspec.Struct, frozen=True, tag="basic"):
    username: str
    password: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Bearer(msgspec.Struct, frozen=True, tag="bearer"):
    token: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Tls(msgspec.Struct, frozen=True):
    """PEM texts; `ca` alone trusts a private authority, `certificate` and `key` together prove who we are."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Ssh(msgspec.Struct, frozen=True):
    """Who logs in, with which private key, to a server with which host keys; texts as in the Secret."""

    user: str
    identity: str  # OpenSSH or PEM
    known_hosts: str
    passphrase: str = ""
    algorithms: Algorithms = Algorithms()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Credentials(msgspec.Struct, frozen=True):
    """What to send to the origin of `spec.url`, and nowhere else."""

    who: Basic | Bearer | None = None
    tls: Tls | None = None
    ssh: Ssh | None = None  # for ssh:// alone

    @property
    def secret(self) -> bool:
        """Whether a stranger could misuse what we would send him."""
        return self.who is not None or self.ssh is not None or (self.tls is not None and bool(self.tls.key))

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Target:
    """A URL without its user part, and the credentials that came with it or with the Secret."""

    url: str
    credentials: Credentials
    proxy: Proxy | None = None  # every connection goes through it


def target(
    url: str,
    data: Mapping[str, bytes] | None,
    *,
    secret_name: str = "",
    algorithms: Algorithms = Algorithms(),  # noqa: B008  # frozen
) -> Target:
    """Check `url` and bind credentials to it.

    Args:
        data: of the Secret that `spec.secretRef` names; None without one.
        secret_name: "namespace/name", for messages.
        algorithms: what the operator allows for SSH.

    Raises:
        InvalidUrl: the scheme is not allowed, the host is empty or begins with a dash, or two parsers could
            disagree about it.
        AuthError: keys are missing, do not go together, or are not text.
        AuthContradicts: there is a token beside the URL's user.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidUrl(f"failed to parse url '{shown_safely(url)}': {error}; correct spec.url") from error
    if parts.scheme not in SCHEMES:
        raise InvalidUrl(f"failed to parse url '{shown_safely(url)}': scheme must be one of http, https, ssh")
    if not host or host.startswith("-"):
        raise InvalidUrl(f"failed to parse url '{shown_safely(url)}': the host is empty or begins with '-'")
    try:
        origin.of(url)
    except ValueError as error:
        raise InvalidUrl(f"failed to parse url '{shown_safely(url)}': {error}; correct spec.url") from error
    texts = _texts(data or {}, secret_name)
    clean = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    if parts.scheme == "ssh":
        _check_path(url, unquote(parts.path))
        user = unquote(parts.username or "") or "git"
        return Target(clean, Credentials(ssh=_ssh(user, texts, secret_name, algorithms)))
    credentials = Credentials(
        _who(parts.username, parts.password, texts, secret_name), _tls(texts, secret_name)
    )
    return Target(clean, credentials)


def has_github_app(data: Mapping[str, bytes]) -> bool:
    return any(key in data for key in _GITHUB_APP_KEYS)


def shown_safely(url: str) -> str:
    """Like `shown`, also for text that does not parse as a URL."""
    try:
        return shown(url)
    except ValueError:
        return url.rpartition("@")[2].partition("?")[0]


def _texts(data: Mapping[str, bytes], secret_name: str) -> dict[str, str]:
    texts = {}
    for key in _KEYS:
        if key in data:
            try:
                texts[key] = data[key].decode()
            except UnicodeDecodeError:
                raise AuthError(
                    f"key '{key}' of secret '{secret_name}' is not UTF-8 text; store it as text"
                ) from None
    return texts


def _who(
    url_user: str | None, url_password: str | None, texts: Mapping[str, str], secret_name: str
) -> Basic | Bearer | None:
    token = texts.get("bearerToken", "").strip()
    if token:
        if url_user:
            raise AuthContradicts(
                "basic auth and bearer token cannot be set at the same time; "
                "remove the user part of spec.url or the key 'bearerToken'"
            )
        return Bearer(token)
    username, password = texts.get("username", ""), texts.get("password", "")
    if password and not username and not url_user:
        raise AuthError(f"key 'username' is required beside 'password' in secret '{secret_name}'")
    if username or url_user:
        # Git hosts compare exactly; a newline at the end of a Secret's value is the usual mistake.
        user = (username or unquote(url_user or "")).rstrip("\r\n")
        secret = (password or unquote(url_password or "")).rstrip("\r\n")
        return Basic(user, secret)
    return None


def _tls(texts: Mapping[str, str], secret_name: str) -> Tls | None:
    ca = texts.get("ca.crt") or texts.get("caFile", "")
    certificate, key = texts.get("tls.crt", ""), texts.get("tls.key", "")
    if bool(certificate) != bool(key):
        missing = "tls.crt" if key else "tls.key"
        raise AuthError(
            f"key '{missing}' is missing in secret '{secret_name}': tls.crt and tls.key go together"
        )
    if is_encrypted(key):
        where = f"secret '{secret_name}'" if secret_name else "the secret of spec.secretRef"
        raise AuthError(f"key 'tls.key' of {where} is encrypted; store it without a passphrase")
    return Tls(ca, certificate, key) if ca or certificate else None


def _check_path(url: str, path: str) -> None:
    """The path becomes an argument on the server, so that nothing in it may end a line."""
    if len(path.strip("/")) == 0:
        raise InvalidUrl(f"failed to parse url '{shown_safely(url)}': the path is empty; correct spec.url")
    if _CONTROL.search(path):
        raise InvalidUrl(
            f"failed to parse url '{shown_safely(url)}': a control character in the path; correct spec.url"
        )


def _ssh(user: str, texts: Mapping[str, str], secret_name: str, algorithms: Algorithms) -> Ssh:
    where = f"secret '{secret_name}'" if secret_name else "the secret of spec.secretRef"
    for key in ("identity", "known_hosts"):
        if not texts.get(key, "").strip():
            raise AuthError(f"invalid 'ssh' auth option: '{key}' is required; put it into {where}")
    # A newline at the end is the usual mistake, and no passphrase ends in one.
    passphrase = texts.get("password", "").rstrip("\r\n")
    if is_encrypted(texts["identity"]) and not passphrase:
        raise PassphraseMissing(
            "SSH identity key is encrypted but no 'password' field was provided in the secret "
            f"'{secret_name}'"
        )
    return Ssh(user, texts["identity"], texts["known_hosts"], passphrase, algorithms)


def is_encrypted(identity: str) -> bool:
    """Whether a private key needs a passphrase, as its own header says; False for what is no key at all.

    Source: OpenSSH, PROTOCOL.key (magic, then the cipher's name); RFC 1421 4.6.1.1; RFC 5958 3.
    """
    openssh = _OPENSSH_KEY.search(identity)
    if openssh is None:
        return "BEGIN ENCRYPTED PRIVATE KEY" in identity or "Proc-Type: 4,ENCRYPTED" in identity
    try:
        raw = base64.b64decode("".join(openssh[1].split()))
    except binascii.Error:
        return False
    magic = b"openssh-key-v1\0"
    return raw.startswith(magic) and not raw.startswith(magic + b"\0\0\0\4none")
