"""Read an artifact that a stranger chose.

The standard library's tar filters were bypassed more than once (reliability.md A15), so this is a reader of
our own for the little that an artifact is: USTAR headers, pax headers with a path, regular files and
folders. Everything else refuses the whole archive. No link is ever made, so a path that is safe as text is
safe on disk.

An archive is inflated twice: once to check all of it, and then, if there is nothing to refuse, to write. So
a refused one leaves nothing on disk, and a bomb costs no room there. To inflate takes a hundredth of the time
of making the files.

Memory stays flat: the output is counted while it is inflated, in pieces, and headers are not believed.

To make a file costs the kernel 0.1 to 0.5 ms, and most files of a revision were in the one before. So a file
whose bytes lie in an earlier folder (`Written`) becomes a second name of that file.
"""

import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from isal import isal_zlib
from isal.igzip_lib import IsalError

from shared.artifacts.tree import Tree

_BLOCK = 512
_PIECE = 1 << 18
_GZIP_WINDOW = 31
_FILES_MAX = 100_000  # files and folders; as many as a source archives
_RATIO_MAX = 200  # of output to input; honest YAML stays below 50 (measured on repetitive CRDs)
_RATIO_FROM = 8 << 20  # bytes of output before the ratio counts: small archives are mostly zeros
_PAX_MAX = 64 << 10  # bytes of a pax header; PATH_MAX is 4 KiB
_PAX_TIMES = ("mtime", "atime", "ctime")
_OCTAL = re.compile(rb"[0-7]{1,12}")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PAX_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]+)=")
_PATH_BYTES_MAX = 4096
_NAME_BYTES_MAX = 255
_DEPTH_MAX = 200  # nested folders; as deep as a source archives
_NAMES_BYTES_MAX = 16 << 20  # of all paths together: 100,000 of 160 bytes
_WRITTEN_BYTES = 32 << 20  # 80,000 files
_WRITTEN_FILE_BYTES = 300  # of Python's objects for one file, without the text of its path


class UnpackError(Exception):
    """The archive is refused."""


class UnsafeArchive(UnpackError):
    """Names the member and what is wrong with it."""


class ArchiveTooLarge(UnpackError):
    """Beyond a limit of bytes, files or ratio."""


