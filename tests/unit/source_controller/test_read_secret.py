"""Which values of a Secret are masked wherever they would appear."""

import pytest

from source_controller.read_secret import secret_values

CASES: dict[str, tuple[dict[str, bytes], list[bytes]]] = {
    "a password": ({"username": b"user", "password": b"p"}, [b"p"]),
    "a token as a user": ({"username": b"token", "password": b""}, [b"token", b""]),
    "a token": ({"bearerToken": b"t"}, [b"t"]),
    "an SSH key": (
        {"identity": b"key", "identity.pub": b"pub", "known_hosts": b"hosts", "password": b"phrase"},
        [b"key", b"phrase"],
    ),
    "a client certificate": ({"ca.crt": b"ca", "tls.crt": b"crt", "tls.key": b"key"}, [b"key"]),
    "a proxy": ({"address": b"http://p", "username": b"u", "password": b"p"}, [b"p"]),
    "a GitHub App": ({"githubAppID": b"1", "githubAppPrivateKey": b"key"}, [b"key"]),
    "what we do not know": ({"other": b"x"}, [b"x"]),
    "nothing": ({}, []),
}


@pytest.mark.parametrize(("data", "masked"), CASES.values(), ids=CASES)
def test_what_is_masked(data: dict[str, bytes], masked: list[bytes]) -> None:
    assert list(secret_values(data)) == masked
