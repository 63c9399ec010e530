"""What an artifact leaves out: the traps of the contract, and the library that Flux uses as an oracle."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.artifacts.ignore import CI, EXTENSIONS, EXTRA, VCS, IgnoreError, Pattern, Rules, rules

DATA = Path(__file__).parents[3] / "data"
CASES = [json.loads(line) for line in (DATA / "sourceignore" / "cases.jsonl").read_text().splitlines()]

TREE = (
    ".gitignore",
    "a.yaml",
    "logo.png",
    ".github/w.yaml",
    "sub/.gitignore",
    "sub/logo.png",
    "sub/deep/x.txt",
)
ALL_BUT = {
    "no patterns: all defaults": (
        {},
        None,
        {".gitignore", "logo.png", ".github/w.yaml", "sub/.gitignore", "sub/logo.png"},
    ),
    "an empty text is no pattern": (
        {},
        "",
        {".gitignore", "logo.png", ".github/w.yaml", "sub/.gitignore", "sub/logo.png"},
    ),
    "comments are no pattern": (
        {"": b"# nothing\n\n  \n"},
        None,
        {".gitignore", "logo.png", ".github/w.yaml", "sub/.gitignore", "sub/logo.png"},
    ),
    "one pattern drops all defaults but version control": (
        {},
        "a.yaml",
        {".gitignore", "sub/.gitignore", "a.yaml"},
    ),
    "so does one in any folder": ({"sub": b"none"}, None, {".gitignore", "sub/.gitignore"}),
    "all but one folder, with everything in it": (
        {},
        "/*\n!/sub",
        {".gitignore", "a.yaml", "logo.png", ".github/w.yaml"},
    ),
    "a file comes back from an ignored folder": (
        {},
        "sub/\n!sub/deep/x.txt",
        {".gitignore", "sub/.gitignore", "sub/logo.png"},
    ),
    "a folder's file speaks of that folder": (
        {"sub": b"/logo.png"},
        None,
        {".gitignore", "sub/.gitignore", "sub/logo.png"},
    ),
    "spec.ignore comes last": ({"": b"a.yaml"}, "!a.yaml", {".gitignore", "sub/.gitignore"}),
    "Windows line ends": ({"": b"a.yaml\r\n"}, None, {".gitignore", "sub/.gitignore", "a.yaml"}),
}


@pytest.mark.parametrize(("files", "spec", "gone"), ALL_BUT.values(), ids=ALL_BUT)
def test_what_is_left_out(files: dict[str, bytes], spec: str | None, gone: set[str]) -> None:
    made = rules(files, spec)
    assert {path for path in TREE if made.excludes(path, folder=False)} == gone


def test_a_folder_may_be_left_out_while_a_file_below_it_stays() -> None:
    made = rules({}, "sub/\n!sub/deep/x.txt")
    assert made.excludes("sub", folder=True)
    assert not made.excludes("sub/deep/x.txt", folder=False)


def test_the_defaults_are_those_of_the_contract() -> None:
    table = (DATA / "sourceignore" / "defaults.tsv").read_text().splitlines()[1:]
    listed: dict[str, tuple[str, ...]] = {}
    for line in table:
        group, pattern, _ = line.split("\t")
        listed[group] = (*listed.get(group, ()), pattern)
    assert listed == {"vcs": VCS, "ext": EXTENSIONS, "ci": CI, "extra": EXTRA}


def test_patterns_mean_what_they_mean_in_flux() -> None:
    wrong = [case for case in CASES if excluded(case) != case["excluded"]]
    assert not wrong, wrong[:5]


def excluded(case: dict[str, Any]) -> bool:
    patterns: list[Pattern] = []
    for folder, line in case["patterns"]:
        # The list of a single file: without its defaults, which come first.
        patterns += rules({folder: line.encode()}, None).patterns[len(VCS) :] if line.strip() else []
    return Rules(tuple(patterns)).excludes(case["path"], folder=case["folder"])


def test_a_hostile_pattern_does_not_hang() -> None:
    made = rules({}, "*a" * 30 + "b")
    assert not made.excludes("a" * 200, folder=False)


TOO_MUCH = {
    "more patterns than anybody needs": ({"app": b"a\n" * 10_001}, None, "'app/.sourceignore': more than"),
    "a pattern longer than any path": ({"": b"*" * 5000}, None, "'.sourceignore': a pattern is longer"),
    "the same in the spec": ({}, "x" * 5000, "'spec.ignore': a pattern is longer"),
}


@pytest.mark.parametrize(("files", "spec", "says"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_patterns_are_bounded(files: dict[str, bytes], spec: str | None, says: str) -> None:
    with pytest.raises(IgnoreError, match=says):
        rules(files, spec)
