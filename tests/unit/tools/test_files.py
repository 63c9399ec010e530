"""What is kept in files: verdicts about binaries, links to them; and removing Go's read-only folders."""

import json
from pathlib import Path

import pytest

from tools.bootstrap import binaries, golang
from tools.bootstrap.cache import Cache, prepare
from tools.bootstrap.catalogue import TOOLS
from tools.bootstrap.checked import Checked, sha256_of
from tools.bootstrap.plan import Damaged, Intact
from tools.bootstrap.remove import remove

TOOL = TOOLS[0]


def cached(root: Path) -> tuple[Cache, Path]:
    """Make a cache that holds one binary, as `build` leaves it."""
    cache = Cache(root)
    prepare(cache)
    binary = cache.binaries / "key" / TOOL.name
    binary.parent.mkdir()
    binary.write_bytes(b"program")
    (binary.parent / "record.json").write_text(json.dumps({"sha256": sha256_of(binary)}))
    return cache, binary


def look(cache: Cache) -> Intact | Damaged | None:
    return binaries.in_cache(TOOL, "key", cache, Checked(cache.checked))


def test_an_edited_binary_is_found_though_it_was_verified_before(tmp_path: Path) -> None:
    cache, binary = cached(tmp_path)
    assert look(cache) == Intact(binary)
    assert str(binary) in cache.checked.read_text()
    assert look(cache) == Intact(binary)
    with binary.open("r+b") as file:
        file.write(b"P")
    assert isinstance(look(cache), Damaged)


def test_a_binary_without_its_record_is_damaged(tmp_path: Path) -> None:
    cache, binary = cached(tmp_path)
    binary.with_name("record.json").write_text("{")
    assert isinstance(look(cache), Damaged)


@pytest.mark.parametrize("content", ['{"torn', "[]", '{"binary": 1}'])
def test_lost_verdicts_are_made_anew(content: str, tmp_path: Path) -> None:
    cache, binary = cached(tmp_path)
    cache.checked.write_text(content)
    assert look(cache) == Intact(binary)


GO_ON_PATH = {
    "just new enough": ("go version go1.26.0 linux/amd64", "1.26.0"),
    "newer": ("go version go1.27.3 linux/amd64", "1.27.3"),
    "too old": ("go version go1.25.9 linux/amd64", None),
    "not Go": ("usage: go [stones]", None),
    "none": (None, None),
}


@pytest.mark.parametrize(("says", "version"), GO_ON_PATH.values(), ids=GO_ON_PATH)
def test_go_on_path(says: str | None, version: str | None, tmp_path: Path) -> None:
    if says is not None:
        (tmp_path / "go").write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / "go").chmod(0o700)
    found = golang.find(Cache(tmp_path / "cache"), "1.26.6", (1, 26, 0), {"PATH": str(tmp_path)})
    assert found == (golang.Go(tmp_path / "go", version) if version else None)


def test_the_wheels_go_is_used_where_path_has_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    go = cache.go / "toolchain-1.26.6" / "go" / "bin" / "go"
    go.parent.mkdir(parents=True)
    go.touch()
    assert golang.find(cache, "1.26.6", (1, 26, 0), {"PATH": str(tmp_path)}) == golang.Go(go, "1.26.6")
    assert golang.find(cache, "1.26.7", (1, 26, 0), {"PATH": str(tmp_path)}) is None


def test_one_folder_links_to_all(tmp_path: Path) -> None:
    cache, binary = cached(tmp_path)
    folder = binaries.link({TOOL.name: binary}, cache)
    assert (folder / TOOL.name).resolve() == binary.resolve()
    assert [path.name for path in folder.iterdir()] == [TOOL.name]
    assert binaries.link({TOOL.name: binary}, cache) == folder
    (folder / TOOL.name).unlink()
    assert binaries.link({TOOL.name: binary}, cache) == folder
    assert (folder / TOOL.name).exists()
    assert binaries.link({TOOL.name: tmp_path}, cache) != folder


def test_read_only_folders_are_removed(tmp_path: Path) -> None:
    module = tmp_path / "mod" / "example.com@v1"
    module.mkdir(parents=True)
    (module / "a.go").touch()
    module.chmod(0o500)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "mod" / "link").symlink_to(outside)
    remove(tmp_path / "mod")
    assert not (tmp_path / "mod").exists()
    assert outside.exists()
    remove(tmp_path / "mod")
