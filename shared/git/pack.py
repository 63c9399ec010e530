"""A look at a pack before anybody takes it in: how many objects, and how large they become.

A pack of a few KB can promise an object of gigabytes, or a chain of deltas that costs hours. Headers say
nearly all of it, and inflating is bounded by what they promise, so one pass with little memory tells. Only
the index knows where a base lies that a delta names by its id; `check_chains` asks it, before anybody reads.
Whether the objects are sound is the index's business. Source: gitformat-pack(5).
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Protocol

from shared.git.errors import RemoteError, TooLarge

_HEADER, _TRAILER = 12, 20
_OFS_DELTA, _REF_DELTA = 6, 7
_PIECE = 16 << 10
_DELTA_HEAD = 20  # bytes: two numbers of at most ten


@dataclass(frozen=True, slots=True)
class PackLimits:
    """What one pack may hold.

    Attributes:
        object_bytes: of one object, its deltas applied. The large hosts refuse files from 100 MB.
        delta_depth: git itself writes no longer chains.
    """

    objects: int = 2_000_000
    object_bytes: int = 128 << 20
    delta_depth: int = 4095


# Offset of a delta -> offset of its base, or the base's id of 20 bytes.
Bases = Mapping[int, int | bytes]


class _Read(Protocol):
    def __call__(self, size: int, /) -> bytes: ...


def inspect(pack: IO[bytes], limits: PackLimits) -> Bases:
    """Read the pack in `pack` from its beginning; return what its deltas are based on.

    Raises:
        TooLarge: beyond `limits`. RemoteError: not a pack, or not all of one.
    """
    pack.seek(0)
    source = _Source(pack.read)
    header = source.take(_HEADER)
    count = int.from_bytes(header[8:12])
    if header[:4] != b"PACK" or int.from_bytes(header[4:8]) not in (2, 3):
        raise RemoteError("the server's answer cannot be used: what it sends is no pack")
    if count > limits.objects:
        raise TooLarge(f"the server sends {count} objects for one commit, the limit is {limits.objects}")
    depths: dict[int, int] = {}  # offset of a delta -> length of its chain
    bases: dict[int, int | bytes] = {}
    for _ in range(count):
        offset = source.position
        kind, size = _object_header(source)
        depth = 0
        if kind == _OFS_DELTA:
            base = offset - _base_distance(source)
            depth = depths.get(base, 0) + 1
            bases[offset], depths[offset] = base, depth
        elif kind == _REF_DELTA:
            bases[offset] = source.take(20)
        if size > limits.object_bytes:
            raise _object_too_large(size, limits)
        if depth > limits.delta_depth:
            raise _chain_too_long(limits)
        head = _inflate(source, size)
        if kind in (_OFS_DELTA, _REF_DELTA):
            _check_delta(head, limits)
    source.take(_TRAILER)
    return bases


def check_chains(bases: Bases, offset_of: Callable[[bytes], int | None], limits: PackLimits) -> None:
    """Follow the chains of a pack to their ends, through bases that are named by their ids too.

    Args:
        bases: from `inspect`.
        offset_of: where the index says that an object lies in the pack; None: elsewhere.

    Raises:
        TooLarge: a chain beyond `limits`, or one that runs in a circle.
    """
    depths: dict[int | None, int] = {}
    for first in bases:
        chain: list[int] = []
        at: int | None = first
        while at is not None and at in bases and at not in depths:
            chain.append(at)
            if len(chain) > limits.delta_depth:
                raise _chain_too_long(limits)
            base = bases[at]
            at = base if isinstance(base, int) else offset_of(base)
        known = depths.get(at, 0)
        if known + len(chain) > limits.delta_depth:
            raise _chain_too_long(limits)
        depths.update((delta, depth) for depth, delta in enumerate(reversed(chain), known + 1))


class _Source:
    """The pack's bytes, with a few of them in hand."""

    def __init__(self, read: _Read) -> None:
        self._read = read
        self._held = b""
        self._at = 0
        self.position = 0

    def some(self) -> bytes:
        """What is in hand, at least a byte. It counts as read; `give_back` undoes that."""
        data = self._held[self._at :] or self._read(_PIECE)
        if not data:
            raise RemoteError("the server's answer cannot be used: the pack ends too early")
        self._held, self._at = b"", 0
        self.position += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        self._held, self._at = data, 0
        self.position -= len(data)

    def byte(self) -> int:
        if self._at >= len(self._held):
            data = self.some()
            self.give_back(data)
        self._at += 1
        self.position += 1
        return self._held[self._at - 1]

    def take(self, size: int) -> bytes:
        return bytes(self.byte() for _ in range(size))


def _object_header(source: _Source) -> tuple[int, int]:
    """Type and size: three bits and four, then seven a byte while the highest bit is set."""
    first = source.byte()
    kind, size, shift = first >> 4 & 7, first & 15, 4
    while first & 0x80:
        if shift > 60:
            raise RemoteError("the server's answer cannot be used: an object's size has no end")
        first = source.byte()
        size |= (first & 0x7F) << shift
        shift += 7
    return kind, size


def _base_distance(source: _Source) -> int:
    """How far before a delta its base begins."""
    byte = source.byte()
    distance = byte & 0x7F
    while byte & 0x80:
        if distance >> 56:
            raise RemoteError("the server's answer cannot be used: a delta's base has no end")
        byte = source.byte()
        distance = (distance + 1 << 7) | (byte & 0x7F)
    return distance


def _inflate(source: _Source, size: int) -> bytes:
    """Pass over one object's compressed bytes; return the beginning of what they hold."""
    inflater = zlib.decompressobj()
    head, left = b"", size
    while not inflater.eof:
        try:
            # One byte more than promised shows a promise that is not kept.
            data = inflater.decompress(source.some(), left + 1)
        except zlib.error as error:
            raise RemoteError(f"the server's answer cannot be used: an object is damaged: {error}") from error
        left -= len(data)
        if left < 0 or inflater.unconsumed_tail:
            raise RemoteError("the server's answer cannot be used: an object is longer than it says")
        if len(head) < _DELTA_HEAD:
            head += data[:_DELTA_HEAD]
    if left:
        raise RemoteError("the server's answer cannot be used: an object is shorter than it says")
    source.give_back(inflater.unused_data)
    return head[:_DELTA_HEAD]


def _check_delta(head: bytes, limits: PackLimits) -> None:
    numbers = _numbers(head)
    for _ in ("base", "result"):
        size = next(numbers, None)
        if size is None:
            raise RemoteError("the server's answer cannot be used: a delta without its sizes")
        if size > limits.object_bytes:
            raise _object_too_large(size, limits)


def _numbers(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0


def _chain_too_long(limits: PackLimits) -> TooLarge:
    return TooLarge(f"the server sends a chain of more than {limits.delta_depth} deltas")


def _object_too_large(size: int, limits: PackLimits) -> TooLarge:
    return TooLarge(
        f"an object of the repository has {size >> 20} MiB, the limit is {limits.object_bytes >> 20} MiB; "
        "take large files out of it"
    )
