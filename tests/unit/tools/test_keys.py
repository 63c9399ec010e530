"""The key of a result changes with all that shapes it, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.bootstrap.catalogue import TOOLS, Tool
from tools.bootstrap.keys import binary_key, digest_of, sources_of, venv_key

TOOL = TOOLS[0]
SOURCES = {"go.mod": b"module x\n", "go.sum": b"x v1 h1:abc=\n"}
STEADY = (TOOL, SOURCES, "linux-amd64")

CHANGES: dict[str, tuple[Tool, dict[str, bytes], str]] = {
    "a new version is pinned": (TOOL, SOURCES | {"go.mod": b"module x // v2\n"}, "linux-amd64"),
    "a checksum changed": (TOOL, SOURCES | {"go.sum": b"x v1 h1:abd=\n"}, "linux-amd64"),
    "a source file more": (TOOL, SOURCES | {"main.go": b""}, "linux-amd64"),
    "another platform": (TOOL, SOURCES, "linux-arm64"),
    "other linker flags": (replace(TOOL, ldflags="-s"), SOURCES, "linux-amd64"),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_binary_gets_another_key(changed: tuple[Tool, dict[str, bytes], str]) -> None:
    assert binary_key(*changed) != binary_key(*STEADY)


def test_one_part_cannot_pass_for_two() -> None:
    assert digest_of({"a": b"1b2"}) != digest_of({"a": b"1", "b": b"2"})


def test_a_binary_keeps_its_key() -> None:
    """What it costs and in which order its sources were listed change nothing in it."""
    same = (replace(TOOL, seconds=1, disk_mb=1), dict(reversed(SOURCES.items())), "linux-amd64")
    assert binary_key(*same) == binary_key(*STEADY)


VENVS = {
    "another package": (b"aiohttp==2", (3, 11), "linux-amd64"),
    "another Python": (b"aiohttp==1", (3, 12), "linux-amd64"),
    "another platform": (b"aiohttp==1", (3, 11), "linux-arm64"),
}


@pytest.mark.parametrize("changed", VENVS.values(), ids=VENVS)
def test_a_virtual_environment_gets_another_key(changed: tuple[bytes, tuple[int, int], str]) -> None:
    assert venv_key(*changed) != venv_key(b"aiohttp==1", (3, 11), "linux-amd64")


@pytest.mark.parametrize(
    ("ours", "names"),
    [
        pytest.param(False, {"go.mod", "go.sum"}, id="others' code is what go.mod pins"),
        pytest.param(
            True, {"go.mod", "go.sum", "main.go", "deep/schema.json"}, id="ours is all but its tests"
        ),
    ],
)
def test_sources(tmp_path: Path, ours: bool, names: set[str]) -> None:
    for name in (
        "go.mod",
        "go.sum",
        "main.go",
        "main_test.go",
        "deep/schema.json",
        "testdata/a.yaml",
        ".swp",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert set(sources_of(tmp_path, ours=ours)) == names
