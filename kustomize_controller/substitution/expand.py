"""Putting variables into a text: the grammar of `${…}`, read from left to right, once.

    $v  $(v)  $5  $  stay as they are       ${v}  the value       $$  one dollar
    ${v:-x} ${v:=x} ${v=x} ${v:?x} ${v:+x}  x if v is unset or empty
    ${#v}                                   its length
    ${v^} ${v^^} ${v,} ${v,,}               upper and lower case
    ${v:1} ${v:1:2}                         a part of it
    ${v#g} ${v##g} ${v%g} ${v%%g}           without a match of g, shortest or longest, at an end
    ${v/a/b} ${v//a/b} ${v/#a/b} ${v/%a/b}  a by b: the first, every, at the start, at the end

The word after an operator may hold further `${…}`. A value is never read again, so a text grows by no more
than what its values have; and that is limited too. A backslash means itself, but for `\\/` and `\\\\` in the
two parts of a replacement, where a slash could not be written otherwise.

Source: behaviour-kustomize.md 5, the table; errors are spelled as there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kustomize_controller.substitution import operators

__all__ = ["Budget", "ExpandError", "Expander"]

MOST_NESTED = 50
INSERTED_CHARS = 10 << 20  # reliability A11
PATTERN_STEPS = 500_000  # characters that patterns look at one by one, some 0.2 µs each

_NAME = re.compile(r"\w+")
_OPERATOR = re.compile(r":[-=?+]|=|/[/#%]?|:|##?|%%?|\^\^?|,,?")
_DEFAULTS = frozenset({":-", ":=", ":?", ":+", "="})

# Where a word ends or is interrupted.
_TO_BRACE = re.compile(r"\$\{|\}")
_TO_COLON = re.compile(r"\$\{|[:}]")
_TO_SLASH = re.compile(r"\$\{|\$\$|\\[/\\]|[/}]")
_TO_BRACE_ESCAPED = re.compile(r"\$\{|\$\$|\\[/\\]|\}")

_REPLACEMENTS = ("/", "//", "/#", "/%")
# Of operators that take two words: where the first ends, what comes between, where the second ends.
_SHAPES = {":": (_TO_COLON, ":", _TO_BRACE)} | dict.fromkeys(
    _REPLACEMENTS, (_TO_SLASH, "/", _TO_BRACE_ESCAPED)
)

_NO_WORD = "unable to parse substitution within function"


class ExpandError(ValueError):
    """The text cannot be expanded. The message holds no value."""


@dataclass(slots=True)
class Budget:
    """What may still be spent; shared by all texts of one build."""

    chars: int = INSERTED_CHARS
    steps: int = PATTERN_STEPS

    def insert(self, count: int) -> None:
        self.chars -= count
        if self.chars < 0:
            raise ExpandError(f"values add more than {INSERTED_CHARS >> 20} MiB; use fewer or shorter ones")

    def match(self, count: int) -> None:
        self.steps -= count
        if self.steps < 0:
            raise ExpandError("patterns are matched against too much text; use fewer or shorter values")


@dataclass(slots=True)
class Expander:
    """Expands texts with the same variables.

    Attributes:
        values: by name.
        hidden: names of those that must not be shown.
        strict: an unknown variable without a default is an error; else it is empty.
        shown: what hidden values became in the texts so far.
        hidden_read: names of those that were asked for.
    """

    values: Mapping[str, str] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    strict: bool = True
    budget: Budget = field(default_factory=Budget)
    shown: set[str] = field(default_factory=set, repr=False)
    hidden_read: set[str] = field(default_factory=set)
    _hidden_reads: int = 0

    def expand(self, text: str) -> str:
        """`text` with every `${…}` replaced.

        Raises:
            ExpandError: it cannot be read, a variable is not set, or it would become too long.
        """
        out: list[str] = []
        at = 0
        while (found := text.find("$", at)) >= 0:
            following = text[found + 1 : found + 2]
            if following == "{":
                out.append(text[at:found])
                reads = self._hidden_reads
                value, at = self._braces(text, found + 2, 1)
                out.append(value)
                if self._hidden_reads != reads and value:
                    self.shown.add(value)
            else:
                out.append(text[at : found + 1])
                at = found + (2 if following == "$" else 1)
        out.append(text[at:])
        return "".join(out)

    def _braces(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """What `${…}` stands for, of which `at` is the place after the brace; and the place after its end."""
        if depth > MOST_NESTED:
            raise ExpandError(f"substitutions are nested more than {MOST_NESTED} deep")
        if text.startswith("#", at):
            name = _NAME.match(text, at + 1)
            if name is None:
                raise ExpandError("bad substitution")
            end = self._end(text, name.end(), "bad substitution")
            return self._inserted(str(len(self._read(name[0])))), end
        name = _NAME.match(text, at)
        if name is None:
            raise ExpandError("unable to parse variable name")
        operator = _OPERATOR.match(text, name.end())
        if operator is None:
            end = self._end(text, name.end(), "missing closing brace")
            return self._inserted(self._read(name[0])), end
        words, at = self._words(text, operator[0], operator.end(), depth)
        end = self._end(text, at, "bad substitution")
        return self._inserted(self._operated(name[0], operator[0], words)), end

    def _words(self, text: str, operator: str, at: int, depth: int) -> tuple[list[str], int]:
        """What an operator is given, expanded, and the place where the closing brace belongs."""
        if operator in operators.CASES:
            return [], at
        first_until, then, second_until = _SHAPES.get(operator, (_TO_BRACE, "", _TO_BRACE))
        first, at = self._word(text, at, first_until, depth)
        if not then or not text.startswith(then, at):
            return [first], at
        second, at = self._word(text, at + 1, second_until, depth)
        return [first, second], at

    def _operated(self, name: str, operator: str, words: list[str]) -> str:
        """The value of `name` after an operator that was given `words`."""
        if operator in _DEFAULTS:
            return self._read(name, optional=True) or words[0]
        if operator in _REPLACEMENTS and len(words) < 2:
            raise ExpandError("bad substitution")
        value = self._read(name)
        if operator in operators.CASES:
            return operators.CASES[operator](value)
        if operator in operators.STRIPS:
            self.budget.match(len(value) * (1 + len(words[0]) // 64) + len(words[0]))
            return operators.strip(operator, value, words[0])
        if operator == ":":
            return operators.substring(value, words[0], words[1] if len(words) > 1 else None)
        if operator == "//":
            self.budget.insert(max(0, operators.size_replaced(value, *words) - len(value)))
        return operators.replace(operator, value, *words)

    def _word(self, text: str, at: int, until: re.Pattern[str], depth: int) -> tuple[str, int]:
        """The word that begins at `at`, expanded, and the place of what ends it."""
        out: list[str] = []
        while (found := until.search(text, at)) is not None:
            out.append(text[at : found.start()])
            if found[0] == "${":
                value, at = self._braces(text, found.end(), depth + 1)
                out.append(value)
            elif len(found[0]) == 2:
                out.append(found[0][1])
                at = found.end()
            else:
                return "".join(out), found.start()
        raise ExpandError(_NO_WORD)

    def _end(self, text: str, at: int, otherwise: str) -> int:
        if not text.startswith("}", at):
            raise ExpandError(otherwise)
        return at + 1

    def _inserted(self, value: str) -> str:
        self.budget.insert(len(value))
        return value

    def _read(self, name: str, *, optional: bool = False) -> str:
        value = self.values.get(name)
        if value is None:
            if self.strict and not optional:
                raise ExpandError(f'variable not set (strict mode): "{name}"')
            return ""
        if name in self.hidden:
            self._hidden_reads += 1
            self.hidden_read.add(name)
        return value
