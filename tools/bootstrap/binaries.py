"""Binaries in the cache: look at one, compile one, and link all of a configuration into one folder."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.bootstrap.cache import Cache
from tools.bootstrap.catalogue import Tool, version_in
from tools.bootstrap.checked import Checked, sha256_of
from tools.bootstrap.complete import complete
from tools.bootstrap.golang import Go
from tools.bootstrap.keys import digest_of
from tools.bootstrap.plan import Damaged, Found, Intact
from tools.bootstrap.process import quietly
from tools.bootstrap.remove import remove

_RECORD = "record.json"


def in_folder(tool: Tool, folder: Path | None, checked: Checked) -> Found | None:
    """Look for a tool in a folder that a person named, and ask it for its version.

    A link to nothing, or a folder of that name, is found too: it has no version, and is not passed over.
    """
    if folder is None or tool.ours:
        return None
    path = folder / tool.name
    if not os.path.lexists(path):
        return None
    return Found(path, version_in(checked.output(path, tool.ask) or ""))


def in_cache(tool: Tool, key: str, cache: Cache, checked: Checked) -> Intact | Damaged | None:
    """Look for a tool in the cache, and compare its bytes with what was recorded when it was built."""
    folder = cache.binaries / key
    if not folder.exists():
        return None
    try:
        recorded = json.loads((folder / _RECORD).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return Damaged(f"the record of {tool.name} in the cache is damaged")
    path = folder / tool.name
    if checked.digest(path) != recorded:
        return Damaged(f"digest mismatch: {tool.name} in the cache is not as it was built")
    return Intact(path)


def build(
    tool: Tool,
    key: str,
    *,
    source: Path,
    go: Go,
    env: Mapping[str, str],
    cache: Cache,
    tick: Callable[[], None],
) -> None:
    """Compile `tool` into the cache. It appears there whole or not at all; Go keeps what it compiled.

    Args:
        source: the folder of its go.mod.
    """
    began = time.monotonic()
    fresh = cache.tmp / key
    remove(fresh)
    fresh.mkdir()
    output = fresh / tool.name
    # -buildvcs=false: a commit in our repository must not change what other people's code compiles to.
    argv = [str(go.path), "build", "-trimpath", "-buildvcs=false", "-ldflags", tool.ldflags]
    argv += ["-o", str(output), tool.package]
    work = dict(env) | {"GOTMPDIR": env.get("GOTMPDIR") or str(cache.tmp)}  # /tmp may be small, or in memory
    log = cache.logs / f"{tool.name}.log"
    whole = cache.tmp / f"{key}-module"
    remove(whole)
    if tool.lacks:
        complete(tool, source, whole, go=go, env=work, log=log, tick=tick)
        source = whole
    quietly(argv, cwd=source, env=work, log=log, tick=tick, what=f"Compiling {tool.name}")
    record = {
        "sha256": sha256_of(output),
        "version": tool.version,
        "go": go.version,
        "seconds": round(time.monotonic() - began, 1),
    }
    (fresh / _RECORD).write_text(json.dumps(record, indent=1) + "\n")
    final = cache.binaries / key
    remove(final)
    fresh.rename(final)
    remove(whole)


def link(paths: Mapping[str, Path], cache: Cache) -> Path:
    """Give a folder that holds a link to each binary under its name; make it if it is not there."""
    folder = cache.sets / digest_of({name: str(path).encode() for name, path in paths.items()})
    if all(
        (folder / name).is_symlink() and (folder / name).readlink() == path for name, path in paths.items()
    ):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        # Two runs may come here at once; both make the same links, each under a name of its own first.
        fresh = folder / f".{name}.{time.monotonic_ns()}"
        fresh.symlink_to(path)
        fresh.replace(folder / name)
    return folder
