"""Write an artifact: a gzipped tar that is the same bytes for the same tree.

Entries in lexical order (folder by folder, as a walk meets them) after the root entry ".", files and
folders only, USTAR headers without owner or time. A name that USTAR cannot hold (not ASCII, or too long to
split) gets a pax header with its path, as Go's writer does. Source: behaviour-source.md 1.6, "Archive
format".

The compressor is isal, pinned by the lock file: zlib and its forks compress differently, and it took 0.06 s
where zlib took 0.58. Its output depends on how its input is cut: a header is one piece, a content with its
padding is another, always.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from isal import isal_zlib

_BLOCK = 512
_FOLDER_MODE, _FILE_MODE, _EXECUTABLE_MODE = 0o750, 0o600, 0o700
_LEVEL = 2  # isal's own default: within a few percent of its best, at twice the speed
_GZIP_WINDOW = 31  # 15 bits of window, +16 for a gzip header, whose time stays zero
_SIZE_MAX = 8**11 - 1  # bytes, what 11 octal digits hold


class ArchiveError(Exception):
    """The tree cannot become an artifact; names what is too large."""


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Member:
    """An entry to write; `read` gives a file's content when its turn comes; not called for a folder."""

    path: str
    folder: bool
    executable: bool = False
    read: Callable[[], bytes] = bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A member as it stands in the archive, before compression; `body` is empty for a folder."""

    head: bytes
    body: bytes  # content and padding
    size_bytes: int  # of the content


def encode(member: Member) -> Block:
    """Raises: ArchiveError: too large for a header."""
    if member.folder:
        return Block(b"".join(_entry(member.path, b"5", _FOLDER_MODE, 0)), b"", 0)
    content = member.read()
    mode = _EXECUTABLE_MODE if member.executable else _FILE_MODE
    head = b"".join(_entry(member.path, b"0", mode, len(content)))
    return Block(head, content + _padding(len(content)), len(content))


def write(
    members: Iterable[Member],
    into: Sink,
    *,
    limit_bytes: int,
    encode: Callable[[Member], Block] = encode,
) -> int:
    """Write the archive; return the bytes of all files together.

    Args:
        members: in any order, without the root.
        encode: `encode`, or one that remembers what it gave before.
        limit_bytes: of all files together; consumers have the same limit (`--artifact-max-size`).

    Raises:
        ArchiveError: beyond `limit_bytes`. What `into` holds by then is to be thrown away.
    """
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    total = 0

    def put(data: bytes) -> None:
        out = compressor.compress(data)
        if out:  # it gathers 64 KiB and more before it gives something
            into.write(out)

    put(_header(".", b"5", _FOLDER_MODE, 0))
    for member in sorted(members, key=lambda member: member.path.split("/")):
        block = encode(member)
        total += block.size_bytes
        if total > limit_bytes:
            raise ArchiveError(
                f"the files together exceed {limit_bytes >> 20} MiB at '{member.path}'; "
                "leave files out with spec.ignore or raise --artifact-max-size"
            )
        put(block.head)
        if not member.folder:
            put(block.body)
    put(bytes(2 * _BLOCK))
    into.write(compressor.flush())
    return total


def _entry(path: str, kind: bytes, mode: int, size: int) -> Iterator[bytes]:
    split = _split(path)
    if split is None:
        record = _pax_record("path", path)
        folder, _, name = path.rpartition("/")
        # The name of a pax header is only for readers that know none; Go's choice, cut to fit.
        label = (
            f"{folder}/PaxHeaders.0/{name}".encode("ascii", "ignore").decode().lstrip("/")[:100].rstrip("/")
        )
        yield _header(label, b"x", 0, len(record))
        yield record + _padding(len(record))
        plain = path.encode("ascii", "ignore").decode()[:100].rstrip("/") or "_"
        yield _header(plain, kind, mode, size)
    else:
        prefix, name = split
        yield _header(name, kind, mode, size, prefix)


def _split(path: str) -> tuple[str, str] | None:
    """Prefix and name for a USTAR header (155 and 100 bytes); None if it cannot hold the path."""
    if not path.isascii():
        return None
    if len(path) <= 100:
        return "", path
    cut = path.rfind("/", 0, 156)
    if cut <= 0 or len(path) - cut - 1 > 100:
        return None
    return path[:cut], path[cut + 1 :]


def _header(name: str, kind: bytes, mode: int, size: int, prefix: str = "") -> bytes:
    """A USTAR header. Source: POSIX.1-2017 pax, "ustar Interchange Format"."""
    if size > _SIZE_MAX:
        raise ArchiveError(f"'{name}' has {size} bytes; an archive holds no file beyond 8 GiB")
    fields = b"".join(
        (
            name.encode("ascii").ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"%07o\0" % 0,  # owner
            b"%07o\0" % 0,  # group
            b"%011o\0" % size,
            b"%011o\0" % 0,  # time
            b" " * 8,  # the checksum counts itself as blanks
            kind,
            bytes(100),  # link target
            b"ustar\x0000",
            bytes(64),  # owner's and group's names
            b"%07o\0%07o\0" % (0, 0),  # device
            prefix.encode("ascii").ljust(155, b"\0"),
            bytes(12),
        )
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def _pax_record(key: str, value: str) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts its own digits."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
