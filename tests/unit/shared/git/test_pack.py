"""Packs that a hostile server sends: what is refused before anything is made of them (A20)."""

import io
import os
from pathlib import Path

import pytest

from shared.git.errors import RemoteError, TooLarge
from shared.git.objects import Objects
from shared.git.pack import PackLimits, check_chains, inspect
from tests.harness.packs import (
    BLOB,
    OFS_DELTA,
    REF_DELTA,
    chain,
    chain_by_id,
    delta,
    object_id,
    pack,
    packed_object,
)

LIMITS = PackLimits(objects=50, object_bytes=1 << 20, delta_depth=10)


def inspected(raw: bytes) -> None:
    inspect(io.BytesIO(raw), LIMITS)


HONEST = {
    "nothing": pack(),
    "an empty file": pack(packed_object(BLOB, b"")),
    "large and small ones": pack(
        packed_object(BLOB, os.urandom(300_000)),
        packed_object(BLOB, b"x"),
        packed_object(BLOB, bytes(1 << 20)),
    ),
    "a chain within the limit": chain(10),
    "a delta of what we have": pack(packed_object(REF_DELTA, delta(9, 9), base=bytes(20))),
}


@pytest.mark.parametrize("raw", HONEST.values(), ids=HONEST)
def test_honest_packs_pass(raw: bytes) -> None:
    inspected(raw)


TOO_LARGE = {
    "a file beyond the limit": (
        pack(packed_object(BLOB, bytes((1 << 20) + 1))),
        "an object of the repository",
    ),
    "a file that promises 10 GiB": (pack(packed_object(BLOB, b"x", size=10 << 30)), "has 10240 MiB"),
    "a delta that makes 10 GiB": (
        pack(packed_object(REF_DELTA, delta(9, 10 << 30), base=bytes(20))),
        "has 10240 MiB",
    ),
    "a delta of 10 GiB": (
        pack(packed_object(REF_DELTA, delta(10 << 30, 9), base=bytes(20))),
        "has 10240 MiB",
    ),
    "a chain beyond the limit": (chain(11), "a chain of more than 10 deltas"),
    "more objects than the limit": (pack(count=51), "sends 51 objects"),
}


@pytest.mark.parametrize(("raw", "says"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_bombs_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(TooLarge, match=says):
        inspected(raw)


ONE = packed_object(BLOB, b"content")
BROKEN = {
    "no pack": b"<html>" + bytes(40),
    "another version": pack().replace(b"\0\0\0\2", b"\0\0\0\7"),
    "cut in the middle of an object": pack(ONE)[:18],
    "without its trailer": pack(ONE)[:-20],
    "fewer objects than it says": pack(ONE, count=9),
    "more in an object than it says": pack(packed_object(BLOB, bytes(5000), size=100)),
    "less in an object than it says": pack(packed_object(BLOB, b"x", size=100)),
    "an object that is no zlib stream": pack(bytes([BLOB << 4 | 5]) + b"noise" * 9),
    "a size without end": pack(b"\xb5" + b"\xff" * 30),
    "a base without end": pack(bytes([OFS_DELTA << 4 | 1]) + b"\xff" * 30),
    "a delta without sizes": pack(packed_object(REF_DELTA, b"", base=bytes(20))),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_broken_packs_are_called_so(raw: bytes) -> None:
    with pytest.raises(RemoteError, match="cannot be used: "):
        inspected(raw)


def test_a_chain_by_ids_is_followed(tmp_path: Path) -> None:
    """Where a base lies that a delta names by its id, only the index says."""
    Objects(tmp_path / "short", LIMITS).add_pack(io.BytesIO(chain_by_id(10)))
    long = Objects(tmp_path / "long", LIMITS)
    honest = object_id(BLOB, b"content").hex()
    long.add_pack(io.BytesIO(pack(packed_object(BLOB, b"content"))))
    with pytest.raises(TooLarge, match="a chain of more than 10 deltas"):
        long.add_pack(io.BytesIO(chain_by_id(11)))
    assert object_id(BLOB, b"x").hex() not in long, "nobody reads what was indexed"
    assert long.read(honest) == (BLOB, b"content")
    assert len([path for path in (tmp_path / "long").rglob("*") if path.is_file()]) == 2
    long.close()


CHAINS: dict[str, tuple[dict[int, int | bytes], bool]] = {
    # bases of deltas by offset, b"n" being the id of what lies at n; and whether they are too long
    "by both ways": ({n: (n - 1 if n % 2 else b"%d" % (n - 1)) for n in range(1, 12)}, True),
    "just not": ({n: (n - 1 if n % 2 else b"%d" % (n - 1)) for n in range(1, 11)}, False),
    "the end before the beginning": ({n: b"%d" % (n + 1) for n in range(1, 12)}, True),
    "many of one base": (dict.fromkeys(range(1, 40), b"0"), False),
    "of what lies elsewhere": (dict.fromkeys(range(1, 40), b"elsewhere"), False),
    "a circle": ({1: b"2", 2: b"1"}, True),
}


@pytest.mark.parametrize(("bases", "too_long"), CHAINS.values(), ids=CHAINS)
def test_which_chains_are_too_long(bases: dict[int, int | bytes], too_long: bool) -> None:
    def offset_of(name: bytes) -> int | None:
        return int(name) if name.isdigit() else None

    if not too_long:
        check_chains(bases, offset_of, LIMITS)
        return
    with pytest.raises(TooLarge, match="a chain of more than 10 deltas"):
        check_chains(bases, offset_of, LIMITS)
