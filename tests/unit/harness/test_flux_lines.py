"""What counts as the expected answer of the command line: which lines, in which order, with which code."""

import pytest

from tests.cli.flux import Said, expect

SAID = Said(
    command="flux get all", code=1, told="► asking\n✗ failed: no\n", out="NAME \tREADY\napp  \tTrue \t\n"
)
KNOWN = {"name": "app"}

CASES: dict[str, tuple[tuple[str, ...], int, bool]] = {
    "what was told comes before what was given": (("✗ failed: no", "NAME READY"), 1, True),
    "lines in between are passed over": (("► asking", "app True"), 1, True),
    "known words are filled in": (("{name} True",), 1, True),
    "any text": (("✗ failed: …", "…True"), 1, True),
    "nothing is asked for": ((), 1, True),
    "another exit code": ((), 0, False),
    "another order": (("NAME READY", "► asking"), 1, False),
    "one line twice": (("app True", "app True"), 1, False),
    "a part of a line": (("app",), 1, False),
    "a dot is a dot": (("app.True",), 1, False),
}


@pytest.mark.parametrize(("lines", "code", "met"), CASES.values(), ids=CASES)
def test_expected_lines(lines: tuple[str, ...], code: int, met: bool) -> None:
    if met:
        expect(SAID, lines, KNOWN, code=code)
        return
    with pytest.raises(AssertionError, match="flux get all"):
        expect(SAID, lines, KNOWN, code=code)
