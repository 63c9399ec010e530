"""Version ranges as Flux reads them. Pure.

Flux takes ranges of the Masterminds library, which differ from npm's: an absent or wildcard part makes a
comparator "dirty", and each operator treats dirty parts in its own way; pre-releases are let in for a whole
AND group as soon as one comparator of that group names a pre-release. Compared against that library,
version 3.4: tests/data/semver.

No package on the index has these semantics, hence our own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering

_PRERELEASE = r"(?:-([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
_METADATA = r"(?:\+([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
_VERSION = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_PRERELEASE}{_METADATA}")
_PARTIAL = rf"v?([0-9xX*]+)(?:\.([0-9xX*]+))?(?:\.([0-9xX*]+))?{_PRERELEASE}{_METADATA}"
_OPERATOR = r"(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)"
_COMPARATOR = re.compile(rf"\s*{_OPERATOR}\s*{_PARTIAL}\s*(?:,|(?=\s)|$)")
_HYPHEN = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*")
_WILD = ("x", "X", "*")


class SemverError(ValueError):
    """The text is not a range."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Precedence:
    """How a version compares (Semantic Versioning 2.0.0, 11): build metadata does not count."""

    numbers: tuple[int, int, int]
    prerelease: str

    def __lt__(self, other: "Precedence") -> bool:
        if self.numbers != other.numbers:
            return self.numbers < other.numbers
        if not self.prerelease or not other.prerelease:
            return bool(self.prerelease) and not other.prerelease
        return _identifiers(self.prerelease) < _identifiers(other.prerelease)


@dataclass(frozen=True, slots=True)
class Version:
    major: int
    minor: int
    patch: int
    prerelease: str = ""
    metadata: str = ""

    @property
    def precedence(self) -> Precedence:
        return Precedence((self.major, self.minor, self.patch), self.prerelease)


def parse_release(text: str) -> Version | None:
    """The version in `text`, or None; Flux wants three parts, so that "1.0" is not one ("v1.0.0" is)."""
    match = _VERSION.fullmatch(text)
    if match is None or text.count(".") < 2 or match[3] is None:
        return None
    return Version(int(match[1]), int(match[2]), int(match[3]), match[4] or "", match[5] or "")


@dataclass(frozen=True, slots=True)
class Comparator:
    """One operator with its operand; `dirty` says that a part was absent or a wildcard, the others which."""

    operator: str
    operand: Version
    dirty: bool = False
    minor_dirty: bool = False
    patch_dirty: bool = False

    def allows(self, version: Version) -> bool:
        return _CHECKS[self.operator](version, self)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A range: OR over groups, AND within a group."""

    groups: tuple[tuple[Comparator, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Constraint":
        """Read a range such as ">=1.2 <2 || ~3.4".

        Raises:
            SemverError: names the part that is not a range.
        """
        return cls(tuple(_group(part) for part in text.split("||")))

    def allows(self, version: Version) -> bool:
        return any(_group_allows(group, version) for group in self.groups)


def _group_allows(group: tuple[Comparator, ...], version: Version) -> bool:
    if version.prerelease and not any(comparator.operand.prerelease for comparator in group):
        return False
    return all(comparator.allows(version) for comparator in group)


def _group(text: str) -> tuple[Comparator, ...]:
    rewritten = _HYPHEN.sub(lambda match: f">= {match[1]}, <= {match[7]}", text)
    comparators: list[Comparator] = []
    position = 0
    while True:
        match = _COMPARATOR.match(rewritten, position)
        if match is None:
            raise SemverError(f'improper constraint: "{text}"')
        comparators.append(_comparator(match))
        position = match.end()
        if not match[0].endswith(",") and not rewritten[position:].strip():
            return tuple(comparators)


def _comparator(match: re.Match[str]) -> Comparator:
    operator, major, minor, patch, prerelease = match[1], match[2], match[3], match[4], match[5] or ""
    try:
        if major in _WILD:
            return Comparator(operator, Version(0, 0, 0, prerelease), dirty=True)
        if minor is None or minor in _WILD:
            return Comparator(operator, Version(int(major), 0, 0, prerelease), dirty=True, minor_dirty=True)
        if patch is None or patch in _WILD:
            operand = Version(int(major), int(minor), 0, prerelease)
            return Comparator(operator, operand, dirty=True, patch_dirty=True)
        return Comparator(operator, Version(int(major), int(minor), int(patch), prerelease))
    except ValueError as error:  # "1x" passes the pattern but is no number
        raise SemverError(f'constraint parser error: "{match[0].strip()}"') from error


def _identifiers(prerelease: str) -> list[tuple[int, int, str]]:
    """Numbers sort below words; fewer identifiers below more (Semantic Versioning 2.0.0, 11.4)."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease.split(".")]


def _not_equal(version: Version, comparator: Comparator) -> bool:
    operand = comparator.operand
    if comparator.dirty:
        if operand.major != version.major:
            return True
        if comparator.minor_dirty:
            return False
        if operand.minor != version.minor:
            return True
        if comparator.patch_dirty:
            differs = Precedence((0, 0, 0), version.prerelease) != Precedence((0, 0, 0), operand.prerelease)
            return bool(version.prerelease or operand.prerelease) and differs
    return version.precedence != operand.precedence


def _greater(version: Version, comparator: Comparator) -> bool:
    operand = comparator.operand
    if not comparator.dirty:
        return version.precedence > operand.precedence
    if version.major != operand.major:
        return version.major > operand.major
    if comparator.minor_dirty:
        return False
    if comparator.patch_dirty:
        return version.minor > operand.minor
    return version.precedence > operand.precedence


def _less(version: Version, comparator: Comparator) -> bool:
    return version.precedence < comparator.operand.precedence


def _greater_equal(version: Version, comparator: Comparator) -> bool:
    return version.precedence >= comparator.operand.precedence


def _less_equal(version: Version, comparator: Comparator) -> bool:
    operand = comparator.operand
    if not comparator.dirty:
        return version.precedence <= operand.precedence
    if version.major > operand.major:
        return False
    return not (
        version.major == operand.major and version.minor > operand.minor and not comparator.minor_dirty
    )


def _tilde(version: Version, comparator: Comparator) -> bool:
    operand = comparator.operand
    if version.precedence < operand.precedence:
        return False
    whole = not comparator.minor_dirty and not comparator.patch_dirty
    if (operand.major, operand.minor, operand.patch) == (0, 0, 0) and whole:
        return True  # "~0.0.0" and "*" accept everything
    if version.major != operand.major:
        return False
    return version.minor == operand.minor or comparator.minor_dirty


def _tilde_or_equal(version: Version, comparator: Comparator) -> bool:
    if comparator.dirty:
        return _tilde(version, comparator)
    return version.precedence == comparator.operand.precedence


def _caret(version: Version, comparator: Comparator) -> bool:
    operand = comparator.operand
    if version.precedence < operand.precedence:
        return False
    if operand.major > 0 or comparator.minor_dirty:
        return version.major == operand.major
    if version.major > 0:
        return False
    if operand.minor > 0 or comparator.patch_dirty:
        return version.minor == operand.minor
    return version.minor == 0 and version.patch == operand.patch


_CHECKS: dict[str, Callable[[Version, Comparator], bool]] = {
    "": _tilde_or_equal,
    "=": _tilde_or_equal,
    "!=": _not_equal,
    ">": _greater,
    "<": _less,
    ">=": _greater_equal,
    "=>": _greater_equal,
    "<=": _less_equal,
    "=<": _less_equal,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}
