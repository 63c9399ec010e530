"""Archives that a stranger made, and what makes them: one table for the reader and for the whole way."""

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping

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
    "a NUL in a pax path": packed(entry("a", content=b"x", pax_headers={"path": "a\0b"}), form=PAX),
    "a chain of links longer than any path": packed(
        *(entry("d" * 90 + f"/{n}", tarfile.SYMTYPE, linkname="d" * 99) for n in range(50)),
        entry("d" * 90 + "/49/../../x", content=b"x"),
    ),
    "two hundred and one folders": packed(entry("/".join(["d"] * 201), tarfile.DIRTYPE), form=PAX),
    "a link after honest files": packed(entry("a", content=b"x"), entry("b/c", content=b"y"), LINK),
}

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

# Nothing of a header but name, kind, size and content is taken over, so these modes refuse nothing.
STRIPPED = {
    "setuid": 0o4755,
    "setgid": 0o2755,
    "all three bits": 0o7777,
    "everybody may write": 0o666,
    "nobody may read": 0o000,
}


def with_mode(mode: int, files: Mapping[str, bytes]) -> bytes:
    """An archive of files, each in a folder of its own entry, all with this mode."""
    members = []
    for name, content in files.items():
        members += [entry(name.rpartition("/")[0], tarfile.DIRTYPE, mode=mode)]
        members += [entry(name, content=content, mode=mode)]
    return packed(*members)


def bomb(size: int) -> bytes:
    return packed(entry("zeros", content=bytes(size)))
