"""Archives that a stranger made: what is refused, and that nothing leaves the folder (A15, A16, A17)."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.artifacts import unpack as unpack_module
from shared.artifacts.unpack import ArchiveTooLarge, BrokenArchive, UnsafeArchive, unpack

LIMIT = 1 << 20


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def packed(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


def spoiled(raw: bytes, change: Callable[[bytearray], None], *, repair: bool = True) -> bytes:
    """The archive with its first header changed, and the checksum repaired."""
    tar = bytearray(gzip.decompress(raw))
    change(tar)
    if repair:
        tar[148:156] = b" " * 8
        tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return gzip.compress(bytes(tar))


def put(offset: int, data: bytes) -> Callable[[bytearray], None]:
    def change(tar: bytearray) -> None:
        tar[offset : offset + len(data)] = data

    return change


LINK = entry("l", tarfile.SYMTYPE, linkname="..")
GOOD = packed(entry("a", content=b"x"))
PAX = tarfile.PAX_FORMAT
HOSTILE = {
    "a parent": packed(entry("../x", content=b"x")),
    "an absolute path": packed(entry("/abs", content=b"x")),
    "a parent in the middle": packed(entry("a/../../x", content=b"x")),
    "a parent behind a dot": packed(entry("./..", tarfile.DIRTYPE)),
    "a symbolic link": packed(LINK),
    "a link and then through it": packed(LINK, entry("l/x", content=b"x")),
    "a hard link": packed(entry("h", tarfile.LNKTYPE, linkname="/etc/passwd")),
    "a device": packed(entry("d", tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "a block device": packed(entry("d", tarfile.BLKTYPE)),
    "a named pipe": packed(entry("p", tarfile.FIFOTYPE)),
    "a GNU long name": packed(entry("x" * 300, content=b"x"), form=tarfile.GNU_FORMAT),
    "a GNU sparse file": spoiled(GOOD, put(156, b"S")),
    "a pax path that leaves": packed(entry("a", content=b"x", pax_headers={"path": "../x"}), form=PAX),
    "a pax size": packed(entry("a", content=b"x", pax_headers={"size": "-1"}), form=PAX),
    "a pax link": packed(entry("a", content=b"x", pax_headers={"linkpath": "/etc/passwd"}), form=PAX),
    "a pax sparse map": packed(entry("a", content=b"x", pax_headers={"GNU.sparse.name": "b"}), form=PAX),
    "the same file twice": packed(entry("a", content=b"x"), entry("a", content=b"y")),
    "the same file twice, spelled otherwise": packed(entry("a", content=b"x"), entry("./a", content=b"y")),
    "the same folder twice": packed(entry("a", tarfile.DIRTYPE), entry("a/", tarfile.DIRTYPE)),
    "a file and then a folder": packed(entry("a", content=b"x"), entry("a", tarfile.DIRTYPE)),
    "a folder and then a file": packed(entry("a", tarfile.DIRTYPE), entry("a", content=b"x")),
    "below a file": packed(entry("a", content=b"x"), entry("a/b", content=b"y")),
    "an empty name": packed(entry("", content=b"x")),
    "a file called dot": packed(entry(".", content=b"x")),
    "a control character": packed(entry("a\nb", content=b"x")),
    "a name that is not UTF-8": spoiled(GOOD, put(0, b"\xff\xfe")),
    "a name of 300 bytes": packed(entry("ü" * 150, content=b"x"), form=PAX),
    "a path of 5,000 bytes": packed(entry("/".join(["d"] * 2500), content=b"x"), form=PAX),
    "a negative size": spoiled(GOOD, put(124, b"\xff" * 12)),
    "a size that is no number": spoiled(GOOD, put(124, b"00000000-1\0\0")),
    "a folder with content": spoiled(packed(entry("a", content=b"x" * 600)), put(156, b"5")),
    "a global pax header": spoiled(GOOD, put(156, b"g")),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(raw: bytes, tmp_path: Path) -> None:
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    with pytest.raises(UnsafeArchive, match="refused member"):
        unpack(io.BytesIO(raw), into, limit_bytes=LIMIT)
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(into) and path != into.parent]
    assert not outside
    assert not [path for path in into.rglob("*") if path.is_symlink()]


BROKEN = {
    "not gzip": b"PK\x03\x04" + bytes(600),
    "nothing": b"",
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "gzip of nothing": gzip.compress(b""),
    "gzip of noise": gzip.compress(b"\x01" * 1024),
    "gzip in gzip": gzip.compress(GOOD + bytes(1024)),
    "a wrong checksum": spoiled(GOOD, put(0, b"b"), repair=False),
    "content that is missing": gzip.compress(gzip.decompress(GOOD)[:512]),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_broken_archives_are_called_so(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(BrokenArchive):
        unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)


def bomb(size: int) -> bytes:
    return packed(entry("zeros", content=bytes(size)))


TOO_LARGE = {
    "one file beyond the limit": bomb(LIMIT + 1),
    "many files beyond the limit": packed(*(entry(f"{n}", content=bytes(LIMIT // 4)) for n in range(5))),
    "a header that promises a terabyte": spoiled(GOOD, put(124, b"17777777777\0")),
}


@pytest.mark.parametrize("raw", TOO_LARGE.values(), ids=TOO_LARGE)
def test_more_than_the_limit_is_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match="unpacked size exceeds 1 MiB"):
        unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)


def test_a_bomb_within_the_limit_is_found_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match="more than 200 times"):
        unpack(io.BytesIO(bomb(64 << 20)), tmp_path, limit_bytes=1 << 30)


def test_members_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A16: each is valid, and none holds anything."""
    monkeypatch.setattr(unpack_module, "_FILES_MAX", 50)
    headers = [gzip.decompress(packed(entry(f"{n}", tarfile.DIRTYPE)))[:512] for n in range(60)]
    with pytest.raises(ArchiveTooLarge, match="more than 50 files and folders"):
        unpack(io.BytesIO(gzip.compress(b"".join(headers))), tmp_path, limit_bytes=LIMIT)


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
