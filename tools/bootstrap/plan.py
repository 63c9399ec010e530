"""Where each binary comes from. Pure. The first rule that holds wins: the order is the policy."""

from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.catalogue import Tool


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the tool's name in a folder that a person named."""

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


def choose(tool: Tool, seen: Sources) -> Take | Build | Refuse:
    # What our own source becomes has no version that a foreign folder could match.
    if seen.named is not None and not tool.ours:
        if seen.named.version == tool.version:
            return Take(seen.named.path)
        if not tool.lacks:  # what we complete is published nowhere: nobody can be asked to put it there
            return Refuse(
                f"HEADRACE_TOOLS: {seen.named.path} is {seen.named.version or 'of no version that it tells'};"
                f" Headrace is tested with {tool.name} {tool.version} only.",
                "Put that version there, or remove the file: what the folder lacks comes from the cache.",
            )
    # KUBEBUILDER_ASSETS is often set for other projects: what does not fit there is no mistake.
    if seen.assets is not None and not tool.ours and seen.assets.version == tool.version:
        return Take(seen.assets.path)
    match seen.cached:
        case Intact(path):
            return Take(path)
        case Damaged(why):
            return Build(because=f"{why}; it is built anew")
        case None:
            return Build()
