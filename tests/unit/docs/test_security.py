"""docs/security.md cannot promise more than tests show: each row of its table names the tests behind it, and
each test stands in the rows that its name begins with."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]
_ROW = re.compile(r"^\| (A\d\d) \|(?:.*)\| ([^|]*) \|$", re.MULTILINE)
_NAMED = re.compile(r"`(test_\w+\.py::test_\w+)`")
_TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_IDS = re.compile(r"test_((?:a\d\d_)+)")


def rows() -> list[tuple[str, list[str]]]:
    """Of the page's table: id, and the tests of the last column."""
    found = _ROW.findall((ROOT / "docs" / "security.md").read_text())
    return [(row, _NAMED.findall(tests)) for row, tests in found]


def attack_tests() -> list[str]:
    """As `file::name`."""
    files = sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
    return [f"{path.name}::{name}" for path in files for name in _TEST.findall(path.read_text())]


def ids(test: str) -> list[str]:
    """The rows that a test's name begins with."""
    found = _IDS.match(test.partition("::")[2])
    return found[1].upper().strip("_").split("_") if found else []


def test_every_row_names_its_tests_and_every_test_has_its_rows() -> None:
    wanted = defaultdict(list)
    for test in attack_tests():
        for row in ids(test):
            wanted[row].append(test)
    assert dict(rows()) == dict(wanted)


def test_the_rows_are_in_order_and_there_once() -> None:
    named = [row for row, _ in rows()]
    assert named == sorted(set(named))


def test_every_attack_names_its_row() -> None:
    """A test whose name does not begin with a row's id would be in no table."""
    assert [test for test in attack_tests() if not ids(test)] == []


def test_who_has_no_bystanders_is_named() -> None:
    """The page says of which files nobody looks after neighbours, memory and secrets."""
    page = (ROOT / "docs" / "security.md").read_text()
    without = [
        path.name
        for path in sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
        if not re.search(r"bystanders: Bystanders|scene: Scene", path.read_text())
    ]
    exempt = page[page.index("run no controller") : page.index("Of two inputs")]
    assert without == sorted(set(re.findall(r"test_\w+\.py", exempt)))
