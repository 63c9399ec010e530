"""Which repository a submodule comes from. Pure.

`.gitmodules` is written by whoever can push, so it decides about nothing but addresses: where a submodule
lies and which commit it has comes from the tree, whose names are judged already. An address that no network
transport takes is refused, so that nobody reads files of ours by it (reliability.md A06, A19).
Source: git-config(1), "Syntax"; gitmodules(5); gitsubmodules(7).
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from shared.git import origin
from shared.git.auth import SCHEMES, shown_safely
from shared.git.errors import ObjectRefused, TooLarge

FILE_NAME = ".gitmodules"
_FILE_BYTES_MAX = 1 << 20
_HEADER = re.compile(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\](.*)')
_VARIABLE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*(?:=(.*))?")
_CONTINUED = re.compile(r"(?<!\\)((?:\\\\)*)\\\n")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
# user@host:path, the short form of ssh that hosting services show
_SHORT = re.compile(r"([A-Za-z0-9._-]+)@([A-Za-z0-9][A-Za-z0-9.-]*):([^:].*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def addresses(gitmodules: bytes) -> Mapping[str, str]:
    """The URL of each submodule, as it is written, by the path of its folder.

    Raises:
        TooLarge: the file has more than a MiB.
    """
    if len(gitmodules) > _FILE_BYTES_MAX:
        raise TooLarge(f"'{FILE_NAME}' has more than {_FILE_BYTES_MAX >> 20} MiB")
    text = gitmodules.decode("utf-8", "replace").replace("\r\n", "\n")
    modules: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}  # of what is no submodule: nobody reads it
    for line in _CONTINUED.sub(r"\1", text).split("\n"):
        rest = line.strip()
        header = _HEADER.match(rest)
        if header is not None:
            kind, name, rest = header[1], header[2], header[3].strip()
            is_one = kind.lower() == "submodule" and name is not None
            section = modules.setdefault(name, {}) if is_one else {}
        variable = _VARIABLE.fullmatch(rest)
        if variable is not None:
            section[variable[1].lower()] = _value(variable[2] or "")
    return {one["path"].rstrip("/"): one["url"] for one in modules.values() if "path" in one and "url" in one}


def resolve(url: str, superproject: str) -> str:
    """The absolute URL of a submodule.

    Args:
        url: as `.gitmodules` has it; beginning with ./ or ../ it is relative to `superproject`.

    Raises:
        ObjectRefused: no address that a network transport takes.
    """
    if url.startswith(("./", "../")):
        return _relative(url, superproject)
    short = _SHORT.fullmatch(url)
    absolute = f"ssh://{short[1]}@{short[2]}/{short[3].lstrip('/')}" if short else url
    scheme, separator, rest = absolute.partition("://")
    if scheme not in SCHEMES or not separator or not origin.is_plain(rest) or _CONTROL.search(unquote(rest)):
        raise ObjectRefused(
            f"the address '{_shown(url)}' is refused: it must begin with {', '.join(SCHEMES)} or with ../, "
            "and have no blanks and backslashes"
        )
    try:
        origin.of(absolute)
    except ValueError as error:
        raise ObjectRefused(f"the address '{_shown(url)}' is refused: {error}") from error
    return absolute


def _relative(url: str, superproject: str) -> str:
    parts = urlsplit(superproject)
    names = [name for name in parts.path.split("/") if name]
    for step in url.split("/"):
        if step == "..":
            if not names:
                raise ObjectRefused(
                    f"the address '{_shown(url)}' is refused: it leads above the server's root"
                )
            names.pop()
        elif step not in ("", "."):
            names.append(step)
    path = "/" + "/".join(names)
    if not names or _CONTROL.search(unquote(path)):
        raise ObjectRefused(f"the address '{_shown(url)}' is refused: it names no repository")
    return parts._replace(path=quote(path, safe="/%"), query="", fragment="").geturl()


def _value(text: str) -> str:
    """A value without its quotes, escapes and comment."""
    out: list[str] = []
    quoted = False
    kept = 0  # length up to the last character that is not a blank outside of quotes
    characters = iter(text.strip())
    for char in characters:
        if char == '"':
            quoted = not quoted
            kept = len(out)
            continue
        if char in "#;" and not quoted:
            break
        if char == "\\":
            escaped = next(characters, "")
            char = _ESCAPES.get(escaped, escaped)  # noqa: PLW2901
        out.append(char)
        if quoted or not char.isspace():
            kept = len(out)
    return "".join(out[:kept])


def _shown(url: str) -> str:
    return shown_safely(url)[:200].encode("unicode_escape").decode()
