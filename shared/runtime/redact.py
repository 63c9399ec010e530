"""What must not be read by others, taken out of text: for the three exits log, status and event.

Two kinds of secret are known. Values that were registered when they were read (a Secret's data, a token) are
masked wherever they stand: raw, JSON-escaped, percent-encoded, hexadecimal, and base64 in all three
alignments, as in `Authorization: Basic` of `user:password`. And shapes that are secret whoever wrote them:
the user part and the query of a URL, private keys, age keys, Authorization headers.

A value belongs to a namespace, and is masked in what is said of that namespace's objects only. Else whoever
may write a Secret could blot out the messages of others, push their secrets out of memory, or learn from the
mask over a guess in a message of their own that somebody's secret has that value. Text of which nobody knows
whom it is about, such as a traceback, is masked with the values of all; only operators read it.

Masking is the last line, not the first: code that can avoid putting a secret into a message does so.
"""

import asyncio
import base64
import bisect
import itertools
import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "Redactor", "redact", "register", "register_all"]

MASK = "***"

# Shorter values protect nothing, and masking "main" or "true" would make every message unreadable.
_SHORTEST_BYTES = 6
# A prefix of this length picks the few candidates at each position, so that the cost of a message does not
# grow with the number of secrets: 0.15 µs of CPU a character, with 60 needles as with 30,000.
_PREFIX = 4
_LONGEST_BYTES = 4096  # of one needle; longer values are known by their lines and their beginning
_SHORTEST_LINE_BYTES = 12  # of a value of several lines; a guess: PEM lines have 64, JSON braces have 1
_MOST_LINES = 500  # of one value; a key of 16,384 bits has 200
# Of each namespace; its own oldest value is forgotten first, so that rotating tokens do not fill memory. A
# value of 32 bytes has some 400 characters in all its spellings.
_MOST_VALUES = 5_000
_MOST_CHARS = 8 << 20
_MOST_NAMESPACES = 1_000  # with values; the one that registered nothing for longest is forgotten
_TURN_S = 0.005  # between two turns of the event loop

# "'", '"', "<", ">" and "\" end a URL in prose, in JSON and in escaped JSON.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#\"'<>\\]*@)?([^\s?#\"'<>\\]*)(\?[^\s#\"'<>\\]*)?")
_HEADER = re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)[^\s\"',;\\]+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S
)
_AGE_KEY = re.compile(r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+", re.I)


class Redactor:
    """Sets of secret values, one for each namespace, and the function that masks them. Its repr shows
    none."""

    def __init__(self) -> None:
        self._namespaces: OrderedDict[str, _Values] = OrderedDict()  # "": the process's own

    def __repr__(self) -> str:
        return f"Redactor({sum(map(len, self._namespaces.values()))} values)"

    def register(self, value: bytes | str, namespace: str = "") -> None:
        """Mask `value` from now on. Cheap for one that is known; a value under 6 bytes is let through.

        Args:
            namespace: in what is said of its objects; "" for a value of the process, masked everywhere.
        """
        self._namespaces.setdefault(namespace, _Values()).add(value)
        self._namespaces.move_to_end(namespace)
        if len(self._namespaces) > _MOST_NAMESPACES:
            del self._namespaces[next(name for name in self._namespaces if name)]

    async def register_all(self, values: Iterable[bytes | str], namespace: str = "") -> None:
        """`register` each of `values`, with turns for others in between: one takes 24 µs and more."""
        since = time.monotonic()
        for value in values:
            self.register(value, namespace)
            if time.monotonic() - since > _TURN_S:
                await asyncio.sleep(0)
                since = time.monotonic()

    def redact(self, text: str, namespace: str | None = None) -> str:
        """`text` with registered values replaced by `***`, and URLs without user part and query.

        Args:
            namespace: of the object that `text` is about: its values and those of the process are masked;
                None if nobody knows: the values of all are.
        """
        if namespace is None:
            known = list(self._namespaces.values())
        else:
            known = [self._namespaces[name] for name in {"", namespace} if name in self._namespaces]
        if known:
            text = _masked(text, known)
        if "://" in text:
            text = _URL.sub(r"\1\2", text)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(MASK, text)
        if "-KEY-" in text.upper():
            text = _AGE_KEY.sub(MASK, text)
        return _HEADER.sub(rf"\1{MASK}", text)


class _Values:
    """The values of one namespace."""

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self._chars = 0
        self.candidates: dict[str, _Needles] = {}  # by prefix

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: bytes | str) -> None:
        raw = value.encode(errors="surrogatepass") if isinstance(value, str) else bytes(value)
        if raw in self._values:
            self._values.move_to_end(raw)
            return
        needles = tuple({needle for part in _parts(raw) for needle in _forms(part) if len(needle) >= _PREFIX})
        if not needles:
            return
        self._values[raw] = needles
        self._chars += sum(map(len, needles))
        for needle in needles:
            self.candidates.setdefault(needle[:_PREFIX], _Needles()).add(needle)
        while len(self._values) > _MOST_VALUES or (self._chars > _MOST_CHARS and len(self._values) > 1):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, needles = self._values.popitem(last=False)
        self._chars -= sum(map(len, needles))
        for needle in needles:
            if self.candidates[needle[:_PREFIX]].remove(needle):
                del self.candidates[needle[:_PREFIX]]


