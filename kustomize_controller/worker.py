"""The child process that unpacks artifacts: whoever may push to a source chose their bytes.

Started as `python -m kustomize_controller.worker`, spoken to in JSON lines (shared/runtime/child.py). One
operation:

    unpack   {archive, into, limit_bytes}  ->  {files, folders, size_bytes}
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from shared.artifacts.unpack import UnpackError, Written, unpack
from shared.runtime.serve import ChildError, serve


def unpack_archive(args: Mapping[str, Any], written: Written) -> object:
    try:
        with Path(args["archive"]).open("rb") as archive:
            done = unpack(archive, Path(args["into"]), limit_bytes=args["limit_bytes"], written=written)
    except UnpackError as error:
        raise ChildError("ArtifactFailed", str(error)) from error
    return {
        "files": dict(done.tree.files),
        "folders": dict(done.tree.folders),
        "size_bytes": done.size_bytes,
    }


if __name__ == "__main__":
    serve({"unpack": partial(unpack_archive, written=Written())})
