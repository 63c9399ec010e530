"""Percentiles, and that the meter sees what this process uses."""

import os

import pytest

from bench.measure import BENCH, OTHERS, TOGETHER, Memory, Meter, percentile

HUNDRED = [float(number) for number in range(100, 0, -1)]
ROWS: dict[str, tuple[list[float], float, float]] = {
    "the middle of an odd number": ([3, 1, 2], 50, 2),
    "the lower of the two in the middle": ([4, 3, 2, 1], 50, 2),
    "the 99th of a hundred": (HUNDRED, 99, 99),
    "the highest": (HUNDRED, 100, 100),
    "of few values, the highest": ([1, 2, 3], 99, 3),
    "of one value, itself": ([7], 1, 7),
}


@pytest.mark.parametrize(("values", "percent", "expected"), ROWS.values(), ids=ROWS)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_window_over_our_own_process() -> None:
    """PSS is never more than RSS, both controllers together are the sum, and CPU time goes up."""
    with Meter(lambda: {"a": os.getpid(), "b": os.getpid()}, ["a", "b"]) as meter:
        start = meter.begin()
        sum(number * number for number in range(1_000_000))
        window = meter.end(start)
    assert window.ended > window.began
    assert {"a", "b", BENCH, OTHERS} == set(window.cpu_s)
    assert window.cpu_s[BENCH] > 0
    assert 0 < window.peak["a"].pss <= window.peak["a"].rss
    assert window.peak[TOGETHER].rss >= window.peak["a"].rss + window.peak["b"].rss - (1 << 20)


def test_peaks_are_kept_apart() -> None:
    assert Memory(pss=5, rss=6).or_more(Memory(pss=3, rss=9)) == Memory(pss=5, rss=9)
