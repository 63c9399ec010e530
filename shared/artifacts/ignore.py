"""What an artifact leaves out. Pure.

The syntax is that of .gitignore, the meaning that of the library which Flux uses, and the two differ from
git: there is no rule that a file below an ignored folder stays ignored. The last pattern that matches a
path decides, a pattern that matches a folder's name matches all below it, and so `/*` and then `!/sub`
brings back everything in `sub`, even a .gitignore. Source: behaviour-source.md 1.7; default-ignore.tsv.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

VCS = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
EXTENSIONS = ("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip")
CI = (
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
)
EXTRA = ("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml")
FILE_NAME = ".sourceignore"

# Each path of a source is compared with each pattern, and whoever can push chooses both.
FILES_BYTES_MAX = 1 << 20  # of all files of one source together
PATTERNS_MAX = 10_000
_PATTERN_BYTES_MAX = 4096  # PATH_MAX: a longer one has nothing to match


class IgnoreError(Exception):
    """The patterns are more than anybody needs; names the file."""


def too_large(path: str) -> IgnoreError:
    limit = f"{FILES_BYTES_MAX >> 20} MiB"
    return IgnoreError(f"'{path}': all {FILE_NAME} files together exceed {limit}; write fewer patterns")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line, and the folder whose file it stands in: names from the root, none for the root itself."""

    domain: tuple[str, ...]
    segments: tuple[str, ...]
    include: bool
    folders_only: bool

    def matches(self, path: Sequence[str], folder: bool) -> bool:
        depth = len(self.domain)
        if len(path) <= depth or tuple(path[:depth]) != self.domain:
            return False
        below = path[depth:]
        return _anchored(self, below, folder) if len(self.segments) > 1 else _by_name(self, below, folder)


@dataclass(frozen=True, slots=True)
class Rules:
    patterns: tuple[Pattern, ...]

    def excludes(self, path: str, *, folder: bool) -> bool:
        """Whether the entry at `path` ("a/b/c", relative to the root) is left out of the artifact."""
        names = path.split("/")
        for pattern in reversed(self.patterns):
            if pattern.matches(names, folder):
                return not pattern.include
        return False


def rules(files: Mapping[str, bytes], spec_ignore: str | None) -> Rules:
    """The rules for one tree.

    Args:
        files: content of every .sourceignore by its folder ("" is the root); those inside `.git` are the
        caller's to
            leave out.
        spec_ignore: `spec.ignore`; its patterns come last and so win.

    Raises:
        IgnoreError: beyond the limits.
    """
    own: list[Pattern] = []
    for folder in sorted(files, key=lambda name: name.split("/") if name else []):
        text = files[folder].decode("utf-8", "surrogateescape")
        _take(own, text, f"{folder}/{FILE_NAME}".lstrip("/"), tuple(folder.split("/")) if folder else ())
    _take(own, spec_ignore or "", "spec.ignore", ())
    # A single pattern of the user's, anywhere, drops all defaults but those of version control.
    defaults = VCS if own else (*VCS, *EXTENSIONS, *CI, *EXTRA)
    return Rules((*(_parse(line, ()) for line in defaults), *own))


def _take(own: list[Pattern], text: str, where: str, domain: tuple[str, ...]) -> None:
    for pattern in _read(text, domain):
        own.append(pattern)
        if len(own) > PATTERNS_MAX:
            raise IgnoreError(f"'{where}': more than {PATTERNS_MAX} patterns; write fewer")
        if sum(map(len, pattern.segments)) > _PATTERN_BYTES_MAX:
            raise IgnoreError(f"'{where}': a pattern is longer than {_PATTERN_BYTES_MAX} characters")


def _read(text: str, domain: tuple[str, ...]) -> Iterable[Pattern]:
    for line in text.split("\n"):
        bare = line.removesuffix("\r")
        if bare.strip() and not bare.startswith("#"):
            yield _parse(bare, domain)


def _parse(line: str, domain: tuple[str, ...]) -> Pattern:
    include = line.startswith("!")
    text = line.removeprefix("!")
    if not text.endswith("\\ "):
        text = text.rstrip(" ")
    folders_only = text.endswith("/")
    if folders_only:
        text = text[:-1]
    return Pattern(domain, tuple(text.split("/")), include, folders_only)


