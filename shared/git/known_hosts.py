"""Which host keys a Secret's `known_hosts` vouches for. Pure.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, hashed and wildcard names, `[host]:port` for any port
but 22, several lines for one host, `@revoked`. A line for a port never counts for another one. Certificates
of hosts (`@cert-authority`) are not understood; such lines vouch for nothing.
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.git.algorithms import HOST_KEYS
from shared.git.errors import AuthError

_PORT = 22


@dataclass(frozen=True, slots=True, order=True)
class HostKey:
    type: str
    blob: bytes  # as on the wire (RFC 4253 6.6)

    def __str__(self) -> str:
        """Type and fingerprint, as ssh-keygen -l shows them."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"{self.type} SHA256:{digest}"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one server."""

    name: str  # as lines call it: "host", or "[host]:port"
    trusted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    certified: bool = False  # a line names an authority for it

    @property
    def types(self) -> tuple[str, ...]:
        """Of the trusted keys, best first."""
        types = {key.type for key in self.trusted}
        return tuple(type_ for type_ in HOST_KEYS if type_ in types)


def lookup(text: str, host: str, port: int | None) -> Known:
    """What `text` says about `host`, on `port` or on 22.

    Raises:
        AuthError: a line cannot be read; names its number. Keys of types that we do not know are passed over.
    """
    name = host.lower() if port in (None, _PORT) else f"[{host.lower()}]:{port}"
    trusted: list[HostKey] = []
    revoked: list[HostKey] = []
    certified = False
    for marker, names, key in _lines(text):
        if key is None or not _covers(names, name):
            continue
        match marker:
            case "":
                trusted.append(key)
            case "@revoked":
                revoked.append(key)
            case _:
                certified = True
    return Known(name, tuple(dict.fromkeys(trusted)), tuple(revoked), certified)


def _lines(text: str) -> Iterator[tuple[str, str, HostKey | None]]:
    """Marker, names and key of each line; no key where its type is unknown."""
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if marker not in ("", "@revoked", "@cert-authority") or len(fields) < 3:
            raise _unreadable(number)
        names, type_, encoded = fields[:3]
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9@._-]*", type_):
            raise _unreadable(number)
        yield marker, names, _key(type_, encoded, number) if type_ in HOST_KEYS else None


def _key(type_: str, encoded: str, number: int) -> HostKey:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise _unreadable(number) from None
    raw = type_.encode()
    if not blob.startswith(len(raw).to_bytes(4, "big") + raw):
        raise _unreadable(number)
    return HostKey(type_, blob)


def _unreadable(number: int) -> AuthError:
    return AuthError(
        f"line {number} of 'known_hosts' is not '<host> <key type> <key>'; copy it from ssh-keyscan"
    )


def _covers(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        return _is_hash_of(names, name)
    covered = False
    for pattern in names.lower().split(","):
        negated = pattern.startswith("!")
        if _matches(pattern.removeprefix("!"), name):
            if negated:
                return False
            covered = True
    return covered


def _matches(pattern: str, name: str) -> bool:
    pattern = re.sub(r"^\[(.*)\]:22$", r"\1", pattern)
    # Only * and ? are special (ssh_config(5), PATTERNS), so that the brackets of a port must not be.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[3:].split("|"))
    except ValueError:  # binascii.Error is one
        return False
    # SHA-1 is the format's choice. It hides names; the trust lies in the keys.
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
