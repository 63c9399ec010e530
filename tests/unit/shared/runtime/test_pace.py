"""How long an object waits after failures, and between timed runs."""

import pytest

from shared.runtime.pace import Pace

PACE = Pace(concurrent=1, min_retry_s=0.75, max_retry_s=900.0, jitter=0.05)
WAITS = {
    "the first failure": (0, 0.75),
    "each further one doubles it": (3, 6.0),
    "up to the longest": (11, 900.0),
    "for ever": (10_000, 900.0),
}


@pytest.mark.parametrize(("failures", "wait_s"), WAITS.values(), ids=WAITS)
def test_the_wait_after_a_failure(failures: int, wait_s: float) -> None:
    assert PACE.backoff_s(failures) == wait_s


def test_intervals_are_spread_to_either_side() -> None:
    found = [PACE.jittered(100.0) for _ in range(200)]
    assert 95.0 <= min(found) < 100.0 < max(found) <= 105.0
