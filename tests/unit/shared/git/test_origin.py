"""Who is meant by a URL: one parser decides for the check and for the request."""

import pytest
import urllib3

from shared.git import origin

HOME = "https://git.example/team/app"
ORIGINS = {
    "another path": ("https://git.example/x", True),
    "the port said": ("https://git.example:443/x", True),
    "upper case": ("https://GIT.example/x", True),
    "a user": ("https://somebody@git.example/x", True),
    "another port": ("https://git.example:444/x", False),
    "without TLS": ("http://git.example/x", False),
    "by ssh": ("ssh://git@git.example/x", False),
    "another host": ("https://git.example.evil/x", False),
    "the host as a user": ("https://git.example@evil/x", False),
}


@pytest.mark.parametrize(("url", "same"), ORIGINS.values(), ids=ORIGINS)
def test_to_whom_credentials_may_go(url: str, same: bool) -> None:
    assert origin.same(url, HOME) is same


def test_an_address_loses_its_user() -> None:
    assert origin.without_user("https://a:b@git.example:8443/x#y") == "https://git.example:8443/x"


AMBIGUOUS = {
    "a backslash before the host": "https://evil\\@git.example/x",
    "a backslash behind the host": "https://git.example\\x",
    "a blank in the host": "https://git.example /x",
    "a newline in the host": "https://git.exa\nmple/x",
    "a tab in the path": "https://git.example/\tx",
    "no such port": "https://git.example:99999/x",
}


@pytest.mark.parametrize("url", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_parsers_read_differently_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        origin.of(url)


def test_an_address_that_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="cannot be read") as raised:
        origin.without_user("https://user:CANARY@git.example:99999/x")
    assert "CANARY" not in str(raised.value)


@pytest.mark.parametrize("url", [url for url, _ in ORIGINS.values()], ids=ORIGINS)
def test_requests_go_to_the_origin_that_was_checked(url: str) -> None:
    with urllib3.PoolManager() as pools:
        pool = pools.connection_from_url(url) if url.startswith("http") else None
    assert pool is None or (pool.scheme, pool.host, pool.port) == origin.of(url)
