"""What fault tests share: one source controller beside the session's control plane and Git server."""

from collections.abc import Iterator

import pytest

from lab.controllers import SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from tests.faults.lane import Lane, World
from tests.harness.canaries import Canaries


@pytest.fixture(scope="session")
def world(cluster: ControlPlane, git_server: GitServer, canaries: Canaries) -> Iterator[World]:
    with SourceController(cluster.kubeconfig) as sources:
        yield World(cluster, git_server, sources)
        canaries.search("log of source_controller", sources.log.read_bytes())


@pytest.fixture(scope="module")
def lane(world: World, canaries: Canaries) -> Iterator[Lane]:
    with Lane(world) as one:
        yield one
        canaries.search("log of kustomize_controller", one.controller.log.read_bytes())
