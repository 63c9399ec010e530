"""The proxy that a Secret names: which keys count, and what is refused without showing a password."""

import pytest

from shared.git.errors import ProxyInvalid
from shared.git.proxy import Proxy, proxy

HTTPS, SSH = "https://git.example/x", "ssh://git.example/x"
ACCEPTED: dict[str, tuple[str, dict[str, bytes], Proxy]] = {
    "an HTTP proxy": (HTTPS, {"address": b"http://p.example:3128"}, Proxy("http", "p.example", 3128)),
    "without a port": (HTTPS, {"address": b"http://p.example"}, Proxy("http", "p.example", 80)),
    "a proxy that speaks TLS": (HTTPS, {"address": b"https://p.example"}, Proxy("https", "p.example", 443)),
    "SOCKS": (SSH, {"address": b"socks5://p.example"}, Proxy("socks5", "p.example", 1080)),
    "HTTP for ssh": (SSH, {"address": b"http://p.example:1"}, Proxy("http", "p.example", 1)),
    "a newline at the end": (HTTPS, {"address": b"http://p:1\n"}, Proxy("http", "p", 1)),
    "user and password": (
        HTTPS,
        {"address": b"http://p:1", "username": b"u", "password": b"w"},
        Proxy("http", "p", 1, "u", "w"),
    ),
    "a user part of the address": (
        HTTPS,
        {"address": b"http://u:w%40@p:1"},
        Proxy("http", "p", 1, "u", "w@"),
    ),
    "the keys beat the user part": (
        HTTPS,
        {"address": b"http://x:y@p:1", "username": b"u", "password": b"w"},
        Proxy("http", "p", 1, "u", "w"),
    ),
    "IPv6": (HTTPS, {"address": b"http://[::1]:3128/"}, Proxy("http", "::1", 3128)),
}


@pytest.mark.parametrize(("url", "data", "found"), ACCEPTED.values(), ids=ACCEPTED)
def test_which_keys_count(url: str, data: dict[str, bytes], found: Proxy) -> None:
    assert proxy(data, for_url=url, secret_name="ns/p") == found


REFUSED: dict[str, tuple[str, dict[str, bytes], str]] = {
    "no address": (HTTPS, {"username": b"CANARY"}, "secret 'ns/p': key 'address' is missing"),
    "an empty address": (HTTPS, {"address": b""}, "key 'address' is missing"),
    "no scheme": (HTTPS, {"address": b"p.example:3128"}, "must begin with http://, https:// or socks5://"),
    "another scheme": (HTTPS, {"address": b"ftp://u:CANARY@p"}, "must begin with"),
    "no host": (HTTPS, {"address": b"http://u:CANARY@"}, "names no host"),
    "a host that ends at a backslash": (HTTPS, {"address": b"http://p\\x:3128"}, "names no host"),
    "no such port": (HTTPS, {"address": b"http://u:CANARY@p:99999"}, "is not a URL"),
    "an endless address": (HTTPS, {"address": b"http://" + b"x" * 2048}, "longer than 2048"),
    "not text": (HTTPS, {"address": b"http://p", "password": b"\xff"}, "key 'password' of secret 'ns/p'"),
    "TLS for ssh": (SSH, {"address": b"https://p"}, "SSH does not go through a proxy that speaks TLS"),
    "a password that SOCKS cannot carry": (
        SSH,
        {"address": b"socks5://p", "username": b"u", "password": b"CANARY" * 50},
        "255 bytes",
    ),
}


@pytest.mark.parametrize(("url", "data", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(url: str, data: dict[str, bytes], text: str) -> None:
    with pytest.raises(ProxyInvalid) as raised:
        proxy(data, for_url=url, secret_name="ns/p")
    assert text in str(raised.value)
    assert "CANARY" not in str(raised.value)


def test_an_address_is_shown_without_credentials() -> None:
    assert Proxy("socks5", "::1", 1080, "u", "CANARY").address == "socks5://[::1]:1080"
