"""Which program builds, as flags and environment say."""

from pathlib import Path

import pytest

from kustomize_controller.kustomize_binary import KustomizeBinary
from kustomize_controller.settings import read

NAMED: dict[str, tuple[list[str], dict[str, str], Path | None]] = {
    "nothing named": ([], {}, None),
    "by a flag": (["--kustomize-binary=/opt/kustomize"], {}, Path("/opt/kustomize")),
    "by the environment": ([], {"KUSTOMIZE_BINARY": "/opt/kustomize"}, Path("/opt/kustomize")),
    "relative, while the engine starts it elsewhere": (
        ["--kustomize-binary=bin/kustomize"],
        {},
        Path("bin/kustomize").absolute(),
    ),
}


@pytest.mark.parametrize(("argv", "environ", "program"), NAMED.values(), ids=NAMED)
def test_which_binary(argv: list[str], environ: dict[str, str], program: Path | None) -> None:
    assert read(argv, environ).kustomize_binary == program


def test_each_process_has_copies_of_its_own() -> None:
    binary = KustomizeBinary(program=Path("/opt/kustomize"), copies=Path("/cache/copies"))
    assert binary.arguments("build engine 1") == ["stock", "/opt/kustomize", "/cache/copies/build-engine-1"]
