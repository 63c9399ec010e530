"""What must not be read by others, taken out of text: for the three exits log, status and event.

Two kinds of secret are known. Values that were registered when they were read (a Secret's data, a token) are
masked wherever they stand: raw, JSON-escaped, percent-encoded, hexadecimal, and base64 in all three
alignments, as in `Authorization: Basic` of `user:password`. And shapes that are secret whoever wrote them:
the user part and the query of a URL, private keys, age keys, Authorization headers.

Masking is the last line, not the first: code that can avoid putting a secret into a message does so.
"""

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "Redactor", "redact", "register"]

MASK = "***"

# Shorter values protect nothing, and masking "main" or "true" would make every message unreadable.
_SHORTEST_BYTES = 6
# A prefix of this length picks the few candidates at each position, so that the cost of a message does not
# grow with the number of secrets: 0.15 µs of CPU a character, with 60 needles as with 30,000.
_PREFIX = 4
_LONGEST_BYTES = 4096  # of one needle; longer values are known by their lines and their beginning
_SHORTEST_LINE_BYTES = 12  # of a value of several lines; a guess: PEM lines have 64, JSON braces have 1
_MOST_VALUES = 5_000  # the oldest is forgotten first, so that rotating tokens do not fill memory

# "'", '"', "<", ">" and "\" end a URL in prose, in JSON and in escaped JSON.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#\"'<>\\]*@)?([^\s?#\"'<>\\]*)(\?[^\s#\"'<>\\]*)?")
_HEADER = re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)[^\s\"',;\\]+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S
)
_AGE_KEY = re.compile(r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+", re.I)


class Redactor:
    """A set of secret values and the function that masks them. Its repr shows none."""

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self._candidates: dict[str, dict[str, int]] = {}  # prefix → needle → how many values have it

    def __repr__(self) -> str:
        return f"Redactor({len(self._values)} values)"

    def register(self, value: bytes | str) -> None:
        """Mask `value` from now on. Cheap for one that is known; a value under 6 bytes is let through."""
        raw = value.encode(errors="surrogatepass") if isinstance(value, str) else bytes(value)
        if raw in self._values:
            self._values.move_to_end(raw)
            return
        needles = tuple({needle for part in _parts(raw) for needle in _forms(part) if len(needle) >= _PREFIX})
        if not needles:
            return
        self._values[raw] = needles
        for needle in needles:
            bucket = self._candidates.setdefault(needle[:_PREFIX], {})
            bucket[needle] = bucket.get(needle, 0) + 1
        if len(self._values) > _MOST_VALUES:
            self._forget_oldest()

    def redact(self, text: str) -> str:
        """`text` with every registered value replaced by `***`, and URLs without user part and query."""
        if self._candidates:
            text = self._mask_values(text)
        if "://" in text:
            text = _URL.sub(r"\1\2", text)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(MASK, text)
        if "-KEY-" in text.upper():
            text = _AGE_KEY.sub(MASK, text)
        return _HEADER.sub(rf"\1{MASK}", text)

    def _mask_values(self, text: str) -> str:
        candidates, kept, start = self._candidates, [], 0
        for at in [i for i in range(len(text)) if text[i : i + _PREFIX] in candidates]:
            bucket = candidates[text[at : at + _PREFIX]]
            found = max((needle for needle in bucket if text.startswith(needle, at)), key=len, default="")
            if found and at >= start:
                kept += [text[start:at], MASK]
            if found:  # of two that overlap, the rest of the second goes too
                start = max(start, at + len(found))
        return "".join([*kept, text[start:]]) if kept else text

    def _forget_oldest(self) -> None:
        _, needles = self._values.popitem(last=False)
        for needle in needles:
            bucket = self._candidates[needle[:_PREFIX]]
            bucket[needle] -= 1
            if not bucket[needle]:
                del bucket[needle]
            if not bucket:
                del self._candidates[needle[:_PREFIX]]


def _parts(raw: bytes) -> Iterator[bytes]:
    """The pieces of a value to look for: all of it, without surrounding space, and its longer lines."""
    whole = raw.strip()
    if len(whole) < _SHORTEST_BYTES:
        return
    yield whole[:_LONGEST_BYTES]
    lines = whole.splitlines()
    if len(lines) > 1:
        for line in lines:
            stripped = line.strip()
            if len(stripped) >= _SHORTEST_LINE_BYTES and not stripped.startswith(b"-----"):
                yield stripped[:_LONGEST_BYTES]


def _forms(raw: bytes) -> Iterator[str]:
    """The spellings under which others print `raw`; many coincide for plain words."""
    text = raw.decode(errors="replace")
    if "\ufffd" not in text:
        yield text
        escaped = json.dumps(text, ensure_ascii=False)[1:-1]
        yield escaped
        yield json.dumps(text)[1:-1]
        # Go's encoder writes these three as \u00XX.
        yield escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        yield repr(text)[1:-1]
    for percent in (quote(raw, safe=""), quote(raw), quote(raw, safe="$&+=:@"), quote_plus(raw)):
        yield percent
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
    yield raw.hex()
    yield raw.hex().upper()
    for shift in range(3):
        core = _base64_core(raw, shift)
        yield core
        yield core.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _base64_core(raw: bytes, shift: int) -> str:
    """What `raw` alone decides in the base64 of any text that has it after 3n + `shift` bytes."""
    encoded = base64.b64encode(bytes(shift) + raw).decode()
    first = (shift * 8 + 5) // 6
    return encoded[first : (shift + len(raw)) * 8 // 6]


_process = Redactor()
register = _process.register
redact = _process.redact
