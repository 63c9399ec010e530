"""A real Git server over HTTP: git's own `http-backend` behind a small CGI server on loopback.

The bare repositories lie in a folder; `create` makes one together with a working tree to fill it from. A
repository can ask for credentials, or be told to answer something else than Git does, and every request is
written down with its bytes, so that a test can say how much a fetch may cost.
"""

import base64
import http
import io
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from lab.processes import clean_environment
from lab.serving import Serving
from lab.worktree import Worktree, git

_PIECE = 65536
_SETTLE_S = 10.0  # an answer that hangs on purpose must not hold up who asks for the requests


class MissingHttpBackend(Exception):
    """git is there, but not its HTTP server."""


@dataclass(frozen=True, slots=True)
class Basic:
    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Bearer:
    token: str = field(repr=False)

    def header(self) -> str:
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a repository answers instead of Git, after `delay_s`; status 0 only delays, and Git answers."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it was answered. Sizes are of the bodies, in bytes, as they were on the wire."""

    repository: str
    method: str
    target: str  # path and query
    protocol: str  # the Git-Protocol header, "" without one
    status: int
    received_bytes: int
    sent_bytes: int
    authorization: str = field(repr=False)


class GitServer(Serving):
    """Serves a folder of bare repositories on 127.0.0.1; a context manager, or `start` and `stop`.

    Args:
        folder: an existing folder, kept; by default a temporary one, deleted at the end.
        tls: serve HTTPS with this server context, which may also ask for client certificates.
    """

    def __init__(self, folder: Path | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="headrace-git-"))
        self._backend = http_backend()
        self._tls = tls
        self._lock = threading.Condition()
        self._under_way = 0
        self._requests: list[Request] = []
        self._credentials: dict[str, tuple[Basic | Bearer, ...]] = {}
        self._answers: dict[str, Answer] = {}
        server = _Server(("127.0.0.1", 0), _handler(self))
        server.tls = tls
        super().__init__(server, "git-server")

    def stop(self) -> None:
        super().stop()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/{name}.git"

    def bare(self, name: str) -> Path:
        return self.folder / f"{name}.git"

    def create(
        self, name: str, *, branch: str = "main", settings: Mapping[str, str] | None = None
    ) -> Worktree:
        """A new repository and a working tree for it. `name` may have slashes.

        As the large hosts do, it takes pushes, filters, and wants of any reachable commit. `settings` is
        further git configuration of the server's side, such as {"uploadpack.allowFilter": "false"}.
        """
        bare = self.bare(name)
        bare.mkdir(parents=True)
        git(bare, "init", "--quiet", "--bare", f"--initial-branch={branch}")
        served = {
            "http.receivepack": "true",
            "uploadpack.allowFilter": "true",
            "uploadpack.allowReachableSHA1InWant": "true",
            "gc.auto": "0",  # packing in the background would change the bytes of a fetch
            **(settings or {}),
        }
        for key, value in served.items():
            git(bare, "config", key, value)
        return Worktree.create(self.folder / "worktrees" / name, bare, branch)

    def protect(self, name: str, *credentials: Basic | Bearer) -> None:
        """From now on only these credentials open the repository; none: everyone may."""
        with self._lock:
            self._credentials[name] = credentials

    def answer(self, name: str, answer: Answer | None) -> None:
        """From now on the repository answers this; None: what Git does."""
        with self._lock:
            if answer is None:
                self._answers.pop(name, None)
            else:
                self._answers[name] = answer

    def requests(self, name: str) -> list[Request]:
        """All requests to the repository so far, oldest first, after those under way have been answered."""
        with self._lock:
            # A client has its answer a moment before the request is written down.
            self._lock.wait_for(lambda: self._under_way == 0, _SETTLE_S)
            return [request for request in self._requests if request.repository == name]

    def forget_requests(self) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._under_way == 0, _SETTLE_S)
            self._requests.clear()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a request is being answered, until it has been noted."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    def note(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def refusal(self, name: str, authorization: str) -> Answer | None:
        """What to answer instead of asking Git, None: ask Git."""
        with self._lock:
            credentials, answer = self._credentials.get(name, ()), self._answers.get(name)
        if answer is not None and answer.delay_s:
            time.sleep(answer.delay_s)  # each request has a thread of its own
        if answer is not None and answer.status:
            return answer
        if credentials and authorization not in [credential.header() for credential in credentials]:
            return Answer(
                status=401, headers={"WWW-Authenticate": 'Basic realm="git"'}, body=b"who are you?\n"
            )
        return None

    def run_backend(
        self, environment: Mapping[str, str], body: IO[bytes]
    ) -> tuple["subprocess.Popen[bytes]", io.BufferedReader]:
        """Start git's CGI program on a request; return it and its output."""
        served = {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            **environment,
        }
        read_end, write_end = os.pipe()
        process = subprocess.Popen(
            [self._backend],
            env=clean_environment(self.folder, served),
            stdin=body,
            stdout=write_end,
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        return process, os.fdopen(read_end, "rb")


def http_backend() -> Path:
    """The path of git's HTTP server. Raises MissingHttpBackend."""
    found = Path(git(Path("/"), "--exec-path")) / "git-http-backend"
    if not found.is_file():
        raise MissingHttpBackend(
            f"'{found}' is missing: some systems ship it in a package of its own "
            "(such as 'git-daemon' on Alpine); install that"
        )
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:  # in the request's own thread, so that a silent client holds nobody up
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:  # the client did not like our certificate, or we not its
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is a test's wish, not news."""


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_GitHandler):
        git_server = server

    return Handler


