"""The origin of a URL, as the one parser that also sends requests reads it. Pure.

Two parsers may read one text differently: in `http://evil\\@git.example/` one sees the host `git.example`,
the other `evil`. A check by the first and a request by the second would hand credentials to a stranger, so
that texts they disagree about are refused, and urllib3's parser, which the requests go through, decides.
"""

import re

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

_PORTS = {"http": 80, "https": 443, "ssh": 22}
_AUTHORITY = re.compile(r"[^:/?#]*://([^/?#]*)")
_AMBIGUOUS = re.compile(r"[\\\x00-\x20\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Origin = tuple[str, str, int]  # scheme, host, port


def is_plain(url: str) -> bool:
    """Whether all parsers read `url` alike: no backslash, blank or control character anywhere."""
    return _AMBIGUOUS.search(url) is None


def has_plain_host(url: str) -> bool:
    """The same, for a URL whose path people write: blanks and backslashes there confuse nobody."""
    authority = _AUTHORITY.match(url)
    return _CONTROL.search(url) is None and (authority is None or is_plain(authority[1]))


def of(url: str) -> Origin:
    """Raises: ValueError: `url` is none, or ambiguous in its host."""
    return _of(_parsed(url))


def same(one: str, other: str) -> bool:
    """Whether credentials for one URL may go to the other."""
    return of(one) == of(other)


def without_user(url: str) -> str:
    """`url` without its user part and fragment, as it is sent. Raises: ValueError, as `of`."""
    return _parsed(url)._replace(auth=None, fragment=None).url


def _of(url: Url) -> Origin:
    scheme = url.scheme or ""
    return scheme, (url.host or "").lower(), url.port or _PORTS.get(scheme, 0)


def _parsed(url: str) -> Url:
    if not has_plain_host(url):
        raise ValueError("a blank, a backslash or a control character in the address")
    try:
        return parse_url(url)
    except LocationParseError:  # it quotes the whole address, with its password
        raise ValueError("the address cannot be read") from None
