"""A Git server that sends what it likes: one branch, one commit, and bytes for the fetch of it.

Protocol version 0 over HTTP (gitprotocol-http, gitprotocol-pack), just enough of it for a shallow fetch.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.serving import Serving

_CAPABILITIES = b"shallow side-band-64k ofs-delta thin-pack no-progress symref=HEAD:refs/heads/main"
_SIDE_BAND_MAX = 65515


@dataclass(frozen=True, slots=True)
class Repository:
    """`sent` are the pieces of the answer to a fetch, behind the acknowledgement."""

    commit: str
    sent: Iterable[bytes]


class HostileGit(Serving):
    """Serves repositories by name on loopback; a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.repositories)), "hostile git")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


def pkt(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def banded(pack: bytes) -> Iterator[bytes]:
    """A pack on the side band for data, and the end."""
    for at in range(0, len(pack), _SIDE_BAND_MAX):
        yield pkt(b"\x01" + pack[at : at + _SIDE_BAND_MAX])
    yield b"0000"


def commit_of(tree: bytes, message: bytes = b"first") -> bytes:
    """The content of a commit of the tree with this id."""
    who = b"A <a@example.test> 1700000000 +0000"
    return b"tree %s\nauthor %s\ncommitter %s\n\n%s\n" % (tree.hex().encode(), who, who, message)


def tree_of(*entries: tuple[bytes, bytes, bytes]) -> bytes:
    """The content of a tree; of an entry: mode, name and the child's id."""
    return b"".join(b"%s %s\0" % (mode, name) + child for mode, name, child in entries)


def _handler(repositories: Mapping[str, Repository]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server looks for
            commit = self._repository().commit.encode()
            self._begin("advertisement")
            self.wfile.write(pkt(b"# service=git-upload-pack\n") + b"0000")
            self.wfile.write(pkt(commit + b" HEAD\0" + _CAPABILITIES + b"\n"))
            self.wfile.write(pkt(commit + b" refs/heads/main\n") + b"0000")

        def do_POST(self) -> None:
            self._read_request()
            repository = self._repository()
            self._begin("result")
            self.wfile.write(pkt(b"shallow " + repository.commit.encode()) + b"0000" + pkt(b"NAK\n"))
            for piece in repository.sent:
                self.wfile.write(piece)

        def _read_request(self) -> None:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                return
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()

        def _repository(self) -> Repository:
            return repositories[self.path.split("/")[1]]

        def _begin(self, what: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"application/x-git-upload-pack-{what}")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Not news."""

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that has had enough
                super().handle()

    return Handler
