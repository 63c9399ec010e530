"""The CRDs, generated from the models: `python -m shared.api.crd [--out FOLDER] [--check]`.

One file per kind, and a kustomization.yaml that lists them. This is a development command, which is why it
may use PyYAML, and why no other module imports it.
"""

import argparse
import difflib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shared.api.kinds import KINDS, Column, Kind
from shared.api.schema import resource_schema

__all__ = ["crd", "files", "main"]

COMMAND = "python -m shared.api.crd"
_FIRST_LINE = f"# Generated from the models in shared/api by `{COMMAND}`; change those and run it again.\n"
_FOLDER = Path("deploy/crds")


def crd(kind: Kind[Any]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.crd_name,
            # `flux check` and `flux uninstall` look for it (contract, cli.md 2).
            "labels": {"app.kubernetes.io/part-of": "flux"},
            # Descriptions speak of ${name}, and a Kustomization with variables may well install this file.
            "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
        },
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": resource_schema(kind.model)},
                }
            ],
        },
    }


def files() -> dict[str, str]:
    """All generated files: name to content."""
    crds = {f"{kind.crd_name}.yaml": crd(kind) for kind in KINDS}
    listing = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(crds),
    }
    return {
        name: _FIRST_LINE + _yaml(content)
        for name, content in (crds | {"kustomization.yaml": listing}).items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Write the CRDs, or check that they are fresh."
    )
    parser.add_argument("--out", type=Path, default=_FOLDER, help=f"folder of the CRDs (default {_FOLDER})")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    args = parser.parse_args(argv)
    if not args.check:
        _write(args.out)
        return 0
    with tempfile.TemporaryDirectory() as fresh:
        _write(Path(fresh))
        stale = _differences(Path(fresh), args.out)
    if stale:
        out = "" if args.out == _FOLDER else f" --out {args.out}"
        sys.stderr.write("\n".join([*stale, f"To bring {args.out} up to date: {COMMAND}{out}", ""]))
    return 1 if stale else 0


def _write(folder: Path) -> None:
    """Write all files, and remove those of kinds that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for name in sorted(_names(folder) - wanted.keys()):
        (folder / name).unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, encoding="utf-8")


def _differences(fresh: Path, present: Path) -> list[str]:
    """One line per file that is missing, left over or different."""
    lines = []
    for name in sorted(_names(fresh) | _names(present)):
        new, old = fresh / name, present / name
        if not old.exists():
            lines.append(f"{old}: missing")
        elif not new.exists():
            lines.append(f"{old}: belongs to no kind")
        elif (change := _change(old, new)) is not None:
            lines.append(f"{old}: {change}")
    return lines


def _change(old: Path, new: Path) -> str | None:
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (old, new))
    diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]  # without its two lines of names
    changed = [line for line in diff if line.startswith(("+", "-"))]
    if not changed:
        return None
    added = sum(line.startswith("+") for line in changed)
    return f"{added} lines to add, {len(changed) - added} to remove; the first is `{changed[0]}`"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.yaml")}


def _column(column: Column) -> dict[str, Any]:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return shown | ({"priority": column.priority} if column.priority else {})


class _Dumper(yaml.SafeDumper):
    """YAML for readers: list items indented, no aliases, prose folded and not quoted."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=">" if len(text) > 80 and " " in text else None
    )


_Dumper.add_representer(str, _text)


def _yaml(content: dict[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text


if __name__ == "__main__":
    sys.exit(main())