def _by_name(pattern: Pattern, path: Sequence[str], folder: bool) -> bool:
    """A pattern without a slash looks at every name on the way."""
    for position, name in enumerate(path):
        if _glob(pattern.segments[0], name):
            last = position == len(path) - 1
            return not (pattern.folders_only and last and not folder)
    return False


def _anchored(pattern: Pattern, path: Sequence[str], folder: bool) -> bool:
    """A pattern with a slash is compared name by name from its domain, and matches all below its match."""
    rest = list(path)
    matched = False
    anywhere = False
    last = len(pattern.segments) - 1
    for position, segment in enumerate(pattern.segments):
        if segment == "":  # the slash at the beginning
            anywhere = False
            continue
        if segment == "**":
            if position == last:
                break
            anywhere = True
            continue
        if "**" in segment or not rest:
            return False
        if anywhere:
            anywhere = False
            matched = _skip_to(segment, rest)
        elif _glob(segment, rest.pop(0)):
            matched = True
        else:
            return False
    return matched and not (pattern.folders_only and not folder and not rest)


def _skip_to(segment: str, rest: list[str]) -> bool:
    """Drop names up to and including the first that matches; all of them if none does."""
    while rest:
        if _glob(segment, rest.pop(0)):
            return True
    return False


def _glob(segment: str, name: str) -> bool:
    """Whether a pattern without slashes matches a whole name."""
    return _matcher(segment)(name)


@lru_cache(maxsize=4096)
def _matcher(segment: str) -> Callable[[str], bool]:
    """The shapes that nearly all patterns have, a name and `*.ext`, are compared without a loop of ours."""
    rest = segment.removeprefix("*")
    if not any(special in rest for special in "*?[\\"):
        return rest.__eq__ if rest == segment else lambda name: name.endswith(rest)
    tokens = _compile(segment)
    if tokens is None:
        return lambda _name: False
    return partial(_walk, tokens)


def _walk(tokens: Sequence["_Token"], name: str) -> bool:
    """In time proportional to the product of both.

    A regular expression would try every way to divide the name among the stars, and whoever can push
    chooses both.
    """
    at, position = 0, 0
    star, resume = -1, 0  # the last star, and where in the name it would end if it took one character more
    while position < len(name):
        token = tokens[at] if at < len(tokens) else None
        if token is _STAR:
            star, resume = at, position
            at += 1
        elif token is not None and token.takes(name[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(token is _STAR for token in tokens[at:])


@dataclass(frozen=True, slots=True)
class _Token:
    """One character of a name: one within a range, or (negated) within none."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def takes(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


_STAR = _Token((), negated=True)
_ANY = _Token((), negated=True)


def _compile(segment: str) -> tuple[_Token, ...] | None:
    """Go's `filepath.Match` in tokens; None for a malformed pattern, which matches nothing.

    `*` and `?` as usual, `[a-z]` and `[^a-z]`, a backslash takes the next character as it is.
    """
    tokens: list[_Token] = []
    position = 0
    while position < len(segment):
        char = segment[position]
        position += 1
        if char == "*":
            tokens.append(_STAR)
        elif char == "?":
            tokens.append(_ANY)
        elif char == "[":
            parsed = _char_class(segment, position)
            if parsed is None:
                return None
            token, position = parsed
            tokens.append(token)
        elif char == "\\" and position == len(segment):
            return None
        else:
            if char == "\\":
                char = segment[position]
                position += 1
            tokens.append(_Token(((char, char),)))
    return tuple(tokens)


def _char_class(segment: str, position: int) -> tuple[_Token, int] | None:
    """The class that begins after its bracket at `position`, and the position behind it."""
    negated = segment[position : position + 1] == "^"
    position += negated
    ranges: list[tuple[str, str]] = []
    while position < len(segment) and (segment[position] != "]" or not ranges):
        low, position = _class_char(segment, position)
        high = low
        if segment[position : position + 1] == "-":
            high, position = _class_char(segment, position + 1)
        if not low or not high:
            return None
        ranges.append((low, high))  # "z-a" holds nothing, but is well formed
    if position >= len(segment) or not ranges:
        return None
    return _Token(tuple(ranges), negated), position + 1


def _class_char(segment: str, position: int) -> tuple[str, int]:
    """The character at `position`, "" if there can be none, and the position behind it."""
    char = segment[position : position + 1]
    if char == "\\":
        position += 1
        char = segment[position : position + 1]
    elif char in ("-", "]"):
        return "", position
    return char, position + 1
