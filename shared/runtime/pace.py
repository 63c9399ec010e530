"""How often an object is worked on, and how many are at once."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds.

    Attributes:
        concurrent: objects of one kind that are worked on at a time.
        min_retry_s, max_retry_s: the wait after a first failure, and the longest.
        requeue_dependency_s: safety net for an object that waits for another.
        jitter: of an interval, to either side.
    """

    concurrent: int
    min_retry_s: float = 0.75
    max_retry_s: float = 900.0
    requeue_dependency_s: float = 30.0
    jitter: float = 0.05

    def backoff_s(self, failures: int) -> float:
        """The wait after a failure that `failures` others came before; it doubles with each."""
        return float(min(self.min_retry_s * 2 ** min(failures, 30), self.max_retry_s))

    def jittered(self, interval_s: float) -> float:
        return interval_s * (1 + self.jitter * random.uniform(-1, 1))  # noqa: S311  # not for secrets
