"""The source controller with a real API server and a real Git server: what users see of it."""

import secrets
import socket
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.gitserver import Answer, Basic
from tests.harness.canaries import Canaries
from tests.harness.desk import Desk, condition, content
from tests.harness.wait import eventually


def test_a_repository_becomes_an_artifact(desk: Desk) -> None:
    commit = desk.worktree.publish({"app.yaml": "a: 1\n", "logo.png": "x"}, "Add the app\n\nIn full.")
    desk.apply()
    found = desk.wait("Succeeded")
    revision = f"main@sha1:{commit}"
    artifact = found["status"]["artifact"]
    assert artifact["revision"] == revision
    assert artifact["path"] == f"gitrepository/{desk.namespace}/app/{commit}.tar.gz"
    assert artifact["url"].endswith("/" + artifact["path"])
    assert content(found) == {"app.yaml"}
    for kind in ("Ready", "ArtifactInStorage"):
        seen = condition(found, kind)
        assert (seen["status"], seen["reason"]) == ("True", "Succeeded")
        assert seen["message"] == f"stored artifact for revision '{revision}'"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert {each["type"] for each in found["status"]["conditions"]} == {"Ready", "ArtifactInStorage"}
    told = eventually(lambda: desk.events("NewArtifact"), 10, "an event")
    assert told == ["stored artifact for commit 'Add the app'"]


