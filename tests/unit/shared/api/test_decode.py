from copy import deepcopy
from typing import Any

import pytest

from shared.api.artifact import Artifact
from shared.api.kinds import GIT_REPOSITORY, KUSTOMIZATION, InvalidObject, Kind, decode
from shared.api.meta import Condition, Key

Raw = dict[str, Any]

READY: Raw = {
    "type": "Ready",
    "status": "True",
    "reason": "Succeeded",
    "message": "stored artifact",
    "lastTransitionTime": "2026-01-02T03:04:05Z",
    "observedGeneration": 3,
}
ARTIFACT: Raw = {
    "path": "gitrepository/team/app/abc.tar.gz",
    "url": "http://store/gitrepository/team/app/abc.tar.gz",
    "revision": "main@sha1:abc",
    "digest": "sha256:def",
    "lastUpdateTime": "2026-01-02T03:04:05Z",
    "size": 512,
}
REPOSITORY: Raw = {
    "apiVersion": "source.toolkit.fluxcd.io/v1",
    "kind": "GitRepository",
    "metadata": {
        "name": "app",
        "namespace": "team",
        "generation": 3,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    },
    "spec": {"url": "https://git.example/app.git", "interval": "1m30s", "ref": {"branch": "main"}},
    "status": {"observedGeneration": 3, "conditions": [READY], "artifact": ARTIFACT},
}
KUSTOMIZATION_RAW: Raw = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "app", "namespace": "team"},
    "spec": {"interval": "10m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "app"}},
    "status": {"inventory": {"entries": [{"id": "team_web_apps_Deployment", "v": "v1"}]}},
}


