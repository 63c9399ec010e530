"""How the end of a run is told: conditions, status fields and events (behaviour-source.md 1.4, 1.8, 2)."""

from typing import Any, cast

import msgspec
import pytest
import structlog

from shared.api.gitrepository import GitRepository
from shared.api.kinds import GIT_REPOSITORY, decode
from shared.api.meta import Condition, Key
from shared.runtime.outcome import ConditionStatus, Mark, Retryable, Stalled
from shared.runtime.run import Run
from source_controller.gitrepository import report
from source_controller.gitrepository.checkout import CheckoutFailed
from source_controller.gitrepository.decide import Fetch, Outdated
from source_controller.gitrepository.include import IncludeUnavailable

OLD = {
    "path": "gitrepository/ns/app/aaaa.tar.gz",
    "url": "http://store/gitrepository/ns/app/aaaa.tar.gz",
    "revision": "main@sha1:" + "a" * 40,
    "digest": "sha256:" + "0" * 64,
    "lastUpdateTime": "2026-01-01T00:00:00Z",
}
FAILED = {"status": "True", "reason": "x", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def repository(*, artifact: bool = True, failed: str = "", **spec: Any) -> GitRepository:
    status: dict[str, Any] = {"artifact": OLD} if artifact else {}
    if failed:
        status["conditions"] = [{"type": failed, **FAILED}]
    raw = {
        "metadata": {"name": "app", "namespace": "ns"},
        "spec": {"url": "https://git.example/x", "interval": "1m", **spec},
        "status": status,
    }
    return decode(GIT_REPOSITORY, raw)


@pytest.fixture
async def run() -> Run:
    """Only its progress is asked for; nothing is written."""

    async def write(*_: object) -> None:
        raise AssertionError("written too early")

    return Run(
        key=Key("GitRepository", "ns", "app"),
        uid="u",
        generation=1,
        asked=None,
        requested=False,
        reasons=frozenset(),
        log=cast("structlog.stdlib.BoundLogger", structlog.get_logger()),
        write_status=write,
        is_current=lambda _: True,
    )


SAME = repository().status.artifact
assert SAME is not None
OTHER = msgspec.structs.replace(SAME, digest="sha256:" + "1" * 64)
LONG = "x" * 51
EVENTS: dict[str, tuple[GitRepository, str, str | None, list[tuple[str, str, str]]]] = {
    "the first artifact": (
        repository(artifact=False),
        "same",
        "Add the app",
        [("Normal", "NewArtifact", "stored artifact for commit 'Add the app'")],
    ),
    "another digest": (
        repository(),
        "other",
        LONG,
        [("Normal", "NewArtifact", f"stored artifact for commit '{'x' * 50}...'")],
    ),
    "a commit without a message": (
        repository(),
        "other",
        "",
        [("Normal", "NewArtifact", f"stored artifact for commit '{OLD['revision']}'")],
    ),
    "a fetch is well again": (
        repository(failed="FetchFailed"),
        "same",
        "Fix",
        [("Normal", "Succeeded", "stored artifact for commit 'Fix'")],
    ),
    "an include is here, and nothing was fetched": (
        repository(failed="IncludeUnavailable"),
        "same",
        None,
        [("Normal", "Succeeded", f"stored artifact for commit '{OLD['revision']}'")],
    ),
    "a signature is good again": (
        repository(failed="SourceVerified"),
        "same",
        "Fix",
        [("Trace", "ArtifactUpToDate", f"artifact up-to-date with remote revision: '{OLD['revision']}'")],
    ),
    "built again, the same": (
        repository(),
        "same",
        "Fix",
        [("Trace", "ArtifactUpToDate", f"artifact up-to-date with remote revision: '{OLD['revision']}'")],
    ),
    "nothing was fetched": (repository(), "same", None, []),
}


@pytest.mark.parametrize(("obj", "now", "subject", "told"), EVENTS.values(), ids=EVENTS)
def test_what_is_news(
    obj: GitRepository, now: str, subject: str | None, told: list[tuple[str, str, str]]
) -> None:
    artifact = SAME if now == "same" else OTHER
    assert artifact is not None
    outcome = report.succeeded(obj, artifact, (), subject=subject)
    assert [(event.type, event.reason, event.message) for event in outcome.events] == told
    for event in outcome.events:
        if event.type == "Normal":
            assert event.metadata == {
                "source.toolkit.fluxcd.io/revision": artifact.revision,
                "source.toolkit.fluxcd.io/digest": artifact.digest,
            }


def test_a_success_says_what_it_was_made_of() -> None:
    obj = repository(
        ignore="*.md",
        include=[{"repository": {"name": "base"}}],
        recurseSubmodules=True,
        sparseCheckout=["a"],
    )
    assert SAME is not None
    outcome = report.succeeded(obj, SAME, (OTHER,), subject=None)
    assert outcome.ready == ("Succeeded", f"stored artifact for revision '{OLD['revision']}'")
    assert outcome.status == {
        "artifact": OLD,
        "includedArtifacts": [{**OLD, "digest": OTHER.digest}],
        "observedIgnore": "*.md",
        "observedInclude": [{"repository": {"name": "base"}}],
        "observedRecurseSubmodules": True,
        "observedSparseCheckout": ["a"],
        "sourceVerificationMode": None,
    }
    plain = report.succeeded(repository(), SAME, (), subject=None).status
    assert {name for name, value in plain.items() if value is not None} == {"artifact"}


FAILURES: dict[str, tuple[str, str | None, type[Exception]]] = {
    "the way to upstream": ("GitOperationFailed", "FetchFailed", Retryable),
    "credentials": ("AuthenticationFailed", "FetchFailed", Retryable),
    "nothing was ever pushed": ("EmptyGitRepository", "FetchFailed", Retryable),
    "a URL": ("URLInvalid", "FetchFailed", Stalled),
    "the store": ("ArchiveOperationFailed", "StorageOperationFailed", Retryable),
    "a path that escapes": ("IllegalPath", "StorageOperationFailed", Retryable),
    "a copy": ("CopyFailure", "StorageOperationFailed", Retryable),
    "patterns, which Flux gives no condition": ("SourceIgnoreError", None, Retryable),
}


@pytest.mark.parametrize(("reason", "condition", "kind"), FAILURES.values(), ids=FAILURES)
async def test_which_condition_tells_of_a_failure(
    reason: str, condition: str | None, kind: type[Exception], run: Run
) -> None:
    error = report.failed(CheckoutFailed(reason, "m"), run)
    assert type(error) is kind
    assert (error.reason, error.message) == (reason, "m")
    assert [(mark.type, mark.reason) for mark in error.marks] == ([(condition, reason)] if condition else [])
    assert {"FetchFailed", "StorageOperationFailed"} - {condition} <= set(error.drop)
    assert "ArtifactInStorage" not in error.drop, "the old artifact stays"
    assert error.status == {}
    assert run.last_progress == "reconciliation in progress"


async def test_consumers_are_told_that_theirs_is_old(run: Run) -> None:
    outdated = Outdated("IncludeChange", "included artifacts differ from last observed includes")
    plan = Fetch("building artifact", outdated)
    report.fetching(plan, run)
    shown = [(mark.type, mark.reason, mark.message) for mark in run.progress_marks]
    assert shown == [("ArtifactOutdated", outdated.reason, outdated.message)]
    error = report.failed(CheckoutFailed("GitOperationFailed", "m"), run, plan=plan)
    assert [(mark.type, mark.reason, mark.message) for mark in error.marks][1:] == shown


async def test_an_artifact_that_is_lost_is_named_no_longer(run: Run) -> None:
    plan = Fetch("building artifact", Outdated("NewRevision", "m"), gone=True)
    error = report.failed(CheckoutFailed("GitOperationFailed", "m"), run, plan=plan, gone=True)
    assert error.status == {"artifact": None}
    assert {"ArtifactInStorage", "ArtifactOutdated"} <= set(error.drop)
    assert [mark.type for mark in error.marks] == ["FetchFailed"]


@pytest.mark.parametrize("gone", [False, True], ids=["the old artifact is here", "it is lost"])
async def test_who_waits_for_an_include_says_so(gone: bool, run: Run) -> None:
    run.progress("building artifact")
    key = Key("GitRepository", "ns", "base")
    error = report.waiting(IncludeUnavailable("NoArtifact", "m", key), run, gone=gone)
    assert (error.reason, error.message, error.on) == ("NoArtifact", "m", key)
    assert [(mark.type, mark.status, mark.reason) for mark in error.marks] == [
        ("IncludeUnavailable", "True", "NoArtifact")
    ]
    assert error.events is not None
    assert [event.type for event in error.events] == ["Trace"], "never posted"
    assert run.last_progress == "reconciliation in progress"
    assert ("artifact" in error.status) == gone


BEGINNINGS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "nothing is known": ({"generation": 1}, "lost", "building artifact"),
    "all is well": ({"generation": 1, "artifact": OLD, "observedGeneration": 1}, "intact", None),
    "the spec changed": (
        {"generation": 3, "artifact": OLD, "observedGeneration": 2},
        "intact",
        "processing object: new generation 2 -> 3",
    ),
    "the store was wiped": (
        {"generation": 1, "artifact": OLD, "observedGeneration": 1},
        "lost",
        "building artifact: disappeared from storage",
    ),
}


