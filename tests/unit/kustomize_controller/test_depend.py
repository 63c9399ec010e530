"""Which dependency a Kustomization waits for."""

from typing import Any

import pytest

from kustomize_controller.kustomization.depend import NotReady, first_not_ready
from kustomize_controller.kustomization.express import without_spec
from shared.api.kinds import KUSTOMIZATION, decode
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.runtime.outcome import ReconcileError, Stalled

REVISION = "main@sha1:1"
A, B = Key("Kustomization", "team", "a"), Key("Kustomization", "team", "b")


def kustomization(name: str, *on: str, source: str = "app", ready: str = "True", seen: int = 1,
                  applied: str = REVISION) -> Kustomization:  # fmt: skip
    raw: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "team", "generation": 1},
        "spec": {
            "interval": "1m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": source},
            "dependsOn": [{"name": one} for one in on],
        },
        "status": {
            "observedGeneration": seen,
            "lastAppliedRevision": applied,
            "conditions": [
                {
                    "type": "Ready",
                    "status": ready,
                    "reason": "R",
                    "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        },
    }
    return decode(KUSTOMIZATION, raw)


ME = kustomization("me", "a", "b")
GOOD = kustomization("a")
UNREADABLE = Stalled("InvalidCELExpression", "no such function")
SAYS_NO = "dependency 'team/a' is not ready according to readyExpr eval"

# What `a` is, what the expressions come to, whether they are additive; the message about `a`, or none.
CASES: dict[str, tuple[Kustomization | None, dict[int, str | ReconcileError], bool, str]] = {
    "ready": (GOOD, {}, False, ""),
    "missing": (
        None,
        {},
        False,
        "dependency 'team/a' not found: kustomizations.kustomize.toolkit.fluxcd.io \"a\" not found",
    ),
    "not ready": (kustomization("a", ready="False"), {}, False, "dependency 'team/a' is not ready"),
    "being checked for health": (
        kustomization("a", ready="Unknown"),
        {},
        False,
        "dependency 'team/a' is not ready",
    ),
    "of an older spec": (kustomization("a", seen=0), {}, False, "dependency 'team/a' is not ready"),
    "at an older revision": (
        kustomization("a", applied="main@sha1:0"),
        {},
        False,
        "dependency 'team/a' revision is not up to date",
    ),
    "at an older revision of another source": (
        kustomization("a", applied="x", source="other"),
        {},
        False,
        "",
    ),
    "not ready, but its expression is true": (kustomization("a", ready="False"), {0: ""}, False, ""),
    "not ready, and more than its expression counts": (
        kustomization("a", ready="False"),
        {0: ""},
        True,
        "dependency 'team/a' is not ready",
    ),
    "ready, but its expression is false": (GOOD, {0: SAYS_NO}, False, SAYS_NO),
    "ready, and only its expression is false": (GOOD, {0: SAYS_NO}, True, SAYS_NO),
    "missing, with an expression that cannot be read": (
        None,
        {0: UNREADABLE},
        False,
        "dependency 'team/a' not found: kustomizations.kustomize.toolkit.fluxcd.io \"a\" not found",
    ),
    "not ready, before one with an expression that cannot be read": (
        kustomization("a", ready="False"),
        {1: UNREADABLE},
        False,
        "dependency 'team/a' is not ready",
    ),
    "missing, with an expression": (
        None,
        {0: ""},
        False,
        "dependency 'team/a' not found: kustomizations.kustomize.toolkit.fluxcd.io \"a\" not found",
    ),
}


@pytest.mark.parametrize(("a", "expressed", "additive", "message"), CASES.values(), ids=CASES)
def test_first_not_ready(
    a: Kustomization | None, expressed: dict[int, str | ReconcileError], additive: bool, message: str
) -> None:
    others = {A: a, B: kustomization("b")}
    found = first_not_ready(ME, others.get, REVISION, expressed, additive=additive)
    assert found == (NotReady(A, message) if message else None)


def test_the_first_in_the_list_is_told() -> None:
    found = first_not_ready(ME, lambda _: None, REVISION)
    assert isinstance(found, NotReady)
    assert found.on == A


def test_an_expression_that_cannot_be_read_is_told_in_its_turn() -> None:
    others = {A: GOOD, B: kustomization("b", ready="False")}
    assert first_not_ready(ME, others.get, REVISION, {1: UNREADABLE}) is UNREADABLE


def test_of_another_namespace_an_expression_sees_no_spec() -> None:
    """Reliability A35. What kubectl noted on the object is its spec, too."""
    raw = {
        "apiVersion": "v1",
        "kind": "K",
        "metadata": {
            "name": "x",
            "labels": {"a": "b"},
            "managedFields": [{}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "n"},
        },
        "spec": {"secret": "x"},
        "status": {"ready": True},
    }
    assert without_spec(raw) == {
        "apiVersion": "v1",
        "kind": "K",
        "metadata": {"name": "x", "labels": {"a": "b"}, "annotations": {"note": "n"}},
        "status": {"ready": True},
    }
