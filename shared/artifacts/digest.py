"""Digests of bytes that we hold and check: "<algorithm>:<hex>"."""

import hashlib
import hmac
from typing import IO

from blake3 import blake3

ALGORITHMS = ("sha256", "sha1", "sha384", "sha512", "blake3")  # behaviour-source.md, --artifact-digest-algo
_CHUNK = 1 << 20  # bytes; hashlib lets other threads run while it digests one


class DigestError(ValueError):
    """The text is no digest, or its algorithm is unknown."""


class Digester:
    """Counts and digests what passes through."""

    def __init__(self, algorithm: str = "sha256") -> None:
        """Raises: DigestError: the algorithm is not one of `ALGORITHMS`."""
        if algorithm not in ALGORITHMS:
            raise DigestError(f"unknown digest algorithm '{algorithm}'; use one of {', '.join(ALGORITHMS)}")
        self._algorithm = algorithm
        self._hash = blake3() if algorithm == "blake3" else hashlib.new(algorithm, usedforsecurity=False)
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        self._hash.update(data)
        self.size_bytes += len(data)

    @property
    def digest(self) -> str:
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def matches(self, digest: str) -> bool:
        return hmac.compare_digest(self.digest, digest)


def digester_for(digest: str) -> Digester:
    """A digester of the algorithm that `digest` names.

    Raises:
        DigestError: it names none that we know.
    """
    algorithm, colon, _ = digest.partition(":")
    if not colon:
        raise DigestError(f"'{digest[:100]}' is not a digest of the form algorithm:hex")
    return Digester(algorithm)


def digest_file(file: IO[bytes], algorithm: str) -> Digester:
    """Digest an open file to its end."""
    digester = Digester(algorithm)
    while chunk := file.read(_CHUNK):
        digester.update(chunk)
    return digester
