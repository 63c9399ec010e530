"""What one object says about itself."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """As messages spell it (kstatus). `Current` is what is waited for."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` is for people; "" where the status says all."""

    status: Status
    why: str = ""


CURRENT = Verdict(Status.CURRENT)


def in_progress(why: str) -> Verdict:
    return Verdict(Status.IN_PROGRESS, why)


def failed(why: str) -> Verdict:
    return Verdict(Status.FAILED, why)