class BrokenArchive(UnpackError):
    """Not a gzipped tar, or not all of one."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    size_bytes: int  # of all files together
    tree: Tree


class Written:
    """Which bytes lie where, after earlier archives: digest -> file, within `limit_bytes`.

    For folders of one file system that nobody writes to once they are filled, and whose names never return.
    They may be removed at any time. What a file holds is known by its SHA-256, so it does not matter
    whose archive brought it.
    """

    def __init__(self, limit_bytes: int = _WRITTEN_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._paths: dict[str, str] = {}  # the least recent first
        self.size_bytes = 0

    def link(self, digest: str, path: str) -> bool:
        """Make `path` a name of the file with these bytes, if there is one."""
        earlier = self._paths.get(digest)
        if earlier is None:
            return False
        try:
            os.link(earlier, path)
        except OSError:  # gone, or it has as many names as the file system allows, or knows no links: write
            return False
        return True

    def add(self, folder: Path, files: Mapping[str, str]) -> None:
        """Remember the files (name -> digest) of a filled folder."""
        for name, digest in files.items():
            path = f"{folder}/{name}"
            before = self._paths.pop(digest, None)
            self._paths[digest] = path
            self.size_bytes += _size(path) - (_size(before) if before is not None else 0)
        while self.size_bytes > self._limit_bytes:
            self.size_bytes -= _size(self._paths.pop(next(iter(self._paths))))


def _size(path: str) -> int:
    return _WRITTEN_FILE_BYTES + len(path)


def unpack(archive: BinaryIO, into: Path, *, limit_bytes: int, written: Written | None = None) -> Unpacked:
    """Unpack a gzipped tar below `into`; return what was written.

    Files and folders only. A link, a device or a name that leaves `into` refuses the whole archive, since
    whoever can push to a tenant's repository chose its content.

    Args:
        archive: seekable.
        into: an existing, empty folder. It stays empty when the archive is refused; after any other failure
            its content is undefined.
        limit_bytes: of all files together.
        written: what earlier calls wrote; this one is added when all went well.

    Raises:
        UnsafeArchive: names the member and what is wrong with it.
        ArchiveTooLarge: beyond `limit_bytes`, or more files or a higher ratio than any honest archive has.
        BrokenArchive: the bytes are no gzipped tar, or end too early.

    Source: POSIX.1-2017 pax, "ustar Interchange Format"; the contract, behaviour-source.md 1.6.
    """
    start = archive.tell()
    layout = _check(archive, limit_bytes)
    archive.seek(start)
    written = written or Written(0)
    files = _write(layout, _Inflated(archive, limit_bytes), into, written)
    written.add(into, files)
    return Unpacked(layout.size_bytes, Tree.of(files, layout.folders))


def read(archive: BinaryIO, *, limit_bytes: int) -> Iterator[tuple["Member", Iterator[bytes]]]:
    """The members of an artifact one after the other, for who wants no files on a disk.

    Content that is not read before the next member is asked for is skipped.

    Args:
        limit_bytes: of all files together.

    Raises:
        UnsafeArchive, ArchiveTooLarge, BrokenArchive: as for `unpack`, but that a name may return.
    """
    stream = _Inflated(archive, limit_bytes)
    for member in _members(stream):
        pieces = stream.pieces(member.size)
        yield member, pieces
        for _ in pieces:
            pass


class _Inflated:
    """The decompressed stream, read in exact amounts."""

    def __init__(self, source: BinaryIO, limit_bytes: int) -> None:
        self._source = source
        self._inflater = isal_zlib.decompressobj(_GZIP_WINDOW)
        self._buffer = bytearray()
        self._pending = b""
        self._read = 0
        self._written = 0
        self.position = 0  # of the next byte to be given out
        # Headers and padding come on top of the files; every member costs at most four blocks of them.
        self._limit = limit_bytes + _FILES_MAX * 4 * _BLOCK
        self._limit_bytes = limit_bytes

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._fill():
                raise BrokenArchive("the archive ends in the middle of a member; it is fetched again")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.position += size
        return data

    def skip(self, size: int) -> None:
        while size:
            if not self._buffer and not self._fill():
                raise BrokenArchive("the archive ends in the middle of a member; it is fetched again")
            step = min(size, len(self._buffer))
            del self._buffer[:step]
            self.position += step
            size -= step

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.exactly(min(size, _PIECE))
            size -= len(piece)
            yield piece

    def _fill(self) -> bool:
        if self._inflater.eof:
            return False
        if not self._pending:
            self._pending = self._source.read(_PIECE)
            self._read += len(self._pending)
        last = not self._pending
        try:
            # Without input too: it may still hold output that did not fit into the last piece.
            piece = self._inflater.decompress(self._pending, _PIECE)
        except IsalError as error:  # type: ignore[misc]  # the stubs call it an instance
            raise BrokenArchive(f"not a gzip archive: {error}") from error
        self._pending = self._inflater.unconsumed_tail
        if last and not piece:
            return False
        self._written += len(piece)
        if self._written > self._limit:
            raise ArchiveTooLarge(_too_large(self._limit_bytes))
        if self._written > _RATIO_FROM and self._written > _RATIO_MAX * self._read:
            raise ArchiveTooLarge(f"unpacked size is more than {_RATIO_MAX} times the archive's")
        self._buffer += piece
        return True


class Member(NamedTuple):
    path: str  # "." for the root
    folder: bool
    size: int
    mode: bytes  # octal, as it stands in the header

    @property
    def executable(self) -> bool:
        digits = self.mode.strip(b"\0 ")
        return not self.folder and bool(_OCTAL.fullmatch(digits)) and bool(int(digits, 8) & 0o111)


def _members(stream: _Inflated) -> Iterator[Member]:
    """Each member in turn; a file's content must be read before the next one is asked for."""
    override: str | None = None
    for _ in range(2 * _FILES_MAX + 1):  # a pax header counts too
        header = stream.exactly(_BLOCK)
        if not any(header):
            return
        _check_header(header)
        kind = header[156:157]
        name = _text(header[:100], "name")
        prefix = _text(header[345:500], "name") if header[345] else ""
        size = _header_size(header, name)
        if kind == b"x":
            override = _pax_path(stream, name, size)
            continue
        if kind == b"g":  # global pax headers are comments in Git's own archives
            raise UnsafeArchive(f"refused member '{_shown(name)}': a global pax header")
        raw = override if override is not None else (f"{prefix}/{name}" if prefix else name)
        override = None
        folder = kind == b"5"
        if kind not in (b"0", b"\0", b"5"):
            raise UnsafeArchive(
                f"refused member '{_shown(raw)}': {_KINDS.get(kind, 'unknown kind of member')}"
            )
        if folder and size:
            raise UnsafeArchive(f"refused member '{_shown(raw)}': a folder with content")
        yield Member(_safe(raw, folder), folder, size, header[100:108])
        if size % _BLOCK:
            stream.exactly(-size % _BLOCK)
    raise ArchiveTooLarge(f"more than {_FILES_MAX} files and folders")


