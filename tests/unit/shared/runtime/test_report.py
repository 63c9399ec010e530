"""The status after a run: conditions in the contract's order, and a patch only where something changed."""

from typing import Any

import pytest

from shared.runtime import conditions, merge_patch, report
from shared.runtime.outcome import Mark, Outcome, Retryable, Stalled, Waiting
from shared.runtime.redact import register
from shared.runtime.report import Finding
from shared.runtime.trigger import trigger

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
READY = Mark("Ready", "True", "Succeeded", "stored")


def condition(kind: str, status: str, reason: str, message: str, generation: int = 1) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": THEN, "observedGeneration": generation}  # fmt: skip


STEADY = {"observedGeneration": 1, "conditions": [condition("Ready", "True", "Succeeded", "stored")]}


def after(old: dict[str, Any], finding: Finding, generation: int = 1) -> dict[str, Any]:
    return report.next_status(old, finding, namespace="apps", generation=generation, now=NOW)


def test_a_run_that_finds_the_same_changes_nothing() -> None:
    assert after(STEADY, Finding(marks=(READY,), drop=("Stalled",), observed=True)) == STEADY


def test_a_new_message_is_a_transition() -> None:
    new = after(STEADY, Finding(marks=(Mark("Ready", "True", "Succeeded", "other"),)))
    assert new["conditions"][0]["lastTransitionTime"] == NOW


def test_secrets_of_others_change_nothing() -> None:
    register("stored by report", "shop")
    said = Finding(marks=(Mark("Ready", "True", "Succeeded", "stored by report"),))
    (ready,) = after(STEADY, said)["conditions"]
    assert ready["message"] == "stored by report"
    register("stored by report", "apps")
    (ready,) = after(STEADY, said)["conditions"]
    assert ready["message"] == "***"


def test_a_new_generation_alone_is_no_transition() -> None:
    new = after(STEADY, Finding(marks=(READY,), observed=True), generation=2)
    assert new["conditions"][0]["lastTransitionTime"] == THEN
    assert new["conditions"][0]["observedGeneration"] == 2
    assert new["observedGeneration"] == 2


def test_order_is_stalled_reconciling_ready_then_newest_generation_then_name() -> None:
    old = {"conditions": [condition("Healthy", "True", "a", "b"), condition("A", "True", "a", "b")]}
    marks = (READY, Mark("Reconciling", "True", "x", "y"), Mark("Stalled", "True", "x", "y"),
             Mark("ZZ", "True", "x", "y"))  # fmt: skip
    new = after(old, Finding(marks=marks), generation=2)
    assert [one["type"] for one in new["conditions"]] == [
        "Stalled", "Reconciling", "Ready", "ZZ", "A", "Healthy",
    ]  # fmt: skip


def test_fields_are_set_and_removed_and_others_stay() -> None:
    new = after({"a": 1, "b": 2}, Finding(fields={"a": None, "c": 3}, handled="x"))
    assert new == {"b": 2, "c": 3, "lastHandledReconcileAt": "x"}


def test_a_long_message_is_cut() -> None:
    new = after({}, Finding(marks=(Mark("Ready", "False", "x", "ä" * 40_000),)))
    message = new["conditions"][0]["message"]
    assert len(message.encode()) <= conditions.MESSAGE_LIMIT
    assert message.endswith("...")


