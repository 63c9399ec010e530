"""The language of postBuild. The rows of the contract's table (behaviour-kustomize.md 5) come first."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomize_controller.substitution.expand import Budget, Expander, ExpandError

VALUES = {"v": "hello", "e": "", "n": "7", "path": "/srv/app/main.tar.gz", "dots": "a.b.c", "wide": "äöü"}

EXPANDED: dict[str, tuple[str, str]] = {
    "a name without braces": ("$v and $v", "$v and $v"),
    "a name in parentheses": ("$(v)", "$(v)"),
    "a number": ("$5", "$5"),
    "a lone dollar": ("a $ b $", "a $ b $"),
    "a value": ("${v}", "hello"),
    "values side by side": ("<${v}${n}>", "<hello7>"),
    "an escaped one": ("$${v}", "${v}"),
    "two dollars": ("$$", "$"),
    "two dollars and a name": ("$$v", "$v"),
    "three dollars": ("$$$", "$$"),
    "four dollars": ("$$$$", "$$"),
    "an escaped dollar before a value": ("$$${v}", "$hello"),
    "a default for what is unset": ("${m:-d}", "d"),
    "an assigned default for what is unset": ("${m:=d}", "d"),
    "an equals sign alone for what is unset": ("${m=d}", "d"),
    "a default for what is empty": ("${e:-d}", "d"),
    "an equals sign alone for what is empty": ("${e=d}", "d"),
    "a default that is not needed": ("${v:-d}${v:=d}${v=d}", "hellohellohello"),
    "a default of nothing": ("<${m:-}>", "<>"),
    "an alternative for what is unset": ("${m:+x}", "x"),
    "an alternative for what is set": ("${v:+x}", "hello"),
    "a message for what is unset": ("${m:?x}", "x"),
    "an empty value": ("<${e}>", "<>"),
    "a length": ("${#v}", "5"),
    "a length in characters": ("${#wide}", "3"),
    "the first letter in upper case": ("${v^}", "Hello"),
    "all in upper case": ("${v^^}", "HELLO"),
    "the first letter in lower case": ("${v,}", "hello"),
    "all in lower case": ("${v,,}", "hello"),
    "the case of nothing": ("<${e^}${e,}>", "<>"),
    "from a place on": ("${v:1}", "ello"),
    "a part": ("${v:1:2}", "el"),
    "from beyond the end": ("<${v:10}>", "<>"),
    "a part that is longer than the rest": ("${v:3:9}", "lo"),
    "up to a place from the end": ("${v:1:-1}", "ell"),
    "nothing between two places": ("<${v:3:-4}>", "<>"),
    "from a place that is no number": ("${v:x}", "hello"),
    "from a place that another variable tells": ("${v:${one:-1}:${n}}", "ello"),
    "without a beginning": ("${v#he}", "llo"),
    "without the longest beginning": ("${v##p}", "hello"),
    "without an end": ("${v%lo}", "hel"),
    "without the longest end": ("${v%%p}", "hello"),
    "without the shortest path": ("${path#*/}", "srv/app/main.tar.gz"),
    "without the longest path": ("${path##*/}", "main.tar.gz"),
    "without the shortest suffix": ("${path%.*}", "/srv/app/main.tar"),
    "without the longest suffix": ("${path%%.*}", "/srv/app/main"),
    "without one of a set": ("${v#[a-h]}${v#[!a-h]}${v#[^x]}", "ellohelloello"),
    "without any character": ("${v#?}${v%?}", "ellohell"),
    "without a literal star": (r"${v#\*}", "hello"),
    "a set without an end is no pattern": ("${v#[a}", "hello"),
    "the first one": ("${v/l/L}", "heLlo"),
    "every one": ("${v//l/L}", "heLLo"),
    "a beginning": ("${v/#he/X}", "Xllo"),
    "an end": ("${v/%lo/X}", "helX"),
    "a replacement is no regular expression": ("${dots//./-}", "a-b-c"),
    "a replacement by nothing": ("${dots//./}${v/#he/}", "abcllo"),
    "before and after": ("${v/#/<}${v/%/>}", "<hellohello>"),
    "a slash in a replacement": (r"${path//\//_}", "_srv_app_main.tar.gz"),
    "a nested default": ("${m:-${v}}", "hello"),
    "a nested default among others": ("${m:=${v}-${n}}", "hello-7"),
    "defaults within defaults": ("${m:-${k:-${v^^}}}", "HELLO"),
    "an operator in a default": ("${m=${v^^}}", "HELLO"),
    "a value that looks like a variable": ("${m:-$v}", "$v"),
    "a backslash": (r"\${v} \n", r"\hello \n"),
    "several lines": ("a: ${v}\nb: ${m:-\n x}\n", "a: hello\nb: \n x\n"),
}

REFUSED: dict[str, tuple[str, str]] = {
    "a dash without a colon": ("${m-d}", "missing closing brace"),
    "a plus without a colon": ("${v+x}", "missing closing brace"),
    "a name with a dot": ("${v.x}", "missing closing brace"),
    "no end": ("${v", "missing closing brace"),
    "two words": ("${a b}", "missing closing brace"),
    "no name": ("${}", "unable to parse variable name"),
    "blanks around a name": ("${ v }", "unable to parse variable name"),
    "a default without an end": ("${m:-d", "unable to parse substitution within function"),
    "a replacement of which half is missing": ("${v/l}", "bad substitution"),
    "more after the case": ("${v^x}", "bad substitution"),
    "a length of nothing": ("${#}", "bad substitution"),
    "a length and more": ("${#v:1}", "bad substitution"),
    "not set": ("a ${m} b", 'variable not set (strict mode): "m"'),
    "an operator on what is not set": ("${m^^}", 'variable not set (strict mode): "m"'),
    "the length of what is not set": ("${#m}", 'variable not set (strict mode): "m"'),
    "a default that is not set": ("${v:-${m}}", 'variable not set (strict mode): "m"'),
    "nested without end": ("${m:-" * 100 + "}" * 100, "substitutions are nested more than 50 deep"),
}


@pytest.mark.parametrize(("text", "result"), EXPANDED.values(), ids=EXPANDED)
def test_expands(text: str, result: str) -> None:
    assert Expander(VALUES).expand(text) == result


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_refuses(text: str, told: str) -> None:
    with pytest.raises(ExpandError) as refused:
        Expander(VALUES).expand(text)
    assert str(refused.value) == told


def test_what_is_not_set_is_empty_without_strictness() -> None:
    assert Expander(VALUES, strict=False).expand("<${m}${m^^}${#m}>") == "<0>"


def test_a_value_is_not_read_again() -> None:
    assert Expander({"a": "${a}${b}", "b": "$${x}"}).expand("${a} ${b}") == "${a}${b} $${x}"


BOMBS = {
    "a long value many times": ({"a": "x" * 1_000_000}, "${a}" * 11, "values add more than 10 MiB"),
    "every character by a long text": (
        {"a": "x" * 5_000, "b": "y" * 5_000}, "${a//x/${b}}", "values add more than 10 MiB",
    ),
    "in a default that nobody needs": ({"a": "x" * 6_000_000}, "${a:-${a}}", "values add more than 10 MiB"),
    "stars": ({"a": "x" * 400_000}, "${a%%*a*b*c*d}${a%%*a*b*c*d}", "matched against too much text"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "text", "told"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_time(values: dict[str, str], text: str, told: str) -> None:
    began = time.process_time()
    with pytest.raises(ExpandError, match=told) as refused:
        Expander(values).expand(text)
    assert time.process_time() - began < 2.0
    assert len(str(refused.value)) < 200


def test_a_long_text_takes_time_by_its_length() -> None:
    """Half a million dollars, and two hundred thousand braces."""
    began = time.process_time()
    assert Expander(VALUES).expand("$$" * 500_000) == "$" * 500_000
    assert Expander(VALUES).expand("${n}" * 200_000) == "7" * 200_000
    assert time.process_time() - began < 5.0


def test_what_hidden_values_become_is_known() -> None:
    expander = Expander({"secret": "hunter2", "v": "x"}, hidden=frozenset({"secret"}))
    assert expander.expand("${v} ${secret^^} ${m:-<${secret}>}") == "x HUNTER2 <hunter2>"
    assert expander.shown == {"HUNTER2", "<hunter2>"}
    assert expander.hidden_read == {"secret"}
    assert "hunter2" not in repr(expander).lower()


def test_a_budget_is_shared() -> None:
    budget = Budget(chars=8)
    Expander(VALUES, budget=budget).expand("${v}")
    with pytest.raises(ExpandError):
        Expander(VALUES, budget=budget).expand("${v}")


@given(st.text(alphabet="${}:-=#%/^,\\v*[]!a5 \n", max_size=60))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    """Whatever a stranger writes: text, or a word about it."""
    try:
        Expander(VALUES, strict=False).expand(text)
    except ExpandError as refused:
        assert str(refused)  # noqa: PT017  # either way is right


@given(st.text(max_size=60).filter(lambda text: "$" not in text))
def test_a_text_without_dollars_stays_as_it_is(text: str) -> None:
    assert Expander({}).expand(text) == text