_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a GNU sparse file",
}


@dataclass(slots=True)
class _Layout:
    """What an archive would make: checked member by member, nothing is written."""

    limit_bytes: int
    size_bytes: int = 0
    names_bytes: int = 0
    files: dict[str, tuple[int, int]] = field(default_factory=dict)  # path -> where its content is, and size
    folders: dict[str, None] = field(default_factory=dict)  # parents first
    entries: set[str] = field(default_factory=set)  # folders that have a member of their own

    def add_folder(self, path: str) -> None:
        if path in self.entries:
            raise UnsafeArchive(f"refused member '{_shown(path)}': it is there twice")
        self.entries.add(path)
        if path != ".":
            self._add_with_parents(path)

    def add_file(self, path: str, position: int, size: int) -> None:
        if path in self.files or path in self.folders or path == ".":
            raise UnsafeArchive(f"refused member '{_shown(path)}': it is there twice")
        self.size_bytes += size
        if self.size_bytes > self.limit_bytes:
            raise ArchiveTooLarge(_too_large(self.limit_bytes))
        folder = path.rpartition("/")[0]
        if folder and folder not in self.folders:
            self._add_with_parents(folder)  # a file can be in an artifact without its folder's entry
        self._count(path)
        self.files[path] = (position, size)

    def _add_with_parents(self, path: str) -> None:
        if path in self.files:
            raise UnsafeArchive(f"refused member '{_shown(path)}': both a file and a folder")
        names = path.split("/")
        if len(names) > _DEPTH_MAX:
            raise UnsafeArchive(f"refused member '{_shown(path)}': nested deeper than {_DEPTH_MAX} folders")
        for depth in range(1, len(names) + 1):
            folder = "/".join(names[:depth])
            if folder in self.files:
                raise UnsafeArchive(f"refused member '{_shown(path)}': below a file")
            if folder not in self.folders:
                self._count(folder)
                self.folders[folder] = None

    def _count(self, path: str) -> None:
        if len(self.files) + len(self.folders) >= _FILES_MAX:
            raise ArchiveTooLarge(f"more than {_FILES_MAX} files and folders")
        self.names_bytes += len(path)
        if self.names_bytes > _NAMES_BYTES_MAX:
            raise ArchiveTooLarge(f"the paths of its files exceed {_NAMES_BYTES_MAX >> 20} MiB together")


def _check(archive: BinaryIO, limit_bytes: int) -> _Layout:
    """Read the whole archive. Raises as `unpack` does."""
    stream = _Inflated(archive, limit_bytes)
    layout = _Layout(limit_bytes)
    for member in _members(stream):
        if member.folder:
            layout.add_folder(member.path)
        else:
            layout.add_file(member.path, stream.position, member.size)
            stream.skip(member.size)
    return layout


def _write(layout: _Layout, stream: _Inflated, into: Path, written: Written) -> dict[str, str]:
    """Fill `into` with what was checked; return the digest of each file."""
    for folder in layout.folders:
        os.mkdir(f"{into}/{folder}", 0o700)  # noqa: PTH102 (Path objects cost more than it)
    digests = {}
    for path, (position, size) in layout.files.items():
        stream.skip(position - stream.position)
        digests[path] = _write_one(f"{into}/{path}", stream, size, written)
    return digests


