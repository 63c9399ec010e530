"""kill -9 of the source controller: nothing is half there, and a restart does no work twice (F17)."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from lab.controllers import SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import Answer, GitServer
from lab.usage import is_alive
from tests.harness.canaries import Canaries
from tests.harness.desk import Desk, content
from tests.harness.invariants import Evidence, check_invariants
from tests.harness.outlets import Outlets
from tests.harness.wait import eventually


@pytest.fixture
def desk(
    cluster: ControlPlane,
    git_server: GitServer,
    namespace: str,
    run_controller: Callable[[SourceController], SourceController],
    canaries: Canaries,
) -> Iterator[Desk]:
    controller = SourceController(
        cluster.kubeconfig,
        flags=["--watch-all-namespaces=false", "--min-retry-delay=200ms"],
        environment={"RUNTIME_NAMESPACE": namespace},
    )
    made = Desk.begin(cluster, git_server, namespace, controller)
    made.lock(canaries.plant("Git password"))
    run_controller(controller)
    yield made
    evidence = Evidence(outlets=Outlets(canaries, (controller,)))
    check_invariants(cluster.client, store=controller.storage, namespace=namespace, evidence=evidence)
    made.delete()
    eventually(lambda: made.find() is None, 10, "the object is gone")


def test_a_restart_publishes_nothing_again(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")
    written = (desk.controller.storage / before["status"]["artifact"]["path"]).stat().st_mtime_ns
    children = [pid for pid in desk.controller.living() if pid != desk.controller.pid]
    assert children, "Git work runs in children"
    desk.controller.kill()
    eventually(lambda: not any(is_alive(pid) for pid in children), 10, "no child outlives the controller")
    desk.git.forget_requests()
    desk.controller.restart()
    eventually(lambda: desk.git.requests(desk.repository), 20, "a run after the restart")
    after = desk.ask_and_wait()
    assert after["status"]["artifact"] == before["status"]["artifact"]
    assert (desk.controller.storage / after["status"]["artifact"]["path"]).stat().st_mtime_ns == written


def test_a_kill_while_a_revision_is_fetched(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    before = desk.wait("Succeeded")
    commit = desk.worktree.publish({"app.yaml": "a: 2\n"})
    desk.git.forget_requests()
    desk.git.answer(desk.repository, Answer(delay_s=0.3))  # five requests: long enough to be in the middle
    desk.ask()
    eventually(lambda: len(desk.git.requests(desk.repository)) >= 3, 20, "the fetch has begun")
    desk.controller.kill()
    assert desk.read()["status"]["artifact"] == before["status"]["artifact"]
    draft = (desk.controller.storage / before["status"]["artifact"]["path"]).with_name(".x.tar.gz.y.tmp")
    draft.write_bytes(b"what a kill in the middle of writing leaves")
    desk.git.answer(desk.repository, None)
    desk.controller.restart()

    def published() -> bool:
        return bool(desk.read()["status"]["artifact"]["revision"] == f"main@sha1:{commit}")

    eventually(published, 20, "the new revision is published")
    assert content(desk.read()) == {"app.yaml"}
    assert not draft.exists()


def test_a_worker_that_dies_is_replaced(desk: Desk) -> None:
    desk.worktree.publish({"app.yaml": "a: 1\n"})
    desk.apply()
    desk.wait("Succeeded")
    for pid in desk.controller.living():
        if pid != desk.controller.pid:
            os.kill(pid, signal.SIGKILL)
    commit = desk.worktree.publish({"app.yaml": "a: 2\n"})
    assert desk.ask_and_wait()["status"]["artifact"]["revision"] == f"main@sha1:{commit}"
