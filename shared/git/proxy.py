"""The proxy that a Secret names: which keys count, and what may stand in them. Pure.

Source: behaviour-source.md 1.9, proxySecretRef. The environment's proxies are never used.
"""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from shared.git import origin
from shared.git.errors import ProxyInvalid

_PORTS = {"http": 80, "https": 443, "socks5": 1080}
_ADDRESS_MAX = 2048  # characters


class Proxy(msgspec.Struct, frozen=True):
    """Where it listens, what it speaks, and who we are to it."""

    scheme: str  # http, https or socks5
    host: str
    port: int
    username: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        """For messages: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def proxy(data: Mapping[str, bytes], *, for_url: str, secret_name: str) -> Proxy:
    """Check what the Secret of `spec.proxySecretRef` says.

    Args:
        data: of the Secret.
        for_url: `spec.url`; not every proxy can carry SSH.
        secret_name: "namespace/name", for messages.

    Raises:
        ProxyInvalid: names the key and what is wrong with it, without its value.
    """
    wrong = f"secret '{secret_name}': key 'address'"
    address = _text(data, "address", secret_name)
    if not address:
        raise ProxyInvalid(f"{wrong} is missing; it must be like http://proxy.example:3128")
    if len(address) > _ADDRESS_MAX:
        raise ProxyInvalid(f"{wrong} is longer than {_ADDRESS_MAX} characters")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ProxyInvalid(f"{wrong} is not a URL; it must be like http://proxy.example:3128") from None
    if parts.scheme not in _PORTS:
        raise ProxyInvalid(f"{wrong} must begin with http://, https:// or socks5://")
    if not host or host.startswith("-") or not origin.has_plain_host(address):
        raise ProxyInvalid(f"{wrong} names no host; it must be like http://proxy.example:3128")
    if parts.scheme == "https" and for_url.startswith("ssh://"):
        raise ProxyInvalid(f"{wrong}: SSH does not go through a proxy that speaks TLS; use http or socks5")
    username, password = _text(data, "username", secret_name), _text(data, "password", secret_name)
    if not username:
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "socks5" and max(len(username.encode()), len(password.encode())) > 255:
        raise ProxyInvalid(f"secret '{secret_name}': SOCKS allows user and password of 255 bytes at most")
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], username, password)


def _text(data: Mapping[str, bytes], key: str, secret_name: str) -> str:
    try:
        return data.get(key, b"").decode().strip()
    except UnicodeDecodeError:
        raise ProxyInvalid(f"key '{key}' of secret '{secret_name}' is not UTF-8 text") from None
