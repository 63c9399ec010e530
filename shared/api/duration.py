"""Durations as the API writes them (`1m30s`) and as Go prints them (`4m30s`), in seconds here.

The grammar is the CRDs' pattern: one or more of a decimal number and a unit, of which there are `ms`, `s`,
`m` and `h`. That is less than Go's: no sign, no days, nothing below a millisecond.
"""

import re

from shared.api.meta import InvalidObject

__all__ = ["LONGEST_S", "PATTERN", "InvalidDuration", "duration_s", "go_duration", "positive_s"]

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"

# Longer than any cluster has lived, so it is a typing error. A guess; Go's own limit is 2562047h.
LONGEST_S = 250_000 * 3600.0

_WHOLE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# No honest duration is long, and a message must not quote a megabyte.
_MOST_CHARACTERS = 64


class InvalidDuration(ValueError):
    """The text is no duration, or one beyond `LONGEST_S`."""


def duration_s(text: str) -> float:
    """Seconds in a duration such as `1h`, `1m30s`, `1.5s` or `250ms`.

    Raises:
        InvalidDuration: says what is wrong and gives an example.

    Source: the pattern of all duration fields in the contract, fields.tsv.
    """
    if len(text) > _MOST_CHARACTERS or _WHOLE.fullmatch(text) is None:
        shown = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"
        raise InvalidDuration(f"{shown!r} is not a duration; write numbers with ms, s, m or h, such as 1h30m")
    total = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    if total > LONGEST_S:
        raise InvalidDuration(f"{text!r} is longer than {LONGEST_S / 3600:.0f}h; write a shorter duration")
    return total


def positive_s(text: str, field_path: str) -> float:
    """The same for a field of an object, where zero makes no sense either.

    Raises:
        InvalidObject: with `field_path`.
    """
    try:
        seconds = duration_s(text)
    except InvalidDuration as error:
        raise InvalidObject(field_path, str(error)) from error
    if seconds == 0:
        raise InvalidObject(field_path, f"{text!r} is zero; write a positive duration, such as 10m")
    return seconds


def go_duration(seconds: float) -> str:
    """The text of Go's `time.Duration.String`: `4m30s`, `1h0m0s`, `1.5s`, `250ms`, `0s`.

    Status messages and events show durations in this form, and people's scripts know it.

    Source: Go, package time, Duration.String: leading zero units are left out; below a second the largest
    unit that makes the number at least one is used.
    """
    nanoseconds = round(seconds * 1e9)
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for unit, size in (("ns", 1_000), ("µs", 1_000_000), ("ms", 1_000_000_000)):
        if rest < size:
            return sign + _decimal(rest, size // 1000) + unit
    minutes, below_a_minute = divmod(rest, 60_000_000_000)
    text = _decimal(below_a_minute, 1_000_000_000) + "s"
    if minutes:
        hours, minutes_left = divmod(minutes, 60)
        text = (f"{hours}h" if hours else "") + f"{minutes_left}m" + text
    return sign + text


def _decimal(count: int, unit: int) -> str:
    """`count / unit` with all digits and no trailing zeros. `unit` is a power of ten."""
    whole, fraction = divmod(count, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
