"""Builds by the engine alone, without a cluster: what one of them gives, and what it takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kustomize_controller.kustomization.build import Build, Builder, Order
from shared.api.kustomization import KustomizationSpec

_SPEC = {
    "interval": "1m",
    "prune": True,
    "path": "./",
    "sourceRef": {"kind": "GitRepository", "name": "source"},
}


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


async def build(
    builder: Builder, namespace: str, root: Path, *, text: bool = False, spec: Mapping[str, Any] | None = None
) -> Build:
    """Build a folder for a namespace; `spec` adds fields, `text` asks for what kustomize gave."""
    fields = msgspec.convert({**_SPEC, **(spec or {})}, KustomizationSpec)
    return await builder.build(Order(namespace=namespace, root=root, spec=fields, labels={}, text=text))
