"""What a run says that is cut short, by how far it came (behaviour-kustomize.md 1, 11 and 12)."""

import time
from typing import Any

import pytest

from kustomize_controller.kustomization.prepare import Prepared
from kustomize_controller.kustomization.report import (
    ORIGIN_REVISION,
    REVISION,
    Report,
    SoFar,
    metadata_of_last,
)
from shared.api.artifact import Artifact
from shared.api.kinds import KUSTOMIZATION, decode
from shared.api.kustomization import Kustomization
from shared.runtime.outcome import Stalled

ARTIFACT = Artifact(
    path="p",
    url="u",
    revision="main@sha1:1",
    digest="sha256:0",
    size=1,
    last_update_time="2026-01-01T00:00:00Z",
    metadata={"org.opencontainers.image.revision": "v1"},
)
ABOUT = {REVISION: "main@sha1:1", ORIGIN_REVISION: "v1"}


def kustomization(**status: Any) -> Kustomization:
    raw = {
        "metadata": {"name": "app", "namespace": "team", "generation": 1},
        "spec": {
            "interval": "1h",
            "retryInterval": "1m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "app"},
        },
        "status": status,
    }
    return decode(KUSTOMIZATION, raw)


def built() -> Report:
    return Report(kustomization(), ARTIFACT, Prepared(desired=(), digest="sha256:b"), time.monotonic())


# How far it came; status fields that are written, and what the event names.
CUT: dict[str, tuple[Artifact | None, bool, set[str], dict[str, str] | None]] = {
    "before the source was known": (None, False, set(), None),
    "before it was built": (ARTIFACT, False, set(), ABOUT),
    "after that": (ARTIFACT, True, {"lastAttemptedRevision", "history"}, ABOUT),
}


@pytest.mark.parametrize(("artifact", "is_built", "fields", "about"), CUT.values(), ids=CUT)
def test_a_run_that_is_cut_short(
    artifact: Artifact | None, is_built: bool, fields: set[str], about: dict[str, str] | None
) -> None:
    so_far = SoFar(kustomization(), artifact, built() if is_built else None)
    failed = so_far.failure("ReconciliationFailed", "the server is away")
    assert set(failed.status) == fields
    assert failed.retry_s == 60.0
    told = failed.events[0].metadata if failed.events else None
    assert told == about


def test_an_error_that_brings_events_keeps_them() -> None:
    own, none = Stalled("A", "a", events=()), Stalled("B", "b")
    for error in (own, none):
        SoFar(kustomization(), ARTIFACT).tell(error)
    assert own.events == ()
    assert none.events is not None
    (event,) = none.events
    assert (event.type, event.reason, event.message, event.metadata) == ("Warning", "B", "b", ABOUT)


LAST: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "nothing was applied yet": ({}, {}),
    "a revision": ({"lastAppliedRevision": "main@sha1:1"}, {REVISION: "main@sha1:1"}),
    "one with an origin": (
        {"lastAppliedRevision": "main@sha1:1", "lastAppliedOriginRevision": "v1"},
        ABOUT,
    ),
}


@pytest.mark.parametrize(("status", "about"), LAST.values(), ids=LAST)
def test_what_is_told_of_a_deletion_names_what_was_applied_last(
    status: dict[str, str], about: dict[str, str]
) -> None:
    assert metadata_of_last(kustomization(**status)) == about
