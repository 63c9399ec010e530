"""What shapes an artifact beside its commit, as users see it: spec.include, sparseCheckout,
recurseSubmodules."""

import pytest

from tests.harness.desk import Desk, condition, content, link
from tests.harness.wait import eventually

# Whoever waits does so for an hour, unless something wakes him.
SOURCE_FLAGS = ["--requeue-dependency=1h"]


@pytest.fixture
def desk(desk: Desk) -> Desk:
    desk.worktree.publish({"app.yaml": "a: 1\n"}, "the app")
    return desk


def including(name: str, **where: str) -> list[dict[str, object]]:
    return [{"repository": {"name": name}, **where}]


def test_an_include_waits_for_its_repository_and_follows_it(desk: Desk) -> None:
    desk.apply(include=including("base", fromPath="deploy", toPath="libs/base"))
    missing = desk.wait("NotFound")
    told = (
        "could not get resource for include 'base': GitRepository.source.toolkit.fluxcd.io \"base\" not found"
    )
    unavailable = condition(missing, "IncludeUnavailable")
    assert (unavailable["status"], unavailable["reason"], unavailable["message"]) == (
        "True",
        "NotFound",
        told,
    )
    assert condition(missing, "Ready")["message"] == told
    assert condition(missing, "Reconciling")["message"] == "reconciliation in progress"
    assert condition(missing, "Stalled") == {}
    assert missing["status"].get("observedGeneration") == -1

    base = desk.another("base")
    base.apply()
    waiting = desk.wait("NoArtifact")
    assert condition(waiting, "Ready")["message"] == "no artifact available for include 'base'"

    base.worktree.publish({"deploy/base.yaml": "b: 1\n", "README.md": "not wanted\n"})
    base.ask()
    found = desk.wait("Succeeded")
    assert content(found) == {"app.yaml", "libs/base/base.yaml"}
    status = found["status"]
    assert status["includedArtifacts"] == [base.wait("Succeeded")["status"]["artifact"]]
    assert status["observedInclude"] == including("base", fromPath="deploy", toPath="libs/base")
    assert {each["type"] for each in status["conditions"]} == {"Ready", "ArtifactInStorage"}
    assert status["observedGeneration"] == found["metadata"]["generation"]

    commit = base.worktree.publish({"deploy/more.yaml": "m: 1\n"})
    base.ask()

    def followed() -> bool:
        included = desk.read()["status"]["includedArtifacts"]
        return bool(included[0]["revision"] == f"main@sha1:{commit}")

    eventually(followed, 20, "the included artifact is the new one")
    after = desk.wait("Succeeded")
    assert content(after) == {"app.yaml", "libs/base/base.yaml", "libs/base/more.yaml"}
    assert after["status"]["artifact"]["revision"] == status["artifact"]["revision"], "the same commit"
    assert after["status"]["artifact"]["digest"] != status["artifact"]["digest"]

    desk.apply()
    alone = desk.wait("Succeeded")
    assert content(alone) == {"app.yaml"}
    assert not {"includedArtifacts", "observedInclude"} & set(alone["status"])


def test_a_chain_of_includes_is_followed_to_its_end(desk: Desk) -> None:
    middle, last = desk.another("middle"), desk.another("last")
    desk.apply(include=including("middle"))
    middle.worktree.publish({"middle.yaml": "m: 1\n"})
    middle.apply(include=including("last"))
    last.worktree.publish({"last.yaml": "l: 1\n"})
    last.apply()
    assert content(desk.wait("Succeeded")) == {"app.yaml", "middle/middle.yaml", "middle/last/last.yaml"}
    last.worktree.publish({"more.yaml": "l: 2\n"})
    last.ask()
    eventually(lambda: "middle/last/more.yaml" in content(desk.read()), 20, "the end of the chain is here")


def test_a_ring_of_includes_is_refused_on_all_its_members(desk: Desk) -> None:
    base = desk.another("base")
    base.worktree.publish({"base.yaml": "b: 1\n"})
    base.apply(include=including("app"))
    desk.apply(include=including("base"))
    for one in (desk, base):
        told = condition(one.wait("IncludeRing"), "IncludeUnavailable")["message"]
        assert told.startswith("spec.include goes round in a ring: ")
    base.apply()
    assert content(desk.wait("Succeeded")) == {"app.yaml", "base/base.yaml"}


@pytest.mark.parametrize(
    ("where", "reason", "text"),
    [
        ({"toPath": "../outside"}, "IllegalPath", "path calculation for include 'base' failed: "),
        ({"toPath": "app.yaml"}, "CopyFailure", "failed to copy 'base' include from  to app.yaml: "),
        (
            {"fromPath": "nope", "toPath": "x"},
            "CopyFailure",
            "failed to copy 'base' include from nope to x: ",
        ),
    ],
    ids=["a target outside", "a target that is there", "a source that is not there"],
)
def test_an_include_that_cannot_be_copied(where: dict[str, str], reason: str, text: str, desk: Desk) -> None:
    desk.apply()
    before = desk.wait("Succeeded")
    base = desk.another("base")
    base.worktree.publish({"base.yaml": "b: 1\n"})
    base.apply()
    base.wait("Succeeded")
    desk.apply(include=including("base", **where))
    found = desk.wait(reason)
    failed = condition(found, "StorageOperationFailed")
    assert (failed["status"], failed["reason"]) == ("True", reason)
    assert failed["message"].startswith(text)
    assert condition(found, "Ready")["message"] == failed["message"]
    assert condition(found, "Reconciling")["reason"] == "ProgressingWithRetry"
    assert condition(found, "FetchFailed") == {}
    assert found["status"]["artifact"] == before["status"]["artifact"]
    assert "observedInclude" not in found["status"]
    desk.apply()
    assert condition(desk.wait("Succeeded"), "StorageOperationFailed") == {}
    eventually(lambda: desk.events("Succeeded"), 10, "the recovery is told")


