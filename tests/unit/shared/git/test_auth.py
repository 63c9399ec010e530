"""From a Secret's data to credentials: which keys count, what is refused, and that nothing prints one."""

import msgspec
import pytest

from shared.git.auth import Basic, Bearer, Credentials, Ssh, Tls, target
from shared.git.errors import (
    AuthContradicts,
    AuthError,
    GitError,
    InvalidUrl,
    PassphraseMissing,
    quoted,
    shown,
)
from shared.git.proxy import Proxy

URL = "https://git.example/a/b.git"
LOCKED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
ACCEPTED: dict[str, tuple[str, dict[str, bytes] | None, Credentials]] = {
    "no secret": (URL, None, Credentials()),
    "an empty secret": (URL, {}, Credentials()),
    "user and password": (URL, {"username": b"u", "password": b"p"}, Credentials(Basic("u", "p"))),
    "a newline at the end": (URL, {"username": b"u\n", "password": b"p\n"}, Credentials(Basic("u", "p"))),
    "a user alone": (URL, {"username": b"u"}, Credentials(Basic("u", ""))),
    "a token": (URL, {"bearerToken": b"t\n"}, Credentials(Bearer("t"))),
    "a token wins": (
        URL,
        {"bearerToken": b"t", "username": b"u", "password": b"p"},
        Credentials(Bearer("t")),
    ),
    "user part of the URL": ("https://u:p%40@git.example/a/b.git", None, Credentials(Basic("u", "p@"))),
    "the secret beats the URL": (
        "https://x:y@git.example/a/b.git",
        {"username": b"u", "password": b"p"},
        Credentials(Basic("u", "p")),
    ),
    "an authority": (URL, {"ca.crt": b"CA"}, Credentials(None, Tls("CA"))),
    "an authority under its old key": (URL, {"caFile": b"CA"}, Credentials(None, Tls("CA"))),
    "a client certificate": (URL, {"tls.crt": b"C", "tls.key": b"K"}, Credentials(None, Tls("", "C", "K"))),
}
REFUSED: dict[str, tuple[str, dict[str, bytes] | None, type[GitError], str]] = {
    "a password without a user": (URL, {"password": b"p"}, AuthError, "'username' is required"),
    "token and user part": (
        "https://u@git.example/x",
        {"bearerToken": b"t"},
        AuthContradicts,
        "basic auth and bearer",
    ),
    "half a client certificate": (URL, {"tls.crt": b"C"}, AuthError, "'tls.key' is missing"),
    "not text": (URL, {"username": b"\xff"}, AuthError, "is not UTF-8"),
    "ssh without a secret": ("ssh://git@git.example/x", None, AuthError, "'identity' is required"),
    "ssh with a password alone": (
        "ssh://git@git.example/x",
        {"username": b"u", "password": b"p"},
        AuthError,
        "'identity' is required; put it into secret 'ns/s'",
    ),
    "ssh without host keys": (
        "ssh://git@git.example/x",
        {"identity": b"K"},
        AuthError,
        "'known_hosts' is required",
    ),
    "ssh with a blank key": (
        "ssh://git@git.example/x",
        {"identity": b"\n", "known_hosts": b"H"},
        AuthError,
        "'identity' is required",
    ),
    "a locked key without its passphrase": (
        "ssh://git@git.example/x",
        {"identity": LOCKED, "known_hosts": b"H"},
        PassphraseMissing,
        "SSH identity key is encrypted but no 'password' field was provided in the secret 'ns/s'",
    ),
    "ssh without a path": (
        "ssh://git@git.example",
        {"identity": b"K", "known_hosts": b"H"},
        InvalidUrl,
        "the path is empty",
    ),
    "a line end in an ssh path": (
        "ssh://git@git.example/x%0Aid",
        {"identity": b"K", "known_hosts": b"H"},
        InvalidUrl,
        "a control character in the path",
    ),
    "an option as an ssh host": (
        "ssh://-oProxyCommand=touch%20x/y",
        {"identity": b"K", "known_hosts": b"H"},
        InvalidUrl,
        "begins with '-'",
    ),
    "a program as a scheme": ("ext::sh -c touch", None, InvalidUrl, "scheme must be one of"),
    "a file": ("file:///etc", None, InvalidUrl, "scheme must be one of"),
    "an option as a host": ("https://-oProxyCommand=x/y", None, InvalidUrl, "begins with '-'"),
    "no host": ("https:///x", None, InvalidUrl, "the host is empty"),
    "no such port": ("https://git.example:99999/x", None, InvalidUrl, "failed to parse url"),
    "a host behind a backslash": (
        "https://evil\\@git.example/x",
        None,
        InvalidUrl,
        "failed to parse url 'https://git.example/x': a blank, a backslash",
    ),
    "a line in the path": ("https://git.example/x\ny", None, InvalidUrl, "a control character"),
    "an encrypted key": (
        URL,
        {"tls.crt": b"C", "tls.key": b"-----BEGIN ENCRYPTED PRIVATE KEY-----"},
        AuthError,
        "key 'tls.key' of secret 'ns/s' is encrypted; store it without a passphrase",
    ),
    "a key encrypted in the old way": (
        URL,
        {"tls.crt": b"C", "tls.key": b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"},
        AuthError,
        "is encrypted",
    ),
}


@pytest.mark.parametrize(("url", "data", "credentials"), ACCEPTED.values(), ids=ACCEPTED)
def test_which_keys_count(url: str, data: dict[str, bytes] | None, credentials: Credentials) -> None:
    found = target(url, data, secret_name="ns/s")
    assert found.credentials == credentials
    assert found.url == URL  # the user part is gone


@pytest.mark.parametrize(("url", "data", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(url: str, data: dict[str, bytes] | None, error: type[GitError], text: str) -> None:
    with pytest.raises(error, match=text):
        target(url, data, secret_name="ns/s")


SSH: dict[str, tuple[str, dict[str, bytes], Ssh]] = {
    "the user of the URL": ("ssh://flux@git.example/x", {}, Ssh("flux", "K", "H")),
    "git without one": ("ssh://git.example/x", {}, Ssh("git", "K", "H")),
    "a passphrase": (
        "ssh://git.example/x",
        {"identity": LOCKED, "password": b"p\n"},
        Ssh("git", LOCKED.decode(), "H", "p"),
    ),
    "keys of other uses": (
        "ssh://git.example/x",
        {"username": b"u", "bearerToken": b"t", "ca.crt": b"C", "identity.pub": b"\xff"},
        Ssh("git", "K", "H"),
    ),
    "a password in the URL": ("ssh://flux:CANARY@git.example/x", {}, Ssh("flux", "K", "H")),
}


@pytest.mark.parametrize(("url", "more", "ssh"), SSH.values(), ids=SSH)
def test_which_keys_count_for_ssh(url: str, more: dict[str, bytes], ssh: Ssh) -> None:
    found = target(url, {"identity": b"K", "known_hosts": b"H", **more}, secret_name="ns/s")
    assert (found.url, found.credentials) == ("ssh://git.example/x", Credentials(ssh=ssh))
    assert found.credentials.secret


@pytest.mark.parametrize("shape", [repr, str, "{}".format, lambda value: f"{value!r}"])
def test_credentials_never_print_themselves(shape: "type[str]") -> None:
    ssh = Ssh("user", "CANARY", "CANARY", "CANARY")
    secret = Credentials(Basic("user", "CANARY"), Tls("CANARY", "CANARY", "CANARY"), ssh)
    for value in (
        secret,
        secret.who,
        secret.tls,
        ssh,
        Proxy("http", "h", 1, "CANARY", "CANARY"),
        Bearer("CANARY"),
        [secret],
        {"x": secret},
    ):
        assert "CANARY" not in shape(value)


def test_credentials_survive_the_way_to_the_child() -> None:
    secret = Credentials(Bearer("t"), Tls("a", "b", "c"), Ssh("u", "i", "k", "p"))
    assert msgspec.json.decode(msgspec.json.encode(secret), type=Credentials) == secret


def test_a_url_is_shown_without_user_and_query() -> None:
    assert shown("https://u:p@h:1/a.git?token=x#y") == "https://h:1/a.git"


def test_a_servers_words_are_cut_and_cleaned() -> None:
    assert quoted("a\r\n\x1b[31mb") == "a [31mb"
    assert len(quoted("x" * 1000)) == 203
