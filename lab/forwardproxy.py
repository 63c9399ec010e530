"""A forward proxy on loopback, as companies put one before the internet: HTTP's CONNECT, HTTP in absolute
form, and SOCKS 5, all on one port, since the first byte tells them apart.

What it passes on is written down. It can ask for a user and password, refuse, fall silent, or cut a
connection in the middle.
"""

import base64
import contextlib
import ipaddress
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lab.serving import Serving

_PIECE = 65536
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One request to the proxy, also one that was refused."""

    method: str  # CONNECT, SOCKS, GET, POST
    target: str  # host:port, or the URL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # lower-case names


@dataclass(slots=True)
class Behaviour:
    """What the proxy does; may be changed while it runs."""

    credentials: tuple[str, str] | None = None  # user and password that it wants
    refuse: int = 0  # an HTTP status, or a SOCKS reply code, for all that ask
    silent: bool = False  # takes connections and says nothing
    cut_after_bytes: int | None = None  # of what a server sends: then the connection is cut
    damage_at: int | None = None  # the byte of what a server sends in which all bits are turned


class ForwardProxy(Serving):
    """Listens on 127.0.0.1; a context manager.

    Args:
        tls: speak TLS with this server context before anything else.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.tls = tls
        self._lock = threading.Lock()
        self._passages: list[Passage] = []
        super().__init__(_Server(("127.0.0.1", 0), _handler(self)), "forward-proxy")

    def address(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def passages(self) -> list[Passage]:
        with self._lock:
            return list(self._passages)

    def note(self, passage: Passage) -> None:
        with self._lock:
            self._passages.append(passage)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A side that hangs up in the middle is a test's wish, not news."""


def _handler(owner: ForwardProxy) -> type[socketserver.BaseRequestHandler]:
    class Handler(_Connection):
        proxy = owner

    return Handler


class _Connection(socketserver.BaseRequestHandler):
    """One connection of a client."""

    proxy: ForwardProxy
    request: socket.socket

    def handle(self) -> None:
        if self.proxy.tls is not None:
            self.request = self.proxy.tls.wrap_socket(self.request, server_side=True)
        self.request.settimeout(_WAIT_S)
        if self.proxy.behaviour.silent:
            while self.request.recv(_PIECE):
                pass
            return
        first = self._exactly(1)
        if first == b"\x05":
            self._socks()
        else:
            self._http(first)

    def _http(self, begun: bytes) -> None:
        line, headers = self._head(begun)
        method, target, _ = line.split(" ", 2)
        self.proxy.note(Passage(method=method, target=target, headers=headers))
        behaviour = self.proxy.behaviour
        if behaviour.refuse:
            self._reply(f"{behaviour.refuse} Refused")
        elif behaviour.credentials and headers.get("proxy-authorization") != _basic(behaviour.credentials):
            self._reply('407 Who are you\r\nProxy-Authenticate: Basic realm="proxy"')
        elif method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), _WAIT_S) as server:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._relay(server)
        else:
            self._absolute(method, target, headers)

    def _absolute(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """One request and its answer; the connection then ends, so that the next one is seen too."""
        url = urlsplit(target)
        path = url._replace(scheme="", netloc="").geturl() or "/"
        kept = {k: v for k, v in headers.items() if not k.startswith("proxy-")} | {"connection": "close"}
        head = "".join(f"{key}: {value}\r\n" for key, value in kept.items())
        with socket.create_connection((url.hostname or "", url.port or 80), _WAIT_S) as server:
            server.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
            self._relay(server, insert=b"Connection: close\r\n")

    def _socks(self) -> None:
        """RFC 1928 and 1929."""
        methods = self._exactly(self._exactly(1)[0])
        behaviour = self.proxy.behaviour
        method = 2 if behaviour.credentials else 0
        if method not in methods:
            self.request.sendall(b"\x05\xff")
            return
        self.request.sendall(bytes([5, method]))
        if behaviour.credentials:
            self._exactly(1)
            user = self._exactly(self._exactly(1)[0]).decode()
            password = self._exactly(self._exactly(1)[0]).decode()
            right = (user, password) == behaviour.credentials
            self.request.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        kind = self._exactly(4)[3]
        if kind == 3:
            host = self._exactly(self._exactly(1)[0]).decode()
        else:
            host = str(ipaddress.ip_address(self._exactly(4 if kind == 1 else 16)))
        port = int.from_bytes(self._exactly(2), "big")
        self.proxy.note(Passage(method="SOCKS", target=f"{host}:{port}"))
        if behaviour.refuse:
            self.request.sendall(bytes([5, behaviour.refuse, 0, 1]) + bytes(6))
            return
        with socket.create_connection((host, port), _WAIT_S) as server:
            self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
            self._relay(server)

    def _relay(self, server: socket.socket, insert: bytes = b"") -> None:
        """Pass on bytes both ways until one side ends; `insert` goes behind the server's first line."""
        left = self.proxy.behaviour.cut_after_bytes
        received = 0
        while True:
            pending = isinstance(self.request, ssl.SSLSocket) and self.request.pending()
            ready = [self.request] if pending else select.select([self.request, server], [], [], _WAIT_S)[0]
            if not ready:
                return
            for source in ready:
                piece = source.recv(_PIECE)
                if not piece:
                    return
                if source is server:
                    if insert:
                        line, end, rest = piece.partition(b"\r\n")
                        piece, insert = line + end + insert + rest, b""
                    piece, received = self._damaged(piece, received), received + len(piece)
                    if left is not None:
                        piece, left = piece[:left], left - len(piece)
                    self.request.sendall(piece)
                    if left is not None and left <= 0:
                        return
                else:
                    server.sendall(piece)

    def _damaged(self, piece: bytes, before: int) -> bytes:
        at = self.proxy.behaviour.damage_at
        if at is None or not before <= at < before + len(piece):
            return piece
        at -= before
        return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]

    def _head(self, begun: bytes) -> tuple[str, dict[str, str]]:
        """Request line and headers; what follows stays in the socket."""
        raw = bytearray(begun)
        while not raw.endswith(b"\r\n\r\n"):
            raw += self._exactly(1)
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return first, {key.strip().lower(): value.strip() for key, _, value in pairs}

    def _reply(self, status: str) -> None:
        self.request.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.request.recv(size - len(data))
            if not piece:
                raise ConnectionResetError("the client left")
            data += piece
        return data

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)
        self.request.close()


def _basic(credentials: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
