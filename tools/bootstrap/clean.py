"""`./run clean`: what of the cache could go, how much that frees, and, after a yes, its removal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tools.bootstrap.cache import Cache, prepare, size_bytes
from tools.bootstrap.catalogue import TOOLS
from tools.bootstrap.disk import gigabytes
from tools.bootstrap.lock import exclusive
from tools.bootstrap.remove import remove
from tools.bootstrap.setup import Site


def stale(site: Site) -> list[Path]:
    """Give what the current checkout does not use. Go's caches stay: the next version's build wants them."""
    cache = site.cache
    current = {
        site.venv,
        cache.go / f"toolchain-{site.wheel}",
        *(cache.binaries / site.key(tool) for tool in TOOLS),
    }
    present = [*_entries(cache.venvs), *cache.go.glob("toolchain-*"), *_entries(cache.binaries)]
    return sorted(set(present) - current)


def clean(site: Site, *, everything: bool, sure: bool) -> int:
    """Show, ask, remove; give the exit code."""
    if not site.cache.root.exists():
        print(f"Nothing to remove: there is no {site.cache.root}.")
        return 0
    going = _entries(site.cache.root) if everything else stale(site)
    going = [path for path in going if path != site.cache.lock]
    if not going:
        print(
            "Nothing to remove: this checkout uses all that is in the cache. `--all` removes it all the same."
        )
        return 0
    sizes = {path: size_bytes(path) // 1_000_000 for path in going}
    for path, size_mb in sizes.items():
        print(f"  {gigabytes(size_mb):>8}  {path}")
    if not (sure or _agreed(f"Remove these and free {gigabytes(sum(sizes.values()))}?")):
        print("Nothing was removed.")
        return 0
    prepare(site.cache)
    with exclusive(site.cache.lock, lambda holder: print(f"Process {holder} is setting up; waiting for it.")):
        _remove(
            [*going, *_entries(site.cache.sets)], site.cache
        )  # sets: links only, made again by the next run
    print("Removed.")
    return 0


def _remove(paths: Sequence[Path], cache: Cache) -> None:
    for at, path in enumerate(paths):
        if path == cache.tmp or not path.exists():
            continue
        # Away first, then gone: half a virtual environment must not stand where a whole one is looked for.
        doomed = cache.tmp / f"doomed-{at}"
        remove(doomed)
        path.rename(doomed)
        remove(doomed)
    for leftover in _entries(cache.tmp):
        remove(leftover)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        print(f"{question} Nobody to ask here: say so with --yes.")
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
