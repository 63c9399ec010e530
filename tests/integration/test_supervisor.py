"""The watch of our own kinds goes on whatever happens to it, and nothing is missed.

It begins late where a CRD comes late, begins again with growing delay where the API server refuses it, and
after it was away compares what it knows with a list. Meanwhile the process is alive and says that it is not
ready. In a cluster of its own: other tests' controllers want theirs to stay.
"""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.tools import Tools
from tests.conftest import crds
from tests.faults.faultproxy import FaultProxy
from tests.faults.rules import Reply, Rule
from tests.harness.canaries import Canaries
from tests.harness.manifests import config_map
from tests.harness.story import Story, not_yet
from tests.harness.wait import eventually

SOON_S = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A control plane that does not know our kinds yet; the source controller reaches it through `proxy`."""

    cluster: ControlPlane
    proxy: FaultProxy
    source: SourceController
    kustomize: Controller

    @property
    def controllers(self) -> tuple[Controller, Controller]:
        return self.source, self.kustomize


@pytest.fixture(scope="module")
def scene(tools: Tools, canaries: Canaries) -> Iterator[Scene]:
    with ControlPlane(tools, bare=True) as cluster, FaultProxy(cluster) as proxy:
        source = SourceController(proxy.kubeconfig)
        kustomize = Controller("kustomize_controller", cluster.kubeconfig)
        try:
            for controller in (source, kustomize):
                controller.start(ready=False)
            yield Scene(cluster, proxy, source, kustomize)
        finally:
            for controller in (source, kustomize):
                controller.stop(keep_log=True)
                canaries.search(f"log of {controller.package}", controller.log.read_bytes())
                print(controller.process.log_tail())
                controller.stop()


@pytest.fixture
def story(scene: Scene, git_server: GitServer, namespace: str) -> Iterator[Story]:
    """A Kustomization `app` that is Ready: ConfigMaps `one` and `two`."""
    scene.proxy.obey()
    scene.cluster.install_crds(crds())
    for controller in scene.controllers:
        controller.await_ready()
    told = Story.begin(scene.cluster, git_server, namespace, scene.source.storage)
    told.start({"app/a.yaml": [config_map("one", namespace, n="1"), config_map("two", namespace, n="1")]})
    yield told
    told.end()


def asked(controller: Controller, path: str) -> tuple[int, str]:
    """Status and text of /healthz or /readyz."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{controller.health_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def alive_but_not_ready(controller: Controller, because: str) -> None:
    def seen() -> bool:
        status, text = asked(controller, "/readyz")
        return (status == 503 and because in text) or not_yet([status, text])

    eventually(seen, SOON_S, f"{controller.package} is not ready: {because}")
    assert asked(controller, "/healthz") == (200, "ok")


@contextmanager
def stopped(scene: Scene) -> Iterator[None]:
    """Both controllers notice nothing inside."""
    for controller in scene.controllers:
        os.kill(controller.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for controller in scene.controllers:
            os.kill(controller.pid, signal.SIGCONT)


def remove_unseen(story: Story, kind: str, name: str) -> None:
    """Delete an object of ours without its controller."""
    story.delete(kind, name)
    story.patch(kind, name, {"metadata": {"finalizers": None}})
    assert story.find(kind, name) is None


def goes_on(scene: Scene, story: Story) -> None:
    """Ready, and a push arrives."""
    for controller in scene.controllers:
        controller.await_ready()
    commit = story.push({"app/a.yaml": [config_map("one", story.namespace, n="2")]})
    story.ready("app", commit)
    assert story.data("one") == {"n": "2"}
    story.gone("ConfigMap", "two")


def missed(controller: Controller, key: str) -> None:
    """Wait until the controller has found out that an object vanished unseen."""
    unseen = {"msg": "object vanished unseen", "key": key}.items()
    what = f"{controller.package} misses {key}"
    eventually(lambda: any(unseen <= line.items() for line in controller.lines()), SOON_S, what)


def delays(controller: Controller) -> list[float]:
    return [line["next_s"] for line in controller.lines() if line["msg"] == "observer restarts"]


def test_kinds_that_come_later_are_waited_for(scene: Scene) -> None:
    alive_but_not_ready(scene.source, 'no matches for kind "GitRepository"')
    alive_but_not_ready(scene.kustomize, 'no matches for kind "')
    scene.proxy.obey(Rule(do=Reply(403), verb="watch", nth=0))
    scene.cluster.install_crds(crds())
    scene.kustomize.await_ready()
    eventually(lambda: delays(scene.source)[:3] == [0.5, 1.0, 2.0], SOON_S, "it begins again, ever later")
    alive_but_not_ready(scene.source, "answers 403 to GET")
    scene.proxy.obey()
    scene.source.await_ready()


def test_what_was_deleted_while_a_watch_was_away_is_noticed(scene: Scene, story: Story) -> None:
    """The watch goes on from a version that a fresh API server does not have: 410, and a list without it."""
    story.source("doomed")
    story.kustomization("orphan", sourceRef={"kind": "GitRepository", "name": "doomed"}, path="./app")
    story.failed("orphan", "ReconciliationFailed")  # what it wants is `app`'s
    restarts = len(delays(scene.kustomize))
    with stopped(scene):
        scene.cluster.restart_apiserver()
        remove_unseen(story, "GitRepository", "doomed")
        story.delete("ConfigMap", "two")
    story.failed("orphan", "ArtifactFailed", "not found")
    story.becomes("what was deleted is back", lambda: story.find("ConfigMap", "two"))
    for controller in scene.controllers:
        missed(controller, f"GitRepository/{story.namespace}/doomed")
    assert len(delays(scene.kustomize)) == restarts, "to list anew needs no restart"
    goes_on(scene, story)


def test_an_api_server_that_is_away_is_waited_for(scene: Scene, story: Story) -> None:
    scene.cluster.processes["kube-apiserver"].stop(grace_s=1.0)
    for controller in scene.controllers:
        alive_but_not_ready(controller, "")
    with stopped(scene):
        scene.cluster.restart_apiserver()
        story.delete("ConfigMap", "two")
    story.becomes("what was deleted is back", lambda: story.find("ConfigMap", "two"))
    goes_on(scene, story)
