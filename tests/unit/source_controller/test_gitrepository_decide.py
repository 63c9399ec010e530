"""What is done about a GitRepository, and what is refused before anything is looked at."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepositorySpec
from source_controller.gitrepository.decide import Fetch, Keep, Observed, decide, refusal

OLD, NEW = "main@sha1:" + "a" * 40, "main@sha1:" + "b" * 40
LAST = Artifact(
    path="gitrepository/ns/app/aaaa.tar.gz",
    url="http://store/gitrepository/ns/app/aaaa.tar.gz",
    revision=OLD,
    digest="sha256:" + "0" * 64,
    last_update_time="2026-01-01T00:00:00Z",
)
STEADY = Observed(remote=OLD, artifact=LAST, stored="intact", ignore=None, observed_ignore=None)
AHEAD = f"building artifact: new upstream revision '{NEW}'"
CASES = {
    "nothing changed": (STEADY, Keep(LAST)),
    "first reconcile": (replace(STEADY, artifact=None, stored="lost"), Fetch("building artifact")),
    "a push": (replace(STEADY, remote=NEW), Fetch(AHEAD, outdated=True)),
    "another reference to the same commit": (
        replace(STEADY, remote="v1@sha1:" + "a" * 40),
        Fetch(f"building artifact: new upstream revision 'v1@sha1:{'a' * 40}'", outdated=True),
    ),
    "the store was wiped": (
        replace(STEADY, stored="lost"),
        Fetch("building artifact: disappeared from storage", gone=True),
    ),
    "a bit flipped": (
        replace(STEADY, stored="damaged"),
        Fetch("building artifact: damaged in storage", gone=True),
    ),
    "a push while wiped": (
        replace(STEADY, remote=NEW, stored="lost"),
        Fetch(AHEAD, outdated=True, gone=True),
    ),
    "spec.ignore changed": (
        replace(STEADY, ignore="*.md"),
        Fetch("building artifact: spec.ignore changed"),
    ),
    "spec.ignore was removed": (
        replace(STEADY, observed_ignore="*.md"),
        Fetch("building artifact: spec.ignore changed"),
    ),
    "spec.ignore is empty": (replace(STEADY, ignore=""), Keep(LAST)),
    "spec.ignore is the same": (replace(STEADY, ignore="*.md", observed_ignore="*.md"), Keep(LAST)),
}


@pytest.mark.parametrize(("seen", "plan"), CASES.values(), ids=CASES)
def test_decide(seen: Observed, plan: object) -> None:
    assert decide(seen) == plan


SECRET = {"name": "s"}
REFUSED: dict[str, tuple[dict[str, Any], str | None]] = {
    "a plain repository": ({}, None),
    "all that is built": (
        {"secretRef": SECRET, "ignore": "x", "ref": {"tag": "v1"}, "provider": "generic"},
        None,
    ),
    "ssh": ({"url": "ssh://git@host/x"}, "spec.url"),
    "a cloud's identity": ({"provider": "azure"}, "spec.provider"),
    "a proxy": ({"proxySecretRef": SECRET}, "spec.proxySecretRef"),
    "signatures": ({"verify": {"secretRef": SECRET}}, "spec.verify"),
    "includes": ({"include": [{"repository": {"name": "x"}}]}, "spec.include"),
    "submodules": ({"recurseSubmodules": True}, "spec.recurseSubmodules"),
    "a sparse checkout": ({"sparseCheckout": ["a"]}, "spec.sparseCheckout"),
    "two at once": (
        {"recurseSubmodules": True, "sparseCheckout": ["a"]},
        "spec.recurseSubmodules, spec.sparse",
    ),
}


@pytest.mark.parametrize(("fields", "named"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_built_is_refused_by_name(fields: dict[str, Any], named: str | None) -> None:
    raw = {"url": "https://git.example/x", "interval": "1m", **fields}
    refused = refusal(msgspec.convert(raw, GitRepositorySpec))
    if named is None:
        assert refused is None
    else:
        assert refused is not None
        assert refused.message.startswith(named)
        assert "not supported yet" in refused.message
