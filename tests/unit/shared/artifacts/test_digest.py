"""Digests: the algorithms of the contract, against vectors that others published."""

import io

import pytest

from shared.artifacts.digest import ALGORITHMS, Digester, DigestError, digest_file, digester_for

# "abc": FIPS 180-4's examples, and BLAKE3's reference implementation.
OF_ABC = {
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha384": (
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    ),
    "sha512": (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
    "blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_abc(algorithm: str) -> None:
    digester = digest_file(io.BytesIO(b"abc"), algorithm)
    assert digester.digest == f"{algorithm}:{OF_ABC[algorithm]}"
    assert digester.size_bytes == 3
    checker = digester_for(digester.digest)
    checker.update(b"a")
    assert not checker.matches(digester.digest)
    checker.update(b"bc")
    assert checker.matches(digester.digest)


REFUSED = {
    "no algorithm": ("6437b3ac", "of the form algorithm:hex"),
    "one that nobody should use": (
        "md5:900150983cd24fb0d6963f7d28e17f72",
        "unknown digest algorithm 'md5'; use one",
    ),
}


@pytest.mark.parametrize(("digest", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(digest: str, why: str) -> None:
    with pytest.raises(DigestError, match=why):
        digester_for(digest)


def test_only_known_algorithms_begin() -> None:
    with pytest.raises(DigestError, match="use one of sha256, sha1, sha384, sha512, blake3"):
        Digester("md5")
