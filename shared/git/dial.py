"""A TCP connection to a server, directly or through a proxy: HTTP's CONNECT (RFC 9110 9.3.6), SOCKS 5 (RFC
1928, with RFC 1929 for user and password).

A name is resolved where the connection is made: by the proxy if there is one.
"""

import base64
import ipaddress
import re
import socket

from shared.git.errors import quoted
from shared.git.proxy import Proxy

CONNECT_TIMEOUT_S = 10.0
_HEAD_LIMIT = 16384  # bytes of a proxy's answer to CONNECT
_SOCKS_REFUSALS = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "the network is unreachable",
    4: "the host is unreachable or its name does not resolve",
    5: "the connection was refused",
    6: "it took too long",
    7: "it cannot do that",
    8: "it does not know this kind of address",
}


class NotConnected(OSError):
    """No connection; the text says who refused it and what to do."""


def connect(host: str, port: int, proxy: Proxy | None, *, timeout_s: float) -> socket.socket:
    """A connected socket; `timeout_s` is the longest silence while connecting, and stays set on it.

    Raises:
        NotConnected.
    """
    if proxy is None:
        return _tcp(host, port, f"'{host}'", "spec.url", timeout_s)
    what = f"the proxy '{proxy.address}'"
    connection = _tcp(proxy.host, proxy.port, what, "'address' of spec.proxySecretRef", timeout_s)
    try:
        if proxy.scheme == "socks5":
            _socks(connection, host, port, proxy)
        else:
            _tunnel(connection, host, port, proxy)
    except TimeoutError:
        connection.close()
        raise NotConnected(f"{what} does not answer in time") from None
    except NotConnected:
        connection.close()
        raise
    except OSError as error:
        connection.close()
        raise NotConnected(f"{what}: {error.strerror or error}") from error
    return connection


def _tcp(host: str, port: int, what: str, field: str, timeout_s: float) -> socket.socket:
    within_s = min(CONNECT_TIMEOUT_S, timeout_s)
    try:
        connection = socket.create_connection((host, port), timeout=within_s)
    except (socket.gaierror, UnicodeError):
        raise NotConnected(f"the name of {what} does not resolve; correct {field} or the DNS") from None
    except TimeoutError:
        told = f"{what}: no connection within {within_s:g} s; check address, routes and network policies"
        raise NotConnected(told) from None
    except OSError as error:
        raise NotConnected(f"{what}: connection failed: {error.strerror or error}; check {field}") from error
    connection.settimeout(timeout_s)
    return connection


def _tunnel(connection: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
    if proxy.username:
        pair = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    # A byte at a time: what comes after the empty line is the server's, and must stay in the socket.
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_LIMIT:
        head += _exactly(connection, 1, proxy)
    status_line = head.partition(b"\r\n")[0].decode("latin-1")
    status = re.match(r"HTTP/1\.[01] (\d{3})", status_line)
    if status is None:
        raise NotConnected(f"the proxy '{proxy.address}' does not speak HTTP; correct its 'address'")
    if status[1] == "407":
        raise NotConnected(_wants_credentials(proxy))
    if not status[1].startswith("2"):
        raise NotConnected(
            f"the proxy '{proxy.address}' refuses to connect to '{there}': {quoted(status_line)}"
        )


def _socks(connection: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    method = 2 if proxy.username else 0  # user and password, or nothing
    connection.sendall(bytes([5, 1, method]))
    version, chosen = _exactly(connection, 2, proxy)
    if version != 5:
        raise NotConnected(f"the proxy '{proxy.address}' does not speak SOCKS 5; correct its 'address'")
    if chosen != method:
        raise NotConnected(_wants_credentials(proxy))
    if method == 2:
        user, password = proxy.username.encode(), proxy.password.encode()
        connection.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _exactly(connection, 2, proxy)[1] != 0:
            raise NotConnected(_wants_credentials(proxy))
    connection.sendall(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    _, refusal, _, kind = _exactly(connection, 4, proxy)
    if refusal:
        why = _SOCKS_REFUSALS.get(refusal, f"code {refusal}")
        raise NotConnected(f"the proxy '{proxy.address}' refuses to connect to '{host}': {why}")
    lengths = {1: 4, 4: 16}
    length = _exactly(connection, 1, proxy)[0] if kind == 3 else lengths.get(kind, 0)
    _exactly(connection, length + 2, proxy)  # the address that it connects from: of no use


def _socks_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            name = host.encode("idna")
        except UnicodeError:
            name = b""
        if not 0 < len(name) < 256:
            raise NotConnected(f"'{host}' is not a host name; correct spec.url") from None
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


def _wants_credentials(proxy: Proxy) -> str:
    return f"the proxy '{proxy.address}' wants other credentials: 'username' and 'password' of its secret"


def _exactly(connection: socket.socket, size: int, proxy: Proxy) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise NotConnected(f"the proxy '{proxy.address}' closed the connection")
        data += piece
    return data
