"""From what each object says to one conclusion. Pure.

Source: behaviour-kustomize.md 10 and 14. Objects are named in the order of apply.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kustomize_controller.kustomization.health.verdict import Status, Verdict
from shared.api.objects import ObjectId

NAMED = 20  # objects in a message; the rest is counted
WHY_LENGTH = 200  # characters of what one object says: a condition's message may be a novel


@dataclass(frozen=True, slots=True)
class Healthy:
    """All that is waited for is ready."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Some of it is not ready yet."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """It did not become ready, or cannot; `message` names the objects and what each of them says."""

    message: str


Conclusion = Healthy | Pending | Unhealthy


def conclude(
    verdicts: Mapping[ObjectId, Verdict | None], *, timed_out: bool, fail_fast: bool = True
) -> Conclusion:
    """What `verdicts` come to; None is an object that was not looked at yet.

    An object that has failed ends the wait at once, since it will not become ready by itself; without
    `fail_fast` only when no other one is still on its way.
    """
    statuses = [verdict.status if verdict is not None else Status.UNKNOWN for verdict in verdicts.values()]
    if all(status is Status.CURRENT for status in statuses):
        return Healthy()
    has_failed = Status.FAILED in statuses
    is_over = all(status in (Status.CURRENT, Status.FAILED) for status in statuses)
    if has_failed and (fail_fast or is_over):
        return Unhealthy(f"failed early due to stalled resources: [{_named(verdicts, only_failed=True)}]")
    if timed_out:
        return Unhealthy(f"timeout waiting for: [{_named(verdicts, only_failed=False)}]")
    return Pending()


def _named(verdicts: Mapping[ObjectId, Verdict | None], *, only_failed: bool) -> str:
    told = [
        _entry(id_, verdict)
        for id_, verdict in verdicts.items()
        if verdict is None
        or verdict.status is Status.FAILED
        or (not only_failed and verdict.status is not Status.CURRENT)
    ]
    return ", ".join(_first(told))


def _first(told: list[str]) -> Iterable[str]:
    yield from told[:NAMED]
    if len(told) > NAMED:
        yield f"and {len(told) - NAMED} more"


def _entry(id_: ObjectId, verdict: Verdict | None) -> str:
    if verdict is None:
        return f"can't determine status for {id_.subject}"
    why = " ".join(verdict.why.split())
    why = why if len(why) <= WHY_LENGTH else why[: WHY_LENGTH - 1] + "…"
    return f"{id_.subject} status: '{verdict.status}'" + (f": {why}" if why else "")
