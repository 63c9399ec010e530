"""What tests of Flux's command line share: a cluster with Headrace installed as deploy/ says, both
controllers.

The Deployments' pods are kwok's and run nothing. The controllers that work are processes beside the cluster,
as everywhere in the tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.tools import Tools
from tests.cli.flux import Flux
from tests.conftest import control_plane_for
from tests.harness.canaries import Canaries
from tests.harness.story import Story

_DEPLOY = Path(__file__).parents[2] / "deploy"
_AVAILABLE = "wait deployment --all --for=condition=Available --timeout=60s --namespace=flux-system"


@dataclass(frozen=True, slots=True)
class Installed:
    """A cluster of its own, since what is installed there is nothing for other tests' controllers."""

    cluster: ControlPlane
    git: GitServer
    sources: SourceController
    builds: Controller
    home: Path  # of the command line

    def flux(self, namespace: str) -> Flux:
        return Flux(self.cluster.tools, self.cluster.kubeconfig, self.home, namespace)

    def story(self, namespace: str) -> Story:
        return Story.begin(self.cluster, self.git, namespace, self.sources.storage)


@pytest.fixture(scope="package")
def installed(
    request: pytest.FixtureRequest,
    tools: Tools,
    canaries: Canaries,
    git_server: GitServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    for cluster in control_plane_for(request, tools, canaries, bare=False):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(_DEPLOY))
        cluster.kubectl(*_AVAILABLE.split())
        with (
            SourceController(cluster.kubeconfig) as sources,
            Controller("kustomize_controller", cluster.kubeconfig) as builds,
        ):
            yield Installed(cluster, git_server, sources, builds, tmp_path_factory.mktemp("flux"))
            for controller in (sources, builds):
                canaries.search(f"log of {controller.package}", controller.log.read_bytes())


@pytest.fixture
def story(request: pytest.FixtureRequest, installed: Installed, namespace: str) -> Iterator[Story]:
    """A world of its own for one test. Afterwards the invariants hold in it, and all of it can be deleted."""
    told = installed.story(namespace)
    failed_before = request.session.testsfailed
    yield told
    if request.session.testsfailed > failed_before:
        told.remove()  # the test itself tells what is wrong
    else:
        told.end()


@pytest.fixture
def flux(story: Story, installed: Installed) -> Flux:
    """In the story's namespace."""
    return installed.flux(story.namespace)
