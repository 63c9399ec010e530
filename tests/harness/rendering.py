"""What a source renders to by the stock kustomize binary: the oracle beside our own engine."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from lab.processes import clean_environment
from lab.tools import Tools


def render(tools: Tools, folder: Path) -> dict[str, dict[str, Any]]:
    """The objects of a folder with a kustomization.yaml, by inventory id. Fixtures only: PyYAML reads them.

    Raises:
        ValueError: it does not build; carries what kustomize said.
    """
    ran = subprocess.run(
        [tools.path("kustomize"), "build", folder],
        env=clean_environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if ran.returncode != 0:
        raise ValueError(f"kustomize build {folder}: {ran.stderr.strip()}")
    objects = [document for document in yaml.safe_load_all(ran.stdout) if document]
    return {inventory_id(one): one for one in objects}


def inventory_id(item: dict[str, Any]) -> str:
    """As Kustomization's status writes it: namespace_name_group_kind, with ":" in a name as "__"."""
    group, _, _ = item["apiVersion"].rpartition("/")
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}_{metadata['name'].replace(':', '__')}_{group}_{item['kind']}"


def contains(live: object, wanted: object) -> bool:
    """Whether `live` has every field of `wanted`, with its value. What others own may stand beside it."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and contains(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(contains(one, other) for one, other in zip(live, wanted, strict=True))
        )
    return live == wanted