@pytest.mark.parametrize(("state", "stored", "progress"), BEGINNINGS.values(), ids=BEGINNINGS)
async def test_how_a_run_begins(state: dict[str, Any], stored: Any, progress: str | None, run: Run) -> None:
    status = {key: value for key, value in state.items() if key != "generation"}
    raw = {
        "metadata": {"name": "app", "namespace": "ns", "generation": state["generation"]},
        "spec": {"url": "https://git.example/x", "interval": "1m"},
        "status": {"observedGeneration": -1, **status},
    }
    report.begin(decode(GIT_REPOSITORY, raw), stored, run)
    assert run.last_progress == progress
    await run.end()


def _condition(kind: str, status: ConditionStatus, reason: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=f"the {kind}",
        last_transition_time="2026-01-01T00:00:00Z",
        observed_generation=1,
    )


READY_FALSE = _condition("Ready", "False", "GitOperationFailed")
# Conditions before; whether the generation counts as observed, what is said of Reconciling.
SUSPENDED: dict[str, tuple[list[Condition], bool, list[Mark]]] = {
    "before its first run": ([], False, []),
    "after a failure": ([READY_FALSE], True, []),
    "while it stalls": ([_condition("Stalled", "True", "URLInvalid"), READY_FALSE], True, []),
    "while a fetch was under way": (
        [_condition("Reconciling", "True", "Progressing"), READY_FALSE],
        True,
        [Mark("Reconciling", "True", "ProgressingWithRetry", "the Reconciling")],
    ),
}


@pytest.mark.parametrize(("before", "observed", "marks"), SUSPENDED.values(), ids=SUSPENDED)
def test_a_suspension(before: list[Condition], observed: bool, marks: list[Mark]) -> None:
    """behaviour-source.md 1.1."""
    found = report.suspended(before)
    assert (found.observed, list(found.marks), found.drop) == (observed, marks, ("Stalled",))