def changed(raw: Raw, path: str, value: Any) -> Raw:
    """A copy of `raw` with another value at `path`; `...` removes it."""
    copy = deepcopy(raw)
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place.setdefault(name, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy


def test_a_gitrepository() -> None:
    seen = decode(GIT_REPOSITORY, REPOSITORY)
    assert seen.key == Key("GitRepository", "team", "app")
    assert str(seen.key) == "GitRepository/team/app"
    assert not seen.deleting
    assert seen.metadata.resource_version == "77"
    assert seen.spec.ref is not None
    assert seen.spec.ref.branch == "main"
    assert (seen.spec.interval_s, seen.spec.timeout_s) == (90.0, 60.0)
    assert seen.status.artifact == Artifact(
        path="gitrepository/team/app/abc.tar.gz",
        url="http://store/gitrepository/team/app/abc.tar.gz",
        revision="main@sha1:abc",
        digest="sha256:def",
        last_update_time="2026-01-02T03:04:05Z",
        size=512,
    )
    assert seen.status.condition("Ready") == Condition(
        type="Ready",
        status="True",
        reason="Succeeded",
        message="stored artifact",
        last_transition_time="2026-01-02T03:04:05Z",
        observed_generation=3,
    )
    assert seen.status.condition("Stalled") is None


def test_what_a_gitrepository_refers_to() -> None:
    spec = {
        "secretRef": {"name": "login"},
        "proxySecretRef": {"name": "proxy"},
        "verify": {"secretRef": {"name": "keys"}},
        "include": [{"repository": {"name": "base"}}, {"repository": {"name": "docs"}, "toPath": "site"}],
    }
    seen = decode(GIT_REPOSITORY, changed(REPOSITORY, "spec", REPOSITORY["spec"] | spec))
    assert [str(key) for key in seen.configs] == [
        "Secret/team/login",
        "Secret/team/proxy",
        "Secret/team/keys",
    ]
    assert [str(key) for key in seen.includes] == ["GitRepository/team/base", "GitRepository/team/docs"]
    assert [each.destination for each in seen.spec.include] == ["base", "site"]
    assert seen.spec.verify is not None
    assert seen.spec.verify.mode == "HEAD"


def test_what_a_kustomization_refers_to() -> None:
    spec = {
        "sourceRef": {"kind": "OCIRepository", "name": "app", "namespace": "shop"},
        "dependsOn": [{"name": "infra"}, {"name": "crds", "namespace": "platform"}],
        "postBuild": {
            "substituteFrom": [{"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "pins"}]
        },
        "decryption": {"provider": "sops", "secretRef": {"name": "age"}},
        "kubeConfig": {"secretRef": {"name": "remote"}},
    }
    seen = decode(KUSTOMIZATION, changed(KUSTOMIZATION_RAW, "spec", KUSTOMIZATION_RAW["spec"] | spec))
    assert seen.source == Key("OCIRepository", "shop", "app")
    assert seen.dependencies == (
        Key("Kustomization", "team", "infra"),
        Key("Kustomization", "platform", "crds"),
    )
    assert [str(key) for key in seen.configs] == [
        "ConfigMap/team/vars",
        "Secret/team/pins",
        "Secret/team/age",
        "Secret/team/remote",
    ]


def test_a_source_is_looked_for_beside_its_kustomization() -> None:
    assert decode(KUSTOMIZATION, KUSTOMIZATION_RAW).source == Key("GitRepository", "team", "app")


# Source: the contract, behaviour-kustomize.md 1. Spec; interval, retry interval and timeout in seconds.
TIMES: dict[str, tuple[Raw, tuple[float, float, float]]] = {
    "only an interval": ({"interval": "10m"}, (600, 600, 570)),
    "a short interval": ({"interval": "40s"}, (40, 40, 30)),
    "an interval below the least timeout": ({"interval": "5s"}, (5, 5, 30)),
    "a retry interval": ({"interval": "10m", "retryInterval": "1m"}, (600, 60, 570)),
    "a timeout": ({"interval": "10m", "timeout": "3m"}, (600, 600, 180)),
    "a timeout beyond the interval": ({"interval": "1m", "timeout": "1h"}, (60, 60, 3600)),
    "a timeout below the least": ({"interval": "10m", "timeout": "10s"}, (600, 600, 30)),
}


@pytest.mark.parametrize(("spec", "seconds"), TIMES.values(), ids=TIMES)
def test_times_of_a_kustomization(spec: Raw, seconds: tuple[float, float, float]) -> None:
    raw = changed(KUSTOMIZATION_RAW, "spec", KUSTOMIZATION_RAW["spec"] | spec)
    seen = decode(KUSTOMIZATION, raw).spec
    assert (seen.interval_s, seen.retry_interval_s, seen.timeout_s) == seconds


# Kind, path, value there (`...`: none), the field path that is named.
INVALID: dict[str, tuple[Kind[Any], str, Any, str]] = {
    "an interval that is a number": (GIT_REPOSITORY, "spec.interval", 60, "spec.interval"),
    "no interval": (GIT_REPOSITORY, "spec.interval", ..., "spec.interval"),
    "an interval that is null": (GIT_REPOSITORY, "spec.interval", None, "spec.interval"),
    "no spec": (GIT_REPOSITORY, "spec", ..., "spec"),
    "a spec that is null": (GIT_REPOSITORY, "spec", None, "spec"),
    "a spec that is a list": (GIT_REPOSITORY, "spec", [], "spec"),
    "a reference that is text": (GIT_REPOSITORY, "spec.ref", "main", "spec.ref"),
    "a reference with a wrong part": (GIT_REPOSITORY, "spec.ref.tag", 1.0, "spec.ref.tag"),
    "a provider that does not exist": (GIT_REPOSITORY, "spec.provider", "gcp", "spec.provider"),
    "a name that is missing in a list": (
        GIT_REPOSITORY,
        "spec.include",
        [{"repository": {"name": "a"}}, {"repository": {}}],
        "spec.include[1].repository.name",
    ),
    "yes for true": (GIT_REPOSITORY, "spec.suspend", "yes", "spec.suspend"),
    "no name": (GIT_REPOSITORY, "metadata.name", ..., "metadata.name"),
    "no metadata": (GIT_REPOSITORY, "metadata", ..., "metadata"),
    "a label that is a number": (GIT_REPOSITORY, "metadata.labels", {"a": 1}, "metadata.labels[...]"),
    "no word on pruning": (KUSTOMIZATION, "spec.prune", ..., "spec.prune"),
    "a source of no known kind": (KUSTOMIZATION, "spec.sourceRef.kind", "Zip", "spec.sourceRef.kind"),
    "a dependency that is text": (KUSTOMIZATION, "spec.dependsOn", ["infra"], "spec.dependsOn[0]"),
    "an inventory that cannot be read": (
        KUSTOMIZATION,
        "status.inventory",
        {"entries": [{"id": 7, "v": "v1"}]},
        "status.inventory.entries[0].id",
    ),
}
RAW = {"GitRepository": REPOSITORY, "Kustomization": KUSTOMIZATION_RAW}


@pytest.mark.parametrize(("kind", "path", "value", "named"), INVALID.values(), ids=INVALID)
def test_an_invalid_object_names_its_field(kind: Kind[Any], path: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        decode(kind, changed(RAW[kind.kind], path, value))
    assert caught.value.field_path == named
    assert str(caught.value) == f"{named}: {caught.value.message}"


MESSAGES = {
    "a wrong type": ("spec.interval", 60, "spec.interval: is an integer; write a string"),
    "a wrong type where null would do": ("spec.ref", [], "spec.ref: is a list; write a map"),
    "missing": ("spec.url", ..., "spec.url: is missing; set it"),
    "a wrong value": (
        "spec.provider",
        "gcp",
        "spec.provider: cannot be 'gcp'; write one of the values that `kubectl explain` lists",
    ),
}


@pytest.mark.parametrize(("path", "value", "message"), MESSAGES.values(), ids=MESSAGES)
def test_an_invalid_object_says_what_to_do(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        decode(GIT_REPOSITORY, changed(REPOSITORY, path, value))
    assert str(caught.value) == message


def test_a_message_does_not_quote_without_end() -> None:
    with pytest.raises(InvalidObject) as caught:
        decode(GIT_REPOSITORY, changed(REPOSITORY, "spec.provider", "x" * 1_000_000))
    assert len(str(caught.value)) < 400


# reliability A41: what an older schema let in. The object can be read; the field is invalid where it is used.
BAD_INTERVALS = ["300000h0m0s", "1w", "-1s", "1e3s", "", "0s"]


@pytest.mark.parametrize("interval", BAD_INTERVALS)
def test_a_bad_interval_is_found_when_it_is_used(interval: str) -> None:
    seen = decode(GIT_REPOSITORY, changed(REPOSITORY, "spec.interval", interval))
    with pytest.raises(InvalidObject, match=r"^spec\.interval: "):
        _ = seen.spec.interval_s


UNUSED_RULES: dict[str, tuple[Kind[Any], str, Any]] = {
    "a url that the pattern refuses": (GIT_REPOSITORY, "spec.url", "git@git.example:app.git"),
    "an empty namespace": (KUSTOMIZATION, "spec.targetNamespace", ""),
    "a prefix of 300 characters": (KUSTOMIZATION, "spec.namePrefix", "p" * 300),
    "a field of a later version": (KUSTOMIZATION, "spec.later", {"a": 1}),
    "nulls for optional fields": (
        KUSTOMIZATION,
        "spec.postBuild",
        {"substitute": None, "substituteFrom": None},
    ),
    "null for a flag": (GIT_REPOSITORY, "spec.suspend", None),
}


@pytest.mark.parametrize(("kind", "path", "value"), UNUSED_RULES.values(), ids=UNUSED_RULES)
def test_what_an_older_schema_let_in_is_readable(kind: Kind[Any], path: str, value: Any) -> None:
    decode(kind, changed(RAW[kind.kind], path, value))


STATUSES: dict[str, Any] = {
    "none": ...,
    "null": None,
    "a list": [],
    "text": "fine",
    "conditions that are a map": {"conditions": {"Ready": True}},
    "a condition without reason": {"conditions": [{"type": "Ready", "status": "True"}]},
    "an artifact without digest": {"artifact": {"path": "a", "url": "b"}},
    "a generation that is text": {"observedGeneration": "3"},
    "everything wrong at once": {
        "conditions": 1,
        "artifact": 2,
        "observedGeneration": 3.5,
        "observedIgnore": {},
    },
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_a_status_that_cannot_be_read_is_empty(status: Any) -> None:
    seen = decode(GIT_REPOSITORY, changed(REPOSITORY, "status", status)).status
    assert (seen.conditions, seen.artifact, seen.observed_generation) == ((), None, -1)


def test_only_the_bad_part_of_a_status_is_left_out() -> None:
    raw = changed(REPOSITORY, "status.artifact", {"path": 1})
    before = deepcopy(raw)
    seen = decode(GIT_REPOSITORY, raw).status
    assert seen.artifact is None
    assert seen.observed_generation == 3
    assert seen.condition("Ready") is not None
    assert raw == before, "the caller's object stays as it is"
