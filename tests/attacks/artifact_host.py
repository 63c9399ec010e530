"""A server of artifacts that nobody built, and sources whose status names them.

The sources are suspended, so that the source controller leaves alone what is written into their status.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.serving import Serving
from tests.harness.story import Story


class ArtifactHost(Serving):
    """Serves bytes by name on loopback; a context manager."""

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[bytes, Mapping[str, str]]] = {}
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._bodies)), "artifact host")

    def serve(self, name: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
        """From now on `body` is at the URL that is returned."""
        self._bodies[f"/{name}"] = (body, headers or {})
        return f"http://127.0.0.1:{self.port}/{name}"


def offer(story: Story, name: str, url: str, body: bytes, *, revision: str) -> None:
    """Let the source `name` promise the artifact at `url`; make the source where there is none."""
    if story.find("GitRepository", name) is None:
        story.source(name, suspend=True)
    artifact = {
        "url": url,
        "path": f"gitrepository/{story.namespace}/{name}/{revision}.tar.gz",
        "revision": f"main@sha1:{revision}",
        "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
        "size": len(body),
        "lastUpdateTime": "2026-01-01T00:00:00Z",
    }
    path = story.path("GitRepository", name)
    story.cluster.client.merge(f"{path}/status", {"status": {"artifact": artifact}})


def _handler(bodies: Mapping[str, tuple[bytes, Mapping[str, str]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name that http.server looks for
            body, headers = bodies[self.path]
            self.send_response(200)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Not news."""

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that has had enough
                super().handle()

    return Handler