def _write_one(place: str, stream: _Inflated, size: int, written: Written) -> str:
    if size <= _PIECE:
        content = stream.exactly(size)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if not written.link(digest, place):
            _write_file(place, iter((content,)))
        return digest
    hashed = hashlib.sha256()
    _write_file(place, _through(hashed, stream.pieces(size)))
    return "sha256:" + hashed.hexdigest()


def _through(hashed: "hashlib._Hash", pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        hashed.update(piece)
        yield piece


def _write_file(path: str, pieces: Iterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    try:
        for piece in pieces:
            _write_all(descriptor, piece)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _check_header(header: bytes) -> None:
    if header[257:262] != b"ustar":
        raise BrokenArchive("not a tar archive, or damaged")
    digits = header[148:156].strip(b"\0 ")
    if not _OCTAL.fullmatch(digits) or int(digits, 8) != _checksum(header):
        raise BrokenArchive("a tar header does not match its checksum")


def _checksum(header: bytes) -> int:
    """The sum of a header's bytes, its own digits counted as blanks.

    Adler-32 keeps the sum of all bytes, plus 1, in its lower half, modulo 65521: exact for up to 256 bytes,
    and ten times as fast as `sum`.
    """
    halves = (zlib.adler32(header[:256]) & 0xFFFF) + (zlib.adler32(header[256:]) & 0xFFFF) - 2
    return halves - sum(header[148:156]) + 8 * ord(" ")


def _header_size(header: bytes, name: str) -> int:
    digits = header[124:136].strip(b"\0 ") or b"0"
    if not _OCTAL.fullmatch(digits):
        raise UnsafeArchive(f"refused member '{_shown(name)}': its size is not a plain octal number")
    return int(digits, 8)


def _pax_path(stream: _Inflated, name: str, size: int) -> str | None:
    """The path in a pax header; times are ignored, anything else refuses the archive."""
    if size > _PAX_MAX:
        raise UnsafeArchive(f"refused member '{_shown(name)}': a pax header of {size} bytes")
    data = stream.exactly(size)
    stream.exactly(-size % _BLOCK)
    path: str | None = None
    while data:
        match = _PAX_RECORD.match(data)
        length = int(match[1]) if match else 0
        if match is None or length <= match.end() or length > len(data) or data[length - 1 : length] != b"\n":
            raise UnsafeArchive(f"refused member '{_shown(name)}': a malformed pax header")
        key, value = match[2].decode("utf-8", "replace"), data[match.end() : length - 1]
        data = data[length:]
        if key == "path":
            path = _text(value, "path", whole=True)
        elif key not in _PAX_TIMES:
            raise UnsafeArchive(f"refused member '{_shown(name)}': pax record '{_shown(key)}'")
    return path


def _safe(raw: str, folder: bool) -> str:
    """The path below the root, "." for the root itself."""
    if len(raw) <= _NAME_BYTES_MAX and _PLAIN.fullmatch(raw):
        return raw  # nearly all of them
    path = raw.removesuffix("/") if folder else raw
    if path == "." and folder:
        return "."
    names = path.removeprefix("./").split("/")
    if len(path.encode()) > _PATH_BYTES_MAX or any(len(name.encode()) > _NAME_BYTES_MAX for name in names):
        raise UnsafeArchive(f"refused member '{_shown(raw)}': the name is too long")
    if raw.startswith("/"):
        raise UnsafeArchive(f"refused member '{_shown(raw)}': an absolute path")
    if any(name in ("", ".", "..") for name in names):
        raise UnsafeArchive(f"refused member '{_shown(raw)}': the path is not a plain one below the root")
    if _CONTROL.search(path):
        raise UnsafeArchive(f"refused member '{_shown(raw)}': a control character in the name")
    return "/".join(names)


def _text(raw: bytes, what: str, *, whole: bool = False) -> str:
    data = raw if whole else raw.partition(b"\0")[0]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnsafeArchive(f"refused member {data[:80]!r}: its {what} is not UTF-8") from None
    if "\0" in text:
        raise UnsafeArchive(f"refused member '{_shown(text)}': a NUL in its {what}")
    return text


def _shown(name: str) -> str:
    return name[:120].encode("unicode_escape").decode()


def _too_large(limit_bytes: int) -> str:
    return f"unpacked size exceeds {limit_bytes >> 20} MiB; raise --artifact-max-size or leave files out"
