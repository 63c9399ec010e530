"""Fields that are left out of objects: what an event says of them, and what it does not."""

import pytest

from kustomize_controller.kustomization.report import left_out
from kustomize_controller.kustomization.substitute import without_values

LINES = tuple(f"ConfigMap/shop/c{n}: extra is not a field" for n in range(7))


def test_one_line_each() -> None:
    assert left_out(LINES[:2]) == "\n".join(LINES[:2])


def test_many_are_counted() -> None:
    assert left_out(LINES) == "\n".join(LINES[:5]) + " and 2 more"


SHOWN = {
    "no value of a Secret": ([frozenset[str]()], LINES[:2]),
    "a value that is elsewhere": ([frozenset({"hunter2"})], LINES[:2]),
    "a value in a field's name": ([frozenset[str](), frozenset({"c0"})], LINES[1:2]),
    "an empty value": ([frozenset({""})], LINES[:2]),
}


@pytest.mark.parametrize(("shown", "told"), SHOWN.values(), ids=SHOWN)
def test_values_are_not_told(shown: list[frozenset[str]], told: tuple[str, ...]) -> None:
    assert without_values(LINES[:2], shown) == told
