"""Which SSH algorithms are used, whatever an operator writes; and that the library knows all of them."""

import socket
from typing import cast

import paramiko
import pytest

from shared.git.algorithms import CHECKSUMS, CIPHERS, KEY_EXCHANGES, Algorithms

ED, RSA = "ssh-ed25519", "ssh-rsa"
HOST_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # allowed, types of the known keys, used
    "one known key": ((), (ED,), ("ssh-ed25519",)),
    "never SHA-1": ((), (RSA,), ("rsa-sha2-512", "rsa-sha2-256")),
    "not even if it is asked for": (("ssh-rsa", "ssh-dss"), (RSA,), ()),
    "an order of preference": (("rsa-sha2-256", "ssh-ed25519"), (ED, RSA), ("rsa-sha2-256", "ssh-ed25519")),
    "a known key that is not allowed": (("ssh-ed25519",), (RSA,), ()),
    "no known key": (("ssh-ed25519",), (), ("ssh-ed25519",)),
}


@pytest.mark.parametrize(("allowed", "types", "used"), HOST_KEYS.values(), ids=HOST_KEYS)
def test_host_keys(allowed: tuple[str, ...], types: tuple[str, ...], used: tuple[str, ...]) -> None:
    assert Algorithms(host_keys=allowed).usable_host_keys(types) == used


EXCHANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none named": ((), KEY_EXCHANGES),
    "the RFC's name of libssh's": (("curve25519-sha256",), ("curve25519-sha256@libssh.org",)),
    "both names": (
        ("curve25519-sha256@libssh.org", "curve25519-sha256"),
        ("curve25519-sha256@libssh.org",),
    ),
    "one that is too weak": (
        ("diffie-hellman-group14-sha1", "ecdh-sha2-nistp256"),
        ("ecdh-sha2-nistp256",),
    ),
    "only weak ones": (("diffie-hellman-group1-sha1",), ()),
}


@pytest.mark.parametrize(("allowed", "used"), EXCHANGES.values(), ids=EXCHANGES)
def test_key_exchanges(allowed: tuple[str, ...], used: tuple[str, ...]) -> None:
    assert Algorithms(key_exchanges=allowed).usable_key_exchanges() == used


def test_the_library_speaks_all_of_them() -> None:
    options = paramiko.SecurityOptions(paramiko.Transport(cast("socket.socket", _Nobody())))
    options.kex, options.ciphers, options.digests = KEY_EXCHANGES, CIPHERS, CHECKSUMS
    options.key_types = Algorithms().usable_host_keys(())
    assert options.kex == KEY_EXCHANGES


class _Nobody:
    """A connection that is never used."""

    def settimeout(self, seconds: float) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
