"""Serves the store over HTTP: what a plain static file server does, without listings.

GET and HEAD, ranges, ETag and If-None-Match. `/` answers 200 with nothing, which is the readiness probe of
Flux's manifests (telemetry.md 1). Names that begin with a dot (drafts) and lock files are nobody's
business.
"""

from pathlib import Path

from aiohttp import web

_NOT_SERVED_SUFFIX = ".lock"


def application(root: Path) -> web.Application:
    """The application for the store at `root`; whoever runs it decides on address and leadership."""
    app = web.Application()

    async def artifact(request: web.Request) -> web.StreamResponse:
        file = _file(root, request.match_info["path"])
        if file is None:
            return web.Response(status=404, text="no such artifact")
        # Said here, for a guess by name would send Content-Encoding gzip, and clients would unpack what
        # they verify.
        return web.FileResponse(file, headers={"Content-Type": "application/gzip"})

    async def ready(_request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/", ready)
    app.router.add_get("/{path:.+}", artifact)
    return app


def _file(root: Path, path: str) -> Path | None:
    """The regular file at `path` below `root`, if it may be served."""
    names = path.split("/")
    if any(name == "" or name.startswith(".") or "\0" in name for name in names):
        return None
    if names[-1].endswith(_NOT_SERVED_SUFFIX):
        return None
    file = root.joinpath(*names)
    # A link in the store is not ours: nothing here writes one.
    if file.is_symlink() or not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
        return None
    return file