def test_an_included_repository_that_goes_is_missed_and_the_artifact_stays(desk: Desk) -> None:
    base = desk.another("base")
    base.worktree.publish({"base.yaml": "b: 1\n"})
    base.apply()
    desk.apply(include=including("base"))
    before = desk.wait("Succeeded")
    base.delete()
    after = desk.wait("NotFound")
    assert after["status"]["artifact"] == before["status"]["artifact"]
    assert content(after) == {"app.yaml", "base/base.yaml"}
    assert condition(after, "ArtifactInStorage")["status"] == "True"


def test_the_rules_of_the_one_that_includes_count(desk: Desk) -> None:
    base = desk.another("base")
    base.worktree.publish({"base.yaml": "b: 1\n", "notes.md": "x\n", "logo.png": "x"})
    base.apply(ignore="*.txt\n")
    assert content(base.wait("Succeeded")) == {"base.yaml", "notes.md", "logo.png"}
    desk.apply(include=including("base"), ignore="*.md\n")
    assert content(desk.wait("Succeeded")) == {"app.yaml", "base/base.yaml", "base/logo.png"}


def test_only_listed_folders_are_published(desk: Desk) -> None:
    desk.worktree.publish({"apps/one/a.yaml": "a\n", "apps/two/b.yaml": "b\n"})
    desk.apply()
    before = desk.wait("Succeeded")
    desk.apply(sparseCheckout=["./apps/one"])
    found = desk.wait("Succeeded")
    assert content(found) == {"apps/one/a.yaml"}
    assert found["status"]["observedSparseCheckout"] == ["./apps/one"]
    assert found["status"]["artifact"]["revision"] == before["status"]["artifact"]["revision"]
    desk.apply(sparseCheckout=["apps/one", "nope"])
    missing = desk.wait("GitOperationFailed")
    told = "failed to sparse checkout directories : sparse checkout dir 'nope' does not exist in repository: "
    assert condition(missing, "FetchFailed")["message"].startswith(told)
    assert missing["status"]["observedSparseCheckout"] == ["./apps/one"]
    assert content(missing) == {"apps/one/a.yaml"}
    desk.apply()
    assert "observedSparseCheckout" not in desk.wait("Succeeded")["status"]


def test_submodules_are_published_when_asked_for(desk: Desk) -> None:
    lib = desk.another("lib")
    commit = lib.worktree.publish({"lib.yaml": "l: 1\n"})
    link(desk.worktree, "vendor/lib", commit, "../lib.git")
    desk.worktree.publish({})
    desk.apply()
    assert content(desk.wait("Succeeded")) == {"app.yaml"}
    told = eventually(lambda: desk.events("LeftOut"), 10, "an event")
    assert "'vendor/lib' (submodule; spec.recurseSubmodules fetches it)" in told[0]
    desk.apply(recurseSubmodules=True)
    found = desk.wait("Succeeded")
    assert content(found) == {"app.yaml", "vendor/lib/lib.yaml"}
    assert found["status"]["observedRecurseSubmodules"] is True
    link(desk.worktree, "vendor/other", commit, "file:///etc")
    pushed = desk.worktree.publish({})
    failed = desk.ask_and_wait()
    url = desk.git.url(desk.repository)
    doing = f"failed to checkout and determine revision: unable to clone '{url}': "
    assert condition(failed, "FetchFailed")["message"].startswith(f"{doing}submodule 'vendor/other'")
    outdated = condition(failed, "ArtifactOutdated")
    assert (outdated["reason"], outdated["message"]) == (
        "NewRevision",
        f"new upstream revision 'main@sha1:{pushed}'",
    )
    assert content(failed) == {"app.yaml", "vendor/lib/lib.yaml"}


def test_a_run_that_changes_nothing_writes_nothing(desk: Desk) -> None:
    base = desk.another("base")
    base.worktree.publish({"base.yaml": "b: 1\n"})
    base.apply(interval="1s")
    desk.worktree.publish({"apps/a.yaml": "a\n"})
    desk.apply(interval="1s", include=including("base"), sparseCheckout=["apps"], recurseSubmodules=True)
    before = desk.wait("Succeeded")
    desk.git.forget_requests()
    eventually(lambda: len(desk.git.requests(base.repository)) >= 6, 20, "three further runs of the base")
    eventually(lambda: len(desk.git.requests(desk.repository)) >= 6, 20, "three further runs")
    assert desk.read()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_who_is_held_by_another_finalizer_names_nothing_that_is_gone(desk: Desk) -> None:
    desk.apply()
    desk.wait("Succeeded")
    held = {"metadata": {"finalizers": ["finalizers.fluxcd.io", "example.com/wait"]}}
    desk.client.merge(desk.path, held)
    desk.delete()
    folder = desk.controller.storage / "gitrepository" / desk.namespace / "app"
    eventually(lambda: not folder.exists(), 10, "the artifacts are gone")
    eventually(
        lambda: desk.read()["metadata"]["finalizers"] == ["example.com/wait"], 10, "our finalizer is gone"
    )
    assert "artifact" not in desk.read()["status"]
    desk.client.merge(desk.path, {"metadata": {"finalizers": None}})
    eventually(lambda: desk.find() is None, 10, "the object is gone")
