"""Archives that a stranger made: what is refused, and that nothing leaves the folder (A15, A16, A17)."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from shared.artifacts import unpack as unpack_module
from shared.artifacts.archive import Member, write
from shared.artifacts.unpack import ArchiveTooLarge, BrokenArchive, UnsafeArchive, read, unpack
from tests.harness.archives import BROKEN, GOOD, HOSTILE, LIMIT, PAX, bomb, entry, packed, put, spoiled


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(raw: bytes, tmp_path: Path) -> None:
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    with pytest.raises(UnsafeArchive, match="refused member"):
        unpack(io.BytesIO(raw), into, limit_bytes=LIMIT)
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(into) and path != into.parent]
    assert not outside
    assert not list(into.iterdir()), "nothing of it is written"


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_broken_archives_are_called_so(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(BrokenArchive):
        unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)
    assert not list(tmp_path.iterdir()), "nothing of it is written"


TOO_LARGE = {
    "one file beyond the limit": bomb(LIMIT + 1),
    "many files beyond the limit": packed(*(entry(f"{n}", content=bytes(LIMIT // 4)) for n in range(5))),
    "a header that promises a terabyte": spoiled(GOOD, put(124, b"17777777777\0")),
}


@pytest.mark.parametrize("raw", TOO_LARGE.values(), ids=TOO_LARGE)
def test_more_than_the_limit_is_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match="unpacked size exceeds 1 MiB"):
        unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)
    assert not list(tmp_path.iterdir()), "nothing of it is written"


def test_a_bomb_within_the_limit_is_found_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match="more than 200 times"):
        unpack(io.BytesIO(bomb(64 << 20)), tmp_path, limit_bytes=1 << 30)


def test_members_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A16: each is valid, and none holds anything."""
    monkeypatch.setattr(unpack_module, "_FILES_MAX", 50)
    headers = [gzip.decompress(packed(entry(f"{n}", tarfile.DIRTYPE)))[:512] for n in range(60)]
    with pytest.raises(ArchiveTooLarge, match="more than 50 files and folders"):
        unpack(io.BytesIO(gzip.compress(b"".join(headers))), tmp_path, limit_bytes=LIMIT)


def test_paths_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_module, "_NAMES_BYTES_MAX", 1000)
    members = [entry("/".join([f"{n}"] * 50), tarfile.DIRTYPE) for n in range(10, 20)]
    with pytest.raises(ArchiveTooLarge, match="paths of its files exceed"):
        unpack(io.BytesIO(packed(*members)), tmp_path, limit_bytes=LIMIT)


def test_what_is_unpacked_is_described(tmp_path: Path) -> None:
    raw = packed(
        entry(".", tarfile.DIRTYPE),
        entry("a", content=b"x"),
        entry("d/", tarfile.DIRTYPE),
        entry("e/f/g", content=b"yy", mode=0o4777),  # its folders have no entries, and the mode is not ours
    )
    done = unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)
    assert done.size_bytes == 3
    assert done.tree.files == {
        "a": "sha256:" + hashlib.sha256(b"x").hexdigest(),
        "e/f/g": "sha256:" + hashlib.sha256(b"yy").hexdigest(),
    }
    assert set(done.tree.folders) == {".", "d", "e", "e/f"}
    assert (tmp_path / "e/f/g").read_bytes() == b"yy"
    assert (tmp_path / "e/f/g").stat().st_mode & 0o7777 == 0o400


def test_pax_paths_and_times_are_understood(tmp_path: Path) -> None:
    raw = packed(entry("ü" * 60, content=b"x", mtime=1.5), form=PAX)
    assert set(unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT).tree.files) == {"ü" * 60}


def test_members_can_be_read_without_a_folder() -> None:
    """What is not asked for is skipped, however large; modes are those of the header."""
    raw = io.BytesIO()
    write(
        [
            Member("bin", folder=True),
            Member("bin/run", folder=False, executable=True, read=b"#!/bin/sh".__bytes__),
            Member("large", folder=False, read=bytes(600_000).__bytes__),
            Member("z", folder=False, read=b"last".__bytes__),
        ],
        raw,
        limit_bytes=LIMIT,
    )
    raw.seek(0)
    seen = [
        (member.path, member.folder, member.executable, b"".join(pieces) if member.size < 100 else None)
        for member, pieces in read(raw, limit_bytes=LIMIT)
    ]
    assert seen == [
        (".", True, False, b""),
        ("bin", True, False, b""),
        ("bin/run", False, True, b"#!/bin/sh"),
        ("large", False, False, None),
        ("z", False, False, b"last"),
    ]


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_broken_archives_cannot_be_read_either(raw: bytes) -> None:
    with pytest.raises(BrokenArchive):
        list(read(io.BytesIO(raw), limit_bytes=LIMIT))
