"""Packs byte by byte, as no honest tool writes them. Source: gitformat-pack(5)."""

import hashlib
import zlib

COMMIT, TREE, BLOB, OFS_DELTA, REF_DELTA = 1, 2, 3, 6, 7
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >> 7:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def packed_object(kind: int, content: bytes, *, size: int | None = None, base: bytes = b"") -> bytes:
    size = len(content) if size is None else size
    first, rest = kind << 4 | size & 15, size >> 4
    head = bytes([first | 0x80]) + varint(rest) if rest else bytes([first])
    return head + base + zlib.compress(content, 1)


def pack(*objects: bytes, count: int | None = None) -> bytes:
    body = b"PACK" + (2).to_bytes(4) + (len(objects) if count is None else count).to_bytes(4)
    body += b"".join(objects)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def delta(base_size: int, result_size: int) -> bytes:
    return varint(base_size) + varint(result_size) + b"\x90" + bytes([base_size & 0xFF])


def distance(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def chain(length: int) -> bytes:
    """A blob, and deltas of which each is based on the one before."""
    objects = [packed_object(BLOB, b"x" * 9)]
    for _ in range(length):
        objects.append(packed_object(OFS_DELTA, delta(9, 9), base=distance(len(objects[-1]))))
    return pack(*objects)


def chain_by_id(length: int) -> bytes:
    """The same, each delta naming its base by its id: a copy of it and a byte more."""
    content = b"x"
    objects = [packed_object(BLOB, content)]
    for _ in range(length):
        longer = varint(len(content)) + varint(len(content) + 1)
        longer += b"\xb0" + len(content).to_bytes(2, "little") + b"\1x"
        objects.append(packed_object(REF_DELTA, longer, base=object_id(BLOB, content)))
        content += b"x"
    return pack(*objects)


def object_id(kind: int, content: bytes) -> bytes:
    """The 20 bytes by which Git knows it."""
    head = b"%s %d\0" % (_NAMES[kind], len(content))
    return hashlib.sha1(head + content, usedforsecurity=False).digest()
