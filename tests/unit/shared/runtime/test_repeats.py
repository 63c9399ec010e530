"""Which events are told and which are only counted."""

import pytest

from shared.runtime.events import Repeats
from shared.runtime.outcome import Event

FAILED = Event("Warning", "BuildFailed", "no kustomization.yaml")
OTHER = Event("Warning", "BuildFailed", "another text")
DONE = Event("Normal", "ReconciliationSucceeded", "done", {"g/revision": "r1"})
MOVED = Event("Normal", "ReconciliationSucceeded", "done", {"g/revision": "r2"})

# Steps of (object, event, seconds since the first), and what was told of each: count and time of the
# first, or None.
CASES: dict[str, tuple[list[tuple[str, Event, float]], list[tuple[int, str] | None]]] = {
    "once": ([("a", FAILED, 0)], [(1, "t0")]),
    "again within five minutes": ([("a", FAILED, 0), ("a", FAILED, 299)], [(1, "t0"), None]),
    "again after five minutes": ([("a", FAILED, 0), ("a", FAILED, 300)], [(1, "t0"), (1, "t300")]),
    "repeats are told with the next": (
        [("a", FAILED, 0), ("a", FAILED, 10), ("a", FAILED, 20), ("a", FAILED, 300)],
        [(1, "t0"), None, None, (3, "t10")],
    ),
    "and not twice": (
        [("a", FAILED, 0), ("a", FAILED, 10), ("a", FAILED, 300), ("a", FAILED, 600)],
        [(1, "t0"), None, (2, "t10"), (1, "t600")],
    ),
    "another object": ([("a", FAILED, 0), ("b", FAILED, 1)], [(1, "t0"), (1, "t1")]),
    "another text": ([("a", FAILED, 0), ("a", OTHER, 1), ("a", FAILED, 2)], [(1, "t0"), (1, "t1"), None]),
    "another revision": ([("a", DONE, 0), ("a", MOVED, 1)], [(1, "t0"), (1, "t1")]),
    "a failure that comes back": (
        [("a", FAILED, 0), ("a", DONE, 1), ("a", FAILED, 2)],
        [(1, "t0"), (1, "t1"), (1, "t2")],
    ),
    "a success that comes back": (
        [("a", DONE, 0), ("a", FAILED, 1), ("a", DONE, 2)],
        [(1, "t0"), (1, "t1"), (1, "t2")],
    ),
}


@pytest.mark.parametrize(("steps", "told"), CASES.values(), ids=CASES)
def test_repeats(steps: list[tuple[str, Event, float]], told: list[tuple[int, str] | None]) -> None:
    repeats = Repeats()
    assert [repeats.count(uid, event, 1_000 + at, f"t{at:g}") for uid, event, at in steps] == told


def test_memory_has_a_bound() -> None:
    repeats = Repeats()
    for number in range(25):
        repeats.count("a", Event("Normal", "Many", str(number)), 0, "t0")
    assert repeats.count("a", Event("Normal", "Many", "24"), 1, "t1") is None
    assert repeats.count("a", Event("Normal", "Many", "0"), 1, "t1") == (1, "t1")
