"""Shell patterns against the beginning or the end of a value, in time proportional to the value.

`*` is any text, `?` one character, `[a-z]` one of a set, `[^a-z]` or `[!a-z]` one that is not in it, and a
backslash takes the next character literally. All positions that a pattern may have reached are followed at
once, as bits of one number, so that no pattern makes a value slow to match (reliability A52).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["BadPattern", "strip"]

Which = Literal["shortest", "longest"]


class BadPattern(ValueError):
    """A set without an end, or a backslash at the end."""


@dataclass(frozen=True, slots=True)
class _Star:
    """Any text."""


_STAR = _Star()
_One = Callable[[str], bool]


def strip(value: str, pattern: str, *, at: Literal["start", "end"], which: Which) -> str:
    """`value` without the part at its start or end that matches `pattern`.

    A part has at least one character: the shortest match of `*` is one character, as in Flux.

    Raises:
        BadPattern: `pattern` is none.
    """
    tokens = list(_tokens(pattern))
    if at == "start":
        return value[_matched(value, tokens, which) :]
    tokens.reverse()
    return value[: len(value) - _matched(value[::-1], tokens, which)]


def _matched(value: str, tokens: list[_One | _Star], which: Which) -> int:
    """How many characters at the start of `value` match; 0 for none."""
    stars = sum(1 << at for at, token in enumerate(tokens) if token is _STAR)
    masks: dict[str, int] = {}
    whole = 1 << len(tokens)
    reached = _skip_star(1, stars)
    found = 0
    for count, char in enumerate(value, start=1):
        mask = masks.get(char)
        if mask is None:
            mask = masks[char] = sum(
                1 << at for at, token in enumerate(tokens) if not isinstance(token, _Star) and token(char)
            )
        reached = _skip_star((reached & mask) << 1 | reached & stars, stars)
        if reached & whole:
            found = count
            if which == "shortest":
                return found
        if not reached:
            break
    return found


def _skip_star(reached: int, stars: int) -> int:
    return reached | (reached & stars) << 1  # two stars never stand side by side


def _tokens(pattern: str) -> Iterator[_One | _Star]:
    at = 0
    was_star = False
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if not was_star:
                yield _STAR
            was_star = True
            continue
        was_star = False
        if char == "?":
            yield _any
        elif char == "[":
            one, at = _set(pattern, at)
            yield one
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern
            yield pattern[at].__eq__
            at += 1
        else:
            yield char.__eq__


def _any(char: str) -> bool:  # noqa: ARG001  # every character will do
    return True


def _set(pattern: str, at: int) -> tuple[_One, int]:
    is_negated = pattern[at : at + 1] in ("^", "!")
    at += is_negated
    ranges: list[tuple[str, str]] = []
    while not ranges or pattern[at : at + 1] != "]":
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] != "]":
            high, at = _member(pattern, at + 1)
        ranges.append((low, high))
    return lambda char: any(low <= char <= high for low, high in ranges) != is_negated, at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    at += pattern[at : at + 1] == "\\"
    if at >= len(pattern):
        raise BadPattern
    return pattern[at], at + 1
