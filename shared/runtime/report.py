"""The status of an object after a run, from its status before and what the run found. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.api.meta import Condition
from shared.runtime import conditions
from shared.runtime.outcome import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a run, or a part of it, says about the object.

    Attributes:
        fields: top-level status fields as JSON values; None removes one.
        observed: the generation is dealt with to an end.
        handled: the value of requestedAt that this run answers, or None to leave the field.
    """

    marks: tuple[Mark, ...] = ()
    drop: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    observed: bool = False
    handled: str | None = None


def conditions_of(status: Mapping[str, Any]) -> list[Condition]:
    """The conditions in a raw status; those that cannot be read are left out, for they will be written
    anew."""
    found = []
    for raw in status.get("conditions") or ():
        try:
            found.append(msgspec.convert(raw, Condition))
        except msgspec.ValidationError:
            continue
    return found


def next_status(
    old: Mapping[str, Any], finding: Finding, *, namespace: str, generation: int, now: str
) -> dict[str, Any]:
    """The whole new status of an object in `namespace`. What `finding` does not speak of stays."""
    new = {name: value for name, value in old.items() if name not in finding.fields}
    new.update((name, value) for name, value in finding.fields.items() if value is not None)
    before = conditions_of(old)
    merged = conditions.merge(
        before, finding.marks, finding.drop, namespace=namespace, generation=generation, now=now
    )
    if merged:
        new["conditions"] = [_raw(condition) for condition in merged]
    else:
        new.pop("conditions", None)
    if finding.observed:
        new["observedGeneration"] = generation
    if finding.handled is not None:
        new["lastHandledReconcileAt"] = finding.handled
    return new


def _raw(condition: Condition) -> Any:
    return msgspec.to_builtins(condition)


def is_news(before: Iterable[Condition], marks: Iterable[Mark], namespace: str) -> bool:
    """Whether Ready says something new of an object in `namespace`: what is worth an event and a line in
    the log."""
    old = next(((c.status, c.reason, c.message) for c in before if c.type == "Ready"), None)
    return any(
        mark.type == "Ready" and (mark.status, mark.reason, conditions.shown(mark.message, namespace)) != old
        for mark in marks
    )
