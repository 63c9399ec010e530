"""What an operator after a variable's name makes of its value. Pure.

Lengths and positions count characters, not bytes as in Flux: the half of a character is no text.

Source: behaviour-kustomize.md 5; Bash Reference Manual, "Shell Parameter Expansion".
"""

import re
from collections.abc import Callable, Mapping

from kustomize_controller.substitution import glob

__all__ = ["CASES", "STRIPS", "replace", "size_replaced", "strip", "substring"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")

CASES: Mapping[str, Callable[[str], str]] = {
    "^": lambda value: value[:1].upper() + value[1:],
    "^^": str.upper,
    ",": lambda value: value[:1].lower() + value[1:],
    ",,": str.lower,
}
STRIPS = ("#", "##", "%", "%%")


def strip(operator: str, value: str, pattern: str) -> str:
    """`#`, `##`, `%`, `%%`: without the shortest or longest match at the start or end.

    A value stays as it is if the pattern is none, as in Flux.
    """
    try:
        return glob.strip(
            value,
            pattern,
            at="start" if operator[0] == "#" else "end",
            which="longest" if len(operator) > 1 else "shortest",
        )
    except glob.BadPattern:
        return value


def substring(value: str, offset: str, length: str | None) -> str:
    """`:offset` and `:offset:length`; negative ones count from the end. What is no number changes nothing."""
    if not _NUMBER.fullmatch(offset) or (length is not None and not _NUMBER.fullmatch(length)):
        return value
    start = int(offset)
    if start < 0:
        start = max(len(value) + start, 0)
    if length is None:
        return value[start:]
    count = int(length)
    end = start + count if count >= 0 else len(value) + count
    return value[start : max(start, end)]


def replace(operator: str, value: str, old: str, new: str) -> str:
    """`/`, `//`, `/#`, `/%`: the first, every, a leading, a trailing `old` by `new`; plain text, no
    pattern."""
    match operator:
        case "//":
            return value.replace(old, new)
        case "/#":
            return new + value.removeprefix(old) if value.startswith(old) else value
        case "/%":
            return value.removesuffix(old) + new if value.endswith(old) else value
        case _:
            return value.replace(old, new, 1)


def size_replaced(value: str, old: str, new: str) -> int:
    """How long `//` would make `value`."""
    return len(value) + value.count(old) * (len(new) - len(old))