class _Needles:
    """Needles that begin alike. The longest one at a place is found by bisection: who chooses thousands of
    them, and the text as well, must not hold up the others."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}  # how many values have it
        self._order: list[str] = []  # sorted; empty when it is to be made anew
        # For each, the place of the longest other one that it begins with, or -1; and a place further down
        # that chain, so that few steps lead along it.
        self._within: list[int] = []
        self._further: list[int] = []
        self._longest = 0

    def add(self, needle: str) -> None:
        self._counts[needle] = self._counts.get(needle, 0) + 1
        self._order = []

    def remove(self, needle: str) -> bool:
        """Whether none is left."""
        self._counts[needle] -= 1
        if not self._counts[needle]:
            del self._counts[needle]
        self._order = []
        return not self._counts

    def length_at(self, text: str, at: int) -> int:
        """Of the longest needle that `text` has at `at`; 0 if there is none."""
        if not self._order:
            self._arrange()
        found = bisect.bisect_right(self._order, text[at : at + self._longest]) - 1
        # What comes before it in the alphabet is the needle, or begins with it, if one stands here.
        while found >= 0 and not text.startswith(self._order[found], at):
            far = self._further[found]
            is_past = far < 0 or text.startswith(self._order[far], at)
            found = self._within[found] if is_past else far
        return len(self._order[found]) if found >= 0 else 0

    def _jump(self, parent: int, depths: Sequence[int]) -> int:
        """Where to jump to from a child of `parent`: steps of 1, 3, 7, … as in a skew binary number."""
        far = self._further[parent] if parent >= 0 else -1
        further = self._further[far] if far >= 0 else -1
        if further >= 0 and depths[parent] - depths[far] == depths[far] - depths[further]:
            return further
        return parent

    def _arrange(self) -> None:
        self._order = sorted(self._counts)
        self._longest = max(map(len, self._order))
        self._within, self._further, around = [], [], list[int]()
        depths: list[int] = []
        for place, needle in enumerate(self._order):
            while around and not needle.startswith(self._order[around[-1]]):
                around.pop()
            parent = around[-1] if around else -1
            self._within.append(parent)
            self._further.append(self._jump(parent, depths))
            depths.append(len(around))
            around.append(place)


def _masked(text: str, known: Iterable[_Values]) -> str:
    prefixes = {text[at : at + _PREFIX] for at in range(len(text) - _PREFIX + 1)}
    spans: list[tuple[int, int]] = []
    for values in known:
        for prefix in prefixes & values.candidates.keys():
            needles = values.candidates[prefix]
            at = text.find(prefix)
            while at >= 0:
                if length := needles.length_at(text, at):
                    spans.append((at, at + length))
                at = text.find(prefix, at + 1)
    kept, start = [], 0
    for at, end in sorted(spans):
        if at >= start:
            kept += [text[start:at], MASK]
        start = max(start, end)  # of two that overlap, the rest of the second goes too
    return "".join([*kept, text[start:]])


def _parts(raw: bytes) -> Iterator[bytes]:
    """The pieces of a value to look for: all of it, without surrounding space, and its longer lines."""
    whole = raw.strip()
    if len(whole) < _SHORTEST_BYTES:
        return
    yield whole[:_LONGEST_BYTES]
    lines = whole.splitlines()
    if len(lines) > 1:
        for line in itertools.islice(lines, _MOST_LINES):
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
register_all = _process.register_all
redact = _process.redact