class _GitHandler(BaseHTTPRequestHandler):
    """One HTTP request as one run of git's CGI program (RFC 3875; gitprotocol-http)."""

    git_server: GitServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # the name that http.server looks for
        with self.git_server.under_way():
            self._serve()

    def do_POST(self) -> None:
        with self.git_server.under_way():
            self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are kept in GitServer.requests instead."""

    def _serve(self) -> None:
        with tempfile.TemporaryFile() as body:
            received = self._receive(body)
            authorization = self.headers.get("Authorization", "")
            name = unquote(urlsplit(self.path).path).partition(".git")[0].strip("/")
            instead = self.git_server.refusal(name, authorization)
            status, sent = self._reply(instead) if instead else self._ask_git(body, received)
        self.git_server.note(
            Request(
                repository=name,
                method=self.command,
                target=self.path,
                protocol=self.headers.get("Git-Protocol", ""),
                status=status,
                received_bytes=received,
                sent_bytes=sent,
                authorization=authorization,
            )
        )

    def _receive(self, body: IO[bytes]) -> int:
        """Put the request's body into a file, since CGI wants its length first; return its bytes."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                body.write(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left and (piece := self.rfile.read(min(left, _PIECE))):
                body.write(piece)
                left -= len(piece)
        received = body.tell()
        body.seek(0)
        return received

    def _reply(self, answer: Answer) -> tuple[int, int]:
        self.send_response(answer.status)
        for key, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(answer.body)
        return answer.status, len(answer.body)

    def _ask_git(self, body: IO[bytes], received: int) -> tuple[int, int]:
        """Run the CGI program and pass on what it says; return status and bytes of the body."""
        url = urlsplit(self.path)
        environment = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.client_address[0],
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(url.path),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(received),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        process, output = self.git_server.run_backend(environment, body)
        try:
            headers = _cgi_headers(output)
            status = int(headers.pop("Status", "200").split()[0])
            self.send_response(status, http.HTTPStatus(status).phrase)
            for key, value in headers.items():
                self.send_header(key, value)
            return status, self._pass_on(output, "Content-Length" in headers)
        finally:
            output.close()  # a client that left: the program gets SIGPIPE
            process.wait()

    def _pass_on(self, output: io.BufferedReader, has_length: bool) -> int:
        chunked = not has_length and self.request_version == "HTTP/1.1"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not has_length:
            self.close_connection = True
        self.end_headers()
        sent = 0
        while piece := output.read1(_PIECE):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            sent += len(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return sent


def _cgi_headers(output: io.BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := output.readline().decode("latin-1").strip():
        key, _, value = line.partition(":")
        headers[key.strip()] = value.strip()
    return headers
