"""What a build depends on, and so when its result may be used again. Pure.

The engine reports every file that a build read, every folder that it listed, and every name that it looked
for and did not find. A build is a function of those, of the spec fields that shape it, and of the engine's
version: where none of them moved between two artifacts, neither did the result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.artifacts.tree import Tree

__all__ = ["Inputs", "build_key", "unchanged"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Names relative to the artifact's root; the root folder itself is ".".

    Attributes:
        reads: files whose content was read.
        lists: folders whose entries were listed.
        misses: names that were neither a file nor a folder.
    """

    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()


def build_key(
    inputs: Inputs, tree: Tree, *, spec_digest: str, engine: str, overrides: Mapping[str, str] | None = None
) -> str:
    """`sha256:<hex>` of everything that the build of `inputs` in `tree` depends on.

    Args:
        spec_digest: of the spec fields that shape a build, and of the owner labels.
        engine: the engine's version, as its hello tells it.
        overrides: name -> keyed hash of the content that the engine was given instead of the file's.
    """
    files = (overrides or {}, tree.files)
    hashed = hashlib.sha256()
    for part in (
        engine,
        spec_digest,
        *_facts("read", inputs.reads, *files),
        *_facts("list", inputs.lists, tree.folders),
        *_facts("miss", inputs.misses, *files, tree.folders),
    ):
        encoded = part.encode("utf-8", "surrogateescape")
        hashed.update(len(encoded).to_bytes(8, "big") + encoded)  # lengths, so that parts cannot run together
    return "sha256:" + hashed.hexdigest()


def unchanged(inputs: Inputs, old: Tree, new: Tree) -> bool:
    """Whether a build of `old` that had these inputs has the same result in `new`."""
    return (
        all(_same(name, old.files, new.files) for name in inputs.reads)
        and all(_same(name, old.folders, new.folders) for name in inputs.lists)
        and not any(name in new.files or name in new.folders for name in inputs.misses)
    )


def _same(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    # A name that the old tree does not know is no proof of anything: build again.
    return name in old and old[name] == new.get(name)


def _facts(kind: str, names: Iterable[str], *layers: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(names):
        digest = next((layer[name] for layer in layers if name in layer), "absent")
        yield f"{kind}\0{name}\0{digest}"
