"""docs/security.md cannot promise more than tests show: each row of its table has a test, and each test a
row."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
_ROW = re.compile(r"^\| (A\d\d) \|", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def test_((?:a\d\d_)+)", re.MULTILINE)


def promised() -> list[str]:
    return _ROW.findall((ROOT / "docs" / "security.md").read_text())


def named_by_tests() -> set[str]:
    names = [
        name
        for path in (ROOT / "tests" / "attacks").glob("test_*.py")
        for name in _TEST.findall(path.read_text())
    ]
    return {row.upper() for name in names for row in name.strip("_").split("_")}


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    assert set(promised()) == named_by_tests()


def test_the_rows_are_in_order_and_there_once() -> None:
    assert promised() == sorted(set(promised()))


def test_every_attack_names_its_row() -> None:
    """A test whose name does not begin with a row's id would be in no table."""
    every = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
    for path in (ROOT / "tests" / "attacks").glob("test_*.py"):
        for name in every.findall(path.read_text()):
            assert re.match(r"test_a\d\d_", name), f"{path.name}: {name}"
