"""What is done about a GitRepository, and what is refused before anything is looked at."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from shared.api.artifact import Artifact
from shared.api.gitrepository import GitRepositorySpec, GitRepositoryStatus, Include
from shared.api.meta import LocalRef
from source_controller.gitrepository.decide import (
    Fetch,
    Keep,
    Observed,
    Options,
    Outdated,
    decide,
    refusal,
)

OLD, NEW = "main@sha1:" + "a" * 40, "main@sha1:" + "b" * 40
LAST = Artifact(
    path="gitrepository/ns/app/aaaa.tar.gz",
    url="http://store/gitrepository/ns/app/aaaa.tar.gz",
    revision=OLD,
    digest="sha256:" + "0" * 64,
    last_update_time="2026-01-01T00:00:00Z",
)
BASE = Artifact(
    path="gitrepository/ns/base/cccc.tar.gz",
    url="http://store/gitrepository/ns/base/cccc.tar.gz",
    revision="main@sha1:" + "c" * 40,
    digest="sha256:" + "1" * 64,
    last_update_time="2026-01-01T00:00:00Z",
)
INCLUDE = Include(repository=LocalRef(name="base"), from_path="deploy", to_path="base")
PLAIN = Options()
STEADY = Observed(remote=OLD, artifact=LAST, stored="intact", wanted=PLAIN, made_with=PLAIN)
INCLUDING = replace(
    STEADY,
    wanted=Options(include=(INCLUDE,)),
    made_with=Options(include=(INCLUDE,)),
    included=(BASE,),
    made_from=(BASE,),
)
AHEAD = f"building artifact: new upstream revision '{NEW}'"
NEW_REVISION = Outdated("NewRevision", f"new upstream revision '{NEW}'")
DIFFER = "included artifacts differ from last observed includes"


def wanting(**options: Any) -> Observed:
    """Options that the last artifact was not made with."""
    return replace(STEADY, wanted=Options(**options))


CASES = {
    "nothing changed": (STEADY, Keep(LAST)),
    "first reconcile": (
        replace(STEADY, artifact=None, stored="lost"),
        Fetch(f"building artifact: new upstream revision '{OLD}'"),
    ),
    "a push": (replace(STEADY, remote=NEW), Fetch(AHEAD, NEW_REVISION)),
    "another reference to the same commit": (
        replace(STEADY, remote="v1@sha1:" + "a" * 40),
        Fetch(
            f"building artifact: new upstream revision 'v1@sha1:{'a' * 40}'",
            Outdated("NewRevision", f"new upstream revision 'v1@sha1:{'a' * 40}'"),
        ),
    ),
    "a revision as older releases wrote it": (
        replace(STEADY, artifact=msgspec.structs.replace(LAST, revision="main/" + "a" * 40)),
        Fetch(
            f"building artifact: new upstream revision '{OLD}'",
            Outdated("NewRevision", f"new upstream revision '{OLD}'"),
        ),
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
        Fetch(AHEAD, NEW_REVISION, gone=True),
    ),
    "spec.ignore changed": (wanting(ignore="*.md"), Fetch("building artifact: spec.ignore changed")),
    "spec.ignore was removed": (
        replace(STEADY, made_with=Options(ignore="*.md")),
        Fetch("building artifact: spec.ignore changed"),
    ),
    "spec.recurseSubmodules was set": (
        wanting(recurse_submodules=True),
        Fetch("building artifact: spec.recurseSubmodules changed"),
    ),
    "spec.sparseCheckout was set": (
        wanting(sparse_checkout=("a",)),
        Fetch("building artifact: spec.sparseCheckout changed"),
    ),
    "spec.sparseCheckout has another order": (
        replace(
            STEADY, wanted=Options(sparse_checkout=("a", "b")), made_with=Options(sparse_checkout=("b", "a"))
        ),
        Fetch("building artifact: spec.sparseCheckout changed"),
    ),
    "an include is as it was": (INCLUDING, Keep(LAST)),
    "an included repository has a new revision": (
        replace(INCLUDING, included=(msgspec.structs.replace(BASE, revision=NEW),)),
        Fetch(f"building artifact: {DIFFER}", Outdated("IncludeChange", DIFFER)),
    ),
    "an included repository ignores more": (
        replace(INCLUDING, included=(msgspec.structs.replace(BASE, digest="sha256:" + "2" * 64),)),
        Fetch(f"building artifact: {DIFFER}", Outdated("IncludeChange", DIFFER)),
    ),
    "an included artifact has another address": (
        replace(INCLUDING, included=(msgspec.structs.replace(BASE, url="http://elsewhere/x"),)),
        Keep(LAST),
    ),
    "the first include": (
        replace(INCLUDING, made_with=PLAIN, made_from=()),
        Fetch(f"building artifact: {DIFFER}"),
    ),
    "the last include was removed": (
        replace(INCLUDING, wanted=PLAIN, included=()),
        Fetch(f"building artifact: {DIFFER}", Outdated("IncludeChange", DIFFER)),
    ),
    "an include goes elsewhere": (
        replace(
            INCLUDING,
            wanted=Options(include=(msgspec.structs.replace(INCLUDE, to_path="elsewhere"),)),
        ),
        Fetch("building artifact: spec.include changed"),
    ),
}


@pytest.mark.parametrize(("seen", "plan"), CASES.values(), ids=CASES)
def test_decide(seen: Observed, plan: object) -> None:
    assert decide(seen) == plan


def test_what_a_status_says_is_what_the_spec_said() -> None:
    """Each content option stands in the status under its own name."""
    include = [{"repository": {"name": "base"}, "fromPath": "x"}]
    spec = {"ignore": "*.md", "include": include, "recurseSubmodules": True, "sparseCheckout": ["a"]}
    status = {
        "observedIgnore": "*.md",
        "observedInclude": include,
        "observedRecurseSubmodules": True,
        "observedSparseCheckout": ["a"],
    }
    wanted = Options.wanted(
        msgspec.convert({"url": "https://git.example/x", "interval": "1m", **spec}, GitRepositorySpec)
    )
    assert wanted.changed_from(Options.observed(msgspec.convert(status, GitRepositoryStatus))) is None
    for name, field in zip(status, spec, strict=True):
        less = {key: value for key, value in status.items() if key != name}
        observed = Options.observed(msgspec.convert(less, GitRepositoryStatus))
        assert wanted.changed_from(observed) == f"spec.{field}"


def test_an_empty_spec_ignore_is_none() -> None:
    empty = msgspec.convert(
        {"url": "https://git.example/x", "interval": "1m", "ignore": ""}, GitRepositorySpec
    )
    assert Options.wanted(empty).changed_from(PLAIN) is None


SECRET = {"name": "s"}
REFUSED: dict[str, tuple[dict[str, Any], str | None]] = {
    "a plain repository": ({}, None),
    "all that is built": (
        {"secretRef": SECRET, "ignore": "x", "ref": {"tag": "v1"}, "provider": "generic"},
        None,
    ),
    "ssh": ({"url": "ssh://git@host/x", "secretRef": SECRET}, None),
    "a cloud's identity": ({"provider": "azure"}, "spec.provider"),
    "a proxy": ({"proxySecretRef": SECRET}, None),
    "signatures": ({"verify": {"secretRef": SECRET}}, "spec.verify"),
    "what shapes an artifact": (
        {"include": [{"repository": {"name": "x"}}], "recurseSubmodules": True, "sparseCheckout": ["a"]},
        None,
    ),
    "two at once": ({"provider": "aws", "verify": {"secretRef": SECRET}}, "spec.provider, spec.verify are"),
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