ENDS: dict[str, tuple[Any, str | None, dict[str, tuple[str, str, str]]]] = {
    "success": (
        Outcome(ready=("Succeeded", "done")), "at work",
        {"Ready": ("True", "Succeeded", "done")},
    ),
    "a failure after progress": (
        Retryable("Failed", "why"), "at work",
        {"Reconciling": ("True", "ProgressingWithRetry", "at work"), "Ready": ("False", "Failed", "why")},
    ),
    "a failure before any progress": (
        Retryable("Failed", "why"), None,
        {"Reconciling": ("True", "ProgressingWithRetry", "left"), "Ready": ("False", "Failed", "why")},
    ),
    "waiting": (
        Waiting("NotYet", "why"), None,
        {"Reconciling": ("True", "ProgressingWithRetry", "left"), "Ready": ("False", "NotYet", "why")},
    ),
    "stalled": (
        Stalled("Bad", "why"), "at work",
        {"Stalled": ("True", "Bad", "why"), "Ready": ("False", "Bad", "why")},
    ),
    "marks of the kind": (
        Retryable("Failed", "why", marks=(Mark("FetchFailed", "True", "Failed", "why"),)), "at work",
        {"Reconciling": ("True", "ProgressingWithRetry", "at work"), "Ready": ("False", "Failed", "why"),
         "FetchFailed": ("True", "Failed", "why")},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("end", "progress", "expected"), ENDS.values(), ids=ENDS)
def test_conditions_at_the_end(
    end: Any, progress: str | None, expected: dict[str, tuple[str, str, str]]
) -> None:
    old = {"conditions": [condition("Reconciling", "True", "Progressing", "left"),
                          condition("Stalled", "True", "x", "y")]}  # fmt: skip
    if isinstance(end, Outcome):
        marks, drop = conditions.of_success(end)
    else:
        marks, drop = conditions.of_error(end, progress=progress, old=report.conditions_of(old))
    new = after(old, Finding(marks=marks, drop=drop))
    assert {
        one["type"]: (one["status"], one["reason"], one["message"]) for one in new["conditions"]
    } == expected


STALLED: dict[str, tuple[Any, bool]] = {
    "it waits, and has begun nothing": (Waiting("NotYet", "why"), True),
    "it failed": (Retryable("Failed", "why"), False),
}


@pytest.mark.parametrize(("end", "stays"), STALLED.values(), ids=STALLED)
def test_what_stalled_an_earlier_run_is_not_overcome_by_waiting(end: Any, stays: bool) -> None:
    """behaviour-kustomize.md 11."""
    old = {"conditions": [condition("Stalled", "True", "PruneHeld", "say so")]}
    marks, drop = conditions.of_error(end, progress=None, old=report.conditions_of(old))
    new = after(old, Finding(marks=marks, drop=drop))
    assert [one["type"] for one in new["conditions"]] == (["Stalled"] if stays else []) + ["Ready"]


PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "equal": ({"a": {"b": 1}}, {"a": {"b": 1}}, {}),
    "a field comes": ({}, {"a": 1}, {"a": 1}),
    "a field goes": ({"a": 1}, {}, {"a": None}),
    "below": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
    "a field goes below": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
    "lists are replaced": ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
    "another type": ({"a": {"b": 1}}, {"a": "x"}, {"a": "x"}),
}


@pytest.mark.parametrize(("old", "new", "patch"), PATCHES.values(), ids=PATCHES)
def test_merge_patch(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch.difference(old, new) == patch


def seen(uid: str = "u", generation: int = 1, *, deleted: bool = False, **annotations: str) -> dict[str, Any]:
    names = {"requested": "reconcile.fluxcd.io/requestedAt"}
    raw: dict[str, Any] = {
        "uid": uid,
        "generation": generation,
        "annotations": {names.get(name, name): value for name, value in annotations.items()},
    }
    return {"metadata": raw | ({"deletionTimestamp": NOW} if deleted else {})}


TRIGGERS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], str]] = {
    "it appears": (None, seen(), "appeared"),
    "status or labels change": (seen(), seen(), ""),
    "the spec changes": (seen(), seen(generation=2), "spec changed"),
    "it is deleted": (seen(), seen(generation=2, deleted=True), "deletion"),
    "it was deleted before": (seen(deleted=True), seen(deleted=True), ""),
    "it was made again": (seen(), seen(uid="v"), "created anew"),
    "a person asks": (seen(), seen(requested="now"), "requested"),
    "a person asks again": (seen(requested="then"), seen(requested="now"), "requested"),
    "the request is removed": (seen(requested="then"), seen(), ""),
    "another annotation": (seen(), seen(note="x"), ""),
    "an annotation of the kind": (seen(), seen(release="x"), "annotated"),
}


@pytest.mark.parametrize(("old", "new", "reason"), TRIGGERS.values(), ids=TRIGGERS)
def test_trigger(old: dict[str, Any] | None, new: dict[str, Any], reason: str) -> None:
    assert trigger(old, new, ("release",)) == reason
