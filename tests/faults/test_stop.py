"""SIGTERM: a run under way is finished, or abandoned at the end of its grace; what is told is true either
way.

The process ends by itself, with 0, and so do its children; the next start goes on.
"""

import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kustomize_controller.__main__ import NAME as KUSTOMIZE
from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import Answer, GitServer
from lab.usage import is_alive
from source_controller.__main__ import NAME as SOURCE
from tests.faults.lane import CONVERGE_S, Case, Lane
from tests.faults.rules import Delay, Rule
from tests.faults.stories import FIVE, KINDS
from tests.harness.canaries import Canaries
from tests.harness.desk import Desk, condition
from tests.harness.wait import eventually

IDLE_S = 2.0  # a guess: nothing is waited for
DEPLOYMENTS = Path(__file__).parents[2] / "deploy" / "controllers"


def stop(controller: Controller) -> float:
    """SIGTERM, and see that all ends by itself; gives the seconds that the controller took."""
    pids = controller.living()
    began = time.monotonic()
    controller.process.signal(signal.SIGTERM)
    assert controller.await_end() == 0
    took_s = time.monotonic() - began
    eventually(lambda: not any(map(is_alive, pids)), 2, "its children have ended")
    controller.halt()
    return took_s


def pod_s(name: str) -> int:
    """What Kubernetes gives a pod of the controller `name` before it kills it."""
    documents = list(yaml.safe_load_all((DEPLOYMENTS / f"{name}.yaml").read_text()))
    workload = next(one for one in documents if one["kind"] == "Deployment")
    seconds: int = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    return seconds


# --- the source controller, at a slow Git server ---


@pytest.fixture(scope="module")
def desk(cluster: ControlPlane, git_server: GitServer, canaries: Canaries) -> Iterator[Desk]:
    """A published source, for all tests of the source controller in turn; its controller has one worker."""
    namespace = f"test-{secrets.token_hex(4)}"
    controller = SourceController(
        cluster.kubeconfig,
        flags=["--watch-all-namespaces=false", "--concurrent=1"],
        environment={"RUNTIME_NAMESPACE": namespace},
    )
    made = Desk.begin(cluster, git_server, namespace, controller)
    made.worktree.publish({"app.yaml": "a: 1\n"})
    with controller:
        made.apply()
        made.wait("Succeeded")
        yield made
        canaries.search(f"log of {controller.package}", controller.log.read_bytes())
    folder = made.path.removesuffix(f"/{made.name}")
    for item in made.client.get(folder)["items"]:
        path = f"{folder}/{item['metadata']['name']}"
        made.client.merge(path, {"metadata": {"finalizers": None}})  # nobody is there any more to do it
        made.client.request("DELETE", path)


def slow(desk: Desk, delay_s: float) -> str:
    """Publish a commit, and wait until it is being fetched; gives its id."""
    commit = desk.worktree.publish({"app.yaml": "a: 2\n"})
    desk.git.answer(desk.repository, Answer(delay_s=delay_s))
    desk.ask()
    at_work = 'controller_runtime_active_workers{controller="gitrepository"} 1.0'
    eventually(lambda: at_work in desk.controller.metrics(), 10, "the fetch has begun")
    return commit


def test_a_fetch_under_way_is_finished_and_told_of(desk: Desk) -> None:
    """What waits for a worker is not begun any more, and holds up no event."""
    waiting = desk.another("waiting")
    waiting.worktree.publish({"app.yaml": "a: 1\n"})
    commit = slow(desk, 0.3)  # five requests
    waiting.apply()
    depth = 'workqueue_depth{controller="gitrepository",name="gitrepository",priority="0"} 1.0'
    eventually(lambda: depth in desk.controller.metrics(), 2, "another one waits")
    before = len(desk.events("NewArtifact"))
    stop(desk.controller)
    found = desk.read()
    assert found["status"]["artifact"]["revision"] == f"main@sha1:{commit}"
    assert condition(found, "Ready")["status"] == "True"
    assert len(desk.events("NewArtifact")) == before + 1
    assert "artifact" not in waiting.read().get("status", {})
    desk.controller.start()
    waiting.wait("Succeeded")


def test_a_fetch_that_lasts_too_long_is_abandoned(desk: Desk) -> None:
    before = desk.read()["status"]["artifact"]
    commit = slow(desk, 15)
    assert stop(desk.controller) < pod_s(SOURCE)
    found = desk.read()
    assert found["status"]["artifact"] == before
    assert commit not in condition(found, "Ready")["message"]
    desk.git.answer(desk.repository, None)
    desk.controller.start()
    eventually(
        lambda: commit in desk.read()["status"]["artifact"]["revision"], 20, "the next start fetches it"
    )


def test_an_idle_source_controller_stops_at_once(desk: Desk) -> None:
    assert stop(desk.controller) < IDLE_S


# --- the kustomize controller, at a slow API server ---


@pytest.fixture(scope="module")
def case(lane: Lane) -> Case:
    """What a first revision asks for is applied; for all tests of the kustomize controller in turn."""
    made = lane.case()
    made.publish(FIVE)
    made.create()
    made.await_converged()
    return made


def hold(case: Case, delay_s: float) -> str:
    """Publish a change, and wait until its apply is held up; gives the revision."""
    proxy = case.lane.proxy
    before = faults(case)
    proxy.obey(Rule(do=Delay(delay_s), verb="apply", resource="configmaps"))
    colour = secrets.token_hex(4)
    revision = case.publish({"settings.yaml": str(FIVE["settings.yaml"]).replace("blue", f"'{colour}'")})
    eventually(lambda: faults(case) > before, 10, "the apply is held up")
    return revision


def faults(case: Case) -> int:
    return sum(bool(one.fault) for one in case.lane.proxy.history.all())


def test_an_apply_under_way_is_finished_and_told_of(case: Case) -> None:
    revision = hold(case, 1.0)
    stop(case.lane.controller)
    status = case.read()["status"]
    assert status["lastAppliedRevision"] == revision
    assert case.ready()["status"] == "True"
    history = case.lane.proxy.history
    before = len(history.changes())
    case.lane.controller.start()
    case.await_settled(CONVERGE_S)
    assert len(history.changes()) == before, "the next start found something to do"


def test_an_apply_that_lasts_too_long_is_abandoned(case: Case) -> None:
    before = case.revisions[-1].name
    revision = hold(case, 60.0)
    assert stop(case.lane.controller) < pod_s(KUSTOMIZE)
    status = case.read()["status"]
    assert status["lastAppliedRevision"] == before
    assert case.ready()["status"] != "True" or revision not in case.ready()["message"]
    case.lane.proxy.obey()
    case.lane.controller.start()
    case.await_converged(CONVERGE_S)


def test_an_idle_kustomize_controller_stops_at_once(case: Case) -> None:
    case.check(KINDS)
    case.leave()
    assert stop(case.lane.controller) < IDLE_S
