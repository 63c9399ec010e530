"""Sources of a package that its module alone does not compile, since its release adds a file for go:embed.

It is compiled in a copy of the module, with that file in its place, as the main module: its own go.mod and
go.sum pin what it depends on, and go.sum of the family, which pins every byte of the module, pins these two.
The family's go.mod so names one module and nothing else.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.bootstrap.catalogue import Tool
from tools.bootstrap.golang import Go
from tools.bootstrap.process import answer, quietly
from tools.bootstrap.trouble import Trouble


def complete(
    tool: Tool,
    source: Path,
    into: Path,
    *,
    go: Go,
    env: Mapping[str, str],
    log: Path,
    tick: Callable[[], None],
) -> None:
    """Fetch the module of the family `source`, and copy it with what it lacks to the folder `into`.

    Args:
        into: must not exist.

    Raises:
        Trouble: the module was not reached, or is not what go.sum pins.
    """
    argv = [str(go.path), "-C", str(source), "mod", "download", "-json"]
    quietly(argv, cwd=source, env=env, log=log, tick=tick, what=f"Fetching {tool.name}")
    module = json.loads(
        answer(argv, env=env) or "{}"
    )  # from Go's cache: the log may hold more than the answer
    if "Dir" not in module:
        raise Trouble(f"go mod download in {source} names no folder.", "Run the same command again.")
    shutil.copytree(module["Dir"], into, copy_function=shutil.copyfile)
    for folder in (into, *(path for path in into.rglob("*") if path.is_dir())):
        folder.chmod(0o700)  # those of Go's module cache are read-only
    lacking = into / tool.lacks
    lacking.parent.mkdir(parents=True, exist_ok=True)
    lacking.write_text("# What a release has here is not part of the module.\n")
