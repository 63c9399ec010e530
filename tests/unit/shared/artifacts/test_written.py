"""Files that an earlier archive brought get a second name, and nobody can tell but by the time."""

import io
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from shared.artifacts import archive
from shared.artifacts.unpack import BrokenArchive, Unpacked, Written, unpack

LIMIT = 1 << 20
FILES = {"app/a.yaml": b"a: 1\n", "app/b.yaml": b"b: 1\n", "large": bytes(range(256)) * 2000, "empty": b""}


def packed(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    members = [archive.Member(path, folder=False, read=partial(bytes, data)) for path, data in files.items()]
    archive.write(members, raw, limit_bytes=LIMIT)
    return raw.getvalue()


def fill(into: Path, files: Mapping[str, bytes], written: Written | None = None) -> Unpacked:
    into.mkdir(parents=True)
    return unpack(io.BytesIO(packed(files)), into, limit_bytes=LIMIT, written=written)


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}


CHANGES: dict[str, Mapping[str, bytes]] = {
    "nothing": FILES,
    "a content of the same size": {**FILES, "app/a.yaml": b"a: 2\n"},
    "two files that change places": {**FILES, "app/a.yaml": b"b: 1\n", "app/b.yaml": b"a: 1\n"},
    "a new name for known bytes": {**FILES, "new/a.yaml": b"a: 1\n"},
    "a file less": {"app/a.yaml": b"a: 1\n"},
    "a folder that became a file": {"app": b"a: 1\n"},
    "everything": {"x/y": b"z"},
}


@pytest.mark.parametrize("files", CHANGES.values(), ids=CHANGES)
def test_a_revision_after_another_unpacks_to_the_same(files: Mapping[str, bytes], tmp_path: Path) -> None:
    written = Written()
    fill(tmp_path / "1", FILES, written)
    assert fill(tmp_path / "2", files, written) == fill(tmp_path / "cold", files)
    assert content(tmp_path / "2") == content(tmp_path / "cold")


def test_known_bytes_are_not_written_again(tmp_path: Path) -> None:
    written = Written()
    fill(tmp_path / "1", FILES, written)
    fill(tmp_path / "2", {**FILES, "app/b.yaml": b"b: 2\n"}, written)
    assert (tmp_path / "2/app/a.yaml").samefile(tmp_path / "1/app/a.yaml")
    assert (tmp_path / "1/app/b.yaml").read_bytes() == b"b: 1\n"


def test_an_earlier_folder_may_go_at_any_time(tmp_path: Path) -> None:
    written = Written()
    fill(tmp_path / "1", FILES, written)
    fill(tmp_path / "2", FILES, written)
    shutil.rmtree(tmp_path / "1")
    assert {name: data for name, (data, _) in content(tmp_path / "2").items()} == FILES
    shutil.rmtree(tmp_path / "2")
    fill(tmp_path / "3", FILES, written)
    assert {name: data for name, (data, _) in content(tmp_path / "3").items()} == FILES


def test_an_archive_that_failed_is_not_remembered(tmp_path: Path) -> None:
    written = Written()
    (tmp_path / "1").mkdir()
    raw = packed({**FILES, "z": b"z" * 2000})
    with pytest.raises(BrokenArchive):
        unpack(io.BytesIO(raw[: len(raw) // 2]), tmp_path / "1", limit_bytes=LIMIT, written=written)
    assert written.size_bytes == 0


@pytest.mark.parametrize("limit", [0, 500, 1000, 1 << 20])
def test_the_memory_is_bounded(limit: int, tmp_path: Path) -> None:
    written = Written(limit)
    for number in range(3):
        fill(tmp_path / f"{number}", FILES, written)
        assert written.size_bytes <= limit
    assert {name: data for name, (data, _) in content(tmp_path / "2").items()} == FILES
