"""Each rule holds of a cluster at rest, and notices the one thing that is changed."""

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.harness.invariants import RULES, Object, State
from tests.harness.rendering import inventory_id

CONTENT = b"an artifact"
READY = {"type": "Ready", "status": "True", "observedGeneration": 3}
ARTIFACT = {
    "path": "gitrepository/apps/app/a.tar.gz",
    "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
    "size": len(CONTENT),
}
REPOSITORY: Object = {
    "kind": "GitRepository",
    "metadata": {"namespace": "apps", "name": "app", "generation": 3},
    "spec": {},
    "status": {"observedGeneration": 3, "conditions": [READY], "artifact": ARTIFACT},
}
KUSTOMIZATION: Object = {
    "kind": "Kustomization",
    "metadata": {"namespace": "apps", "name": "app", "generation": 3},
    "spec": {},
    "status": {
        "observedGeneration": 3,
        "conditions": [READY],
        "inventory": {"entries": [{"id": "apps_web_apps_Deployment", "v": "v1"}]},
    },
}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "namespace": "apps",
        "name": "web",
        "labels": {
            "kustomize.toolkit.fluxcd.io/name": "app",
            "kustomize.toolkit.fluxcd.io/namespace": "apps",
        },
    },
}

# id: (which object, path of keys, value to put there, words of the violation; "" for none)
CASES: dict[str, tuple[Object, list[str], Any, str]] = {
    "at rest": (KUSTOMIZATION, ["spec", "prune"], True, ""),
    "no status yet": (KUSTOMIZATION, ["status", "conditions"], [], "no condition Ready"),
    "healthy where it waits": (
        {**KUSTOMIZATION, "spec": {"wait": True}},
        ["status", "conditions"],
        [READY, {"type": "Healthy", "status": "True"}],
        "",
    ),
    "ready, but not healthy": (
        {**KUSTOMIZATION, "spec": {"wait": True}},
        ["status", "conditions"],
        [READY, {"type": "Healthy", "status": "False"}],
        "is Ready, but Healthy is False",
    ),
    "ready without a look": (
        KUSTOMIZATION,
        ["spec", "healthChecks"],
        [{"kind": "Deployment", "name": "web"}],
        "does not say that it is Healthy",
    ),
    "healthy for no reason": (
        KUSTOMIZATION,
        ["status", "conditions"],
        [READY, {"type": "Healthy", "status": "True"}],
        "waits for nothing",
    ),
    "suspended from the start": (
        {**KUSTOMIZATION, "spec": {"suspend": True}},
        ["status", "conditions"],
        [],
        "",
    ),
    "two minds": (
        REPOSITORY,
        ["status", "conditions"],
        [READY, {"type": "Stalled", "status": "True"}, {"type": "Reconciling", "status": "True"}],
        "both Reconciling and Stalled",
    ),
    "stalled and no longer reconciling": (
        REPOSITORY,
        ["status", "conditions"],
        [READY, {"type": "Stalled", "status": "True"}, {"type": "Reconciling", "status": "False"}],
        "",
    ),
    "spec changed since": (
        REPOSITORY,
        ["metadata", "generation"],
        4,
        "Ready at generation 4, but observed (3, 3)",
    ),
    "status ahead of its condition": (
        REPOSITORY,
        ["status", "conditions"],
        [{**READY, "observedGeneration": 2}],
        "observed (3, 2)",
    ),
    "failed at the old generation": (
        REPOSITORY,
        ["status", "conditions"],
        [{**READY, "status": "False", "observedGeneration": 2}],
        "",
    ),
    "artifact lost": (REPOSITORY, ["status", "artifact", "path"], "gone.tar.gz", "not in the store"),
    "artifact damaged": (
        REPOSITORY,
        ["status", "artifact", "digest"],
        "sha256:00",
        "does not have the digest",
    ),
    "artifact cut": (REPOSITORY, ["status", "artifact", "size"], 1, "has 11 bytes, not 1"),
    "object forgotten": (KUSTOMIZATION, ["status", "inventory", "entries"], [], "is in no inventory of it"),
    "object of another": (
        DEPLOYMENT,
        ["metadata", "labels", "kustomize.toolkit.fluxcd.io/name"],
        "other",
        "labelled as apps/other's",
    ),
    "object on its way out": (
        DEPLOYMENT,
        ["metadata"],
        {**DEPLOYMENT["metadata"], "deletionTimestamp": "now"},
        "",
    ),
}


@pytest.mark.parametrize(("changed", "path", "value", "words"), CASES.values(), ids=CASES)
def test_rules(tmp_path: Path, changed: Object, path: list[str], value: Any, words: str) -> None:
    artifact = tmp_path / ARTIFACT["path"]  # type: ignore[operator]
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(CONTENT)
    changed = deepcopy(changed)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    objects = {item["kind"]: item for item in (REPOSITORY, KUSTOMIZATION, DEPLOYMENT, changed)}
    state = State(
        ours=(objects["GitRepository"], objects["Kustomization"]),
        labelled=(objects["Deployment"],),
        store=tmp_path,
    )
    violations = [text for rule in RULES for text in rule(state)]
    assert len(violations) == (1 if words else 0), violations
    assert words in "".join(violations)


def test_an_object_left_on_purpose_is_no_orphan() -> None:
    forgetful = {**KUSTOMIZATION, "status": {**KUSTOMIZATION["status"], "inventory": {"entries": []}}}
    left = frozenset({"apps_web_apps_Deployment"})
    state = State(ours=(forgetful,), labelled=(DEPLOYMENT,), store=None, left=left)
    assert [text for rule in RULES for text in rule(state)] == []


def test_inventory_id_of_a_name_with_colons() -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:reader"},
    }
    assert inventory_id(role) == "_system__reader_rbac.authorization.k8s.io_ClusterRole"