def test_a_run_that_changes_nothing_writes_nothing(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply(interval="1s")
    before = desk.wait("Succeeded")
    desk.git.forget_requests()
    eventually(lambda: len(desk.git.requests(desk.repository)) >= 6, 20, "three further runs")
    after = desk.read()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert {request.method for request in desk.git.requests(desk.repository)} == {"GET", "POST"}
    assert all(request.sent_bytes < 1000 for request in desk.git.requests(desk.repository))


def test_a_push_is_published_and_old_artifacts_are_collected(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    desk.wait("Succeeded")
    for n in range(5):
        commit = desk.worktree.publish({"app.yaml": f"a: {n}\n"}, f"change {n}")
        found = desk.ask_and_wait()
        assert found["status"]["artifact"]["revision"] == f"main@sha1:{commit}"
    desk.ask_and_wait()
    folder = desk.controller.storage / "gitrepository" / desk.namespace / "app"
    assert len(list(folder.glob("*.tar.gz"))) == 2  # the current one, and one for those who are slow


def test_a_fetch_that_takes_long_shows_what_it_is_at(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")
    commit = desk.worktree.publish({"app.yaml": "a: 2\n"})
    desk.git.answer(desk.repository, Answer(delay_s=0.7))
    desk.ask()

    def outdated() -> bool:
        found = desk.read()
        told = f"new upstream revision 'main@sha1:{commit}'"
        states = [condition(found, kind) for kind in ("ArtifactOutdated", "Reconciling", "Ready")]
        seen = [(each.get("status"), each.get("reason"), each.get("message")) for each in states]
        return seen == [
            ("True", "NewRevision", told),
            ("True", "Progressing", f"building artifact: {told}"),
            ("Unknown", "Progressing", f"building artifact: {told}"),
        ] and bool(found["status"]["artifact"] == before["status"]["artifact"])

    eventually(outdated, 20, "the conditions of a fetch under way")
    desk.git.answer(desk.repository, None)
    after = desk.wait("Succeeded")
    assert {each["type"] for each in after["status"]["conditions"]} == {"Ready", "ArtifactInStorage"}


def test_what_is_pushed_and_asked_for_during_a_fetch_is_in_the_answer(desk: Desk) -> None:
    """The fetch under way has listed the remote before, so it cannot answer."""
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    desk.wait("Succeeded")
    seen = desk.worktree.publish({"app.yaml": "a: 2\n"})
    desk.git.answer(desk.repository, Answer(delay_s=0.7))
    first = desk.ask()

    def listed() -> bool:
        return seen in condition(desk.read(), "ArtifactOutdated").get("message", "")

    eventually(listed, 20, "the commit is seen and being fetched")
    pushed = desk.worktree.publish({"app.yaml": "a: 3\n"})
    second = desk.ask()
    answers: dict[str, str] = {}  # the revision when a request was first seen to be answered

    def answered() -> bool:
        status = desk.read()["status"]
        handled: str = status.get("lastHandledReconcileAt", "")
        answers.setdefault(handled, status["artifact"]["revision"])
        return handled == second

    eventually(answered, 20, "the second request was answered")
    desk.git.answer(desk.repository, None)
    assert (answers.get(first), answers[second]) == (f"main@sha1:{seen}", f"main@sha1:{pushed}")


def test_a_missing_branch_keeps_the_artifact_and_says_so(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")
    desk.apply(ref={"branch": "nope"})
    found = desk.wait("GitOperationFailed")
    ready = condition(found, "Ready")
    assert ready["status"] == "False"
    url = desk.git.url(desk.repository)
    assert ready["message"].startswith(
        f"failed to checkout and determine revision: unable to list remote for '{url}': "
        'couldn\'t find remote ref "refs/heads/nope"'
    )
    assert condition(found, "FetchFailed")["message"] == ready["message"]
    assert condition(found, "Reconciling")["reason"] == "ProgressingWithRetry"
    assert condition(found, "ArtifactInStorage")["status"] == "True"
    assert found["status"]["artifact"] == before["status"]["artifact"]
    assert found["status"]["observedGeneration"] == before["status"]["observedGeneration"]
    desk.apply()
    assert condition(desk.wait("Succeeded"), "FetchFailed") == {}
    eventually(lambda: desk.events("Succeeded"), 10, "the recovery is told")


def test_an_outage_ends_by_itself(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.git.answer(desk.repository, Answer(status=500))
    desk.apply()
    assert "status code: 500" in condition(desk.wait("GitOperationFailed"), "Ready")["message"]
    desk.git.answer(desk.repository, None)
    desk.wait("Succeeded")


def test_a_private_repository_needs_its_secret(desk: Desk, canaries: Canaries) -> None:
    password = "canary-" + secrets.token_hex(16)
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.git.protect(desk.repository, Basic("user", password))
    desk.apply(secretRef={"name": "creds"})
    missing = condition(desk.wait("AuthenticationFailed"), "FetchFailed")["message"]
    told = f"failed to get secret '{desk.namespace}/creds': "
    assert missing == f'{told}{told}secrets "creds" not found'
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "creds", "namespace": desk.namespace},
        "data": {
            "username": b64encode(b"user").decode(),
            "password": b64encode(password.encode()).decode(),
        },
    }
    desk.client.apply(f"/api/v1/namespaces/{desk.namespace}/secrets/creds", secret)
    desk.wait("Succeeded")
    assert password.encode() not in desk.controller.log.read_bytes()


def test_a_field_that_is_not_built_stalls(desk: Desk) -> None:
    desk.apply(provider="azure")
    found = desk.wait("UnsupportedField")
    assert condition(found, "Stalled")["status"] == "True"
    assert "spec.provider" in condition(found, "Ready")["message"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


def test_a_damaged_artifact_is_built_again(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")["status"]["artifact"]
    file: Path = desk.controller.storage / before["path"]
    raw = file.read_bytes()
    file.write_bytes(raw[:20] + bytes([raw[20] ^ 1]) + raw[21:])
    after = desk.ask_and_wait()
    assert after["status"]["artifact"] == before
    assert content(after) == {"app.yaml"}
    eventually(lambda: desk.events("ArtifactVerificationFailed"), 10, "a warning")


DIGESTS: dict[str, Callable[[str], str]] = {
    "its digest": lambda digest: digest,
    "another digest": lambda digest: f"sha256:{'0' * len(digest.removeprefix('sha256:'))}",
}


@pytest.mark.parametrize("digest", DIGESTS.values(), ids=DIGESTS)
def test_a23_a_status_that_names_the_artifact_of_another(desk: Desk, digest: Callable[[str], str]) -> None:
    """Who can write a status makes us neither remove nor offer what is another object's."""
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")["status"]["artifact"]
    other = desk.another("other")
    other.worktree.publish({"secret.yaml": "b: 1\n"})
    other.apply()
    theirs = other.wait("Succeeded")["status"]["artifact"]
    forged = {**theirs, "revision": before["revision"], "digest": digest(theirs["digest"])}
    desk.client.merge(desk.path + "/status", {"status": {"artifact": forged}})
    after = desk.ask_and_wait()
    assert after["status"]["artifact"]["path"] == before["path"]
    assert content(after) == {"app.yaml"}
    assert content(other.read()) == {"secret.yaml"}


def test_a_damaged_artifact_that_cannot_be_removed_is_an_error_of_the_store(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")["status"]["artifact"]
    file: Path = desk.controller.storage / before["path"]
    lock = file.with_name(file.name + ".lock")
    lock.unlink()
    lock.mkdir()  # what no permission could keep from a test that runs as root
    file.write_bytes(b"x" * before["size"])
    desk.ask()
    eventually(
        lambda: [
            told for told in desk.events("ArchiveOperationFailed") if "unable to remove damaged" in told
        ],
        20,
        "an event that names the store",
    )
    found = desk.wait("ArchiveOperationFailed")
    assert condition(found, "StorageOperationFailed")["status"] == "True"
    lock.rmdir()
    assert desk.wait("Succeeded")["status"]["artifact"]["digest"] == before["digest"]


def test_ignore_rebuilds_the_same_commit(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n", "docs/a.md": "x"})
    desk.apply()
    before = desk.wait("Succeeded")
    desk.apply(ignore="/docs\n")
    after = desk.wait("Succeeded")
    assert after["status"]["observedIgnore"] == "/docs\n"
    assert after["status"]["artifact"]["revision"] == before["status"]["artifact"]["revision"]
    assert content(after) == {"app.yaml"}
    desk.apply()
    assert "observedIgnore" not in desk.wait("Succeeded")["status"]


def test_links_that_are_left_out_are_named(desk: Desk) -> None:
    (desk.worktree.path / "passwd").symlink_to("/etc/passwd")
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    assert content(desk.wait("Succeeded")) == {"app.yaml"}
    told = eventually(lambda: desk.events("LeftOut"), 10, "an event")
    assert "'passwd' (symbolic link)" in told[0]


def test_deleting_removes_everything(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    desk.wait("Succeeded")
    folder = desk.controller.storage / "gitrepository" / desk.namespace / "app"
    assert folder.exists()
    desk.delete()
    eventually(lambda: not folder.exists(), 10, "the artifacts are gone")
    eventually(lambda: desk.client.find(desk.path) is None, 10, "the object is gone")


GIVEN_UP: dict[str, Callable[[Desk], object]] = {
    "suspended": lambda desk: desk.client.merge(desk.path, {"spec": {"suspend": True}}),
    "deleted": lambda desk: desk.delete(),
    "edited": lambda desk: desk.apply(),
}


@pytest.mark.parametrize("act", GIVEN_UP.values(), ids=GIVEN_UP)
def test_a_silent_server_holds_no_worker_of_an_object_that_is(
    act: Callable[[Desk], None], desk: Desk
) -> None:
    """Workers are for everybody, and spec.timeout may be long: the one that waits is killed at once."""
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        desk.apply(url=f"http://127.0.0.1:{silent.getsockname()[1]}/app.git", timeout="60m")
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(9000).startswith(b"GET /app.git/info/refs")
            act(desk)
            assert connection.recv(9000) == b"", "the worker ended the connection"
    if act is GIVEN_UP["edited"]:
        desk.wait("Succeeded")
    if act is GIVEN_UP["deleted"]:
        eventually(lambda: desk.find() is None, 10, "the object is gone")


def test_a_hung_server_is_given_up_at_the_timeout(desk: Desk) -> None:
    desk.git.answer(desk.repository, Answer(delay_s=5))
    desk.apply(timeout="1s")
    message = condition(desk.wait("GitOperationFailed"), "Ready")["message"]
    assert message.startswith("failed to checkout and determine revision: ")
