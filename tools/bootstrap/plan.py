"""Where each binary comes from. Pure. The first rule that holds wins: the order is the policy."""

from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.catalogue import Tool


@dataclass(frozen=True, slots=True)
class Found:
    """Something of the tool's name in a folder that a person named."""

    path: Path
    version: str | None  # None: it does not run, or prints nothing like a version


@dataclass(frozen=True, slots=True)
class Intact:
    """In the cache, and its bytes match the digest that was recorded when it was built."""

    path: Path


@dataclass(frozen=True, slots=True)
class Damaged:
    """In the cache, but not as it was built: never run it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    named: Found | None = None  # in HEADRACE_TOOLS
    assets: Found | None = None  # in KUBEBUILDER_ASSETS
    cached: Intact | Damaged | None = None


@dataclass(frozen=True, slots=True)
class Take:
    path: Path


@dataclass(frozen=True, slots=True)
class Build:
    because: str = ""  # told to a person, unless it is simply not there yet


@dataclass(frozen=True, slots=True)
class Refuse:
    fact: str
    remedy: str


_NAMED = "Put that version there, or remove the file: what the folder lacks comes from the cache."
_ASSETS = "If it is set for another project, have the binaries built: unset KUBEBUILDER_ASSETS"


def choose(tool: Tool, seen: Sources) -> Take | Build | Refuse:
    # What our own source becomes has no version that a foreign folder could match.
    if seen.named is not None and not tool.ours:
        return _exactly(tool, seen.named, "HEADRACE_TOOLS", _NAMED)
    # Often set for other projects; their version all the same must not be passed over in silence.
    if seen.assets is not None and not tool.ours:
        return _exactly(tool, seen.assets, "KUBEBUILDER_ASSETS", _ASSETS)
    match seen.cached:
        case Intact(path):
            return Take(path)
        case Damaged(why):
            return Build(because=f"{why}; it is built anew")
        case None:
            return Build()


def _exactly(tool: Tool, found: Found, variable: str, remedy: str) -> Take | Refuse:
    if found.version == tool.version:
        return Take(found.path)
    return Refuse(
        f"{variable}: {found.path} is {found.version or 'of no version that it tells'};"
        f" Headrace is tested with {tool.name} {tool.version} only.",
        remedy,
    )
