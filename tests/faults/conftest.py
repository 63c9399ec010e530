"""What fault tests share: one control plane and one source controller, beside the session's Git server."""

from collections.abc import Iterator

import pytest

from lab.controllers import SourceController
from lab.gitserver import GitServer
from lab.tools import Tools
from tests.conftest import control_plane_for
from tests.faults.lane import Lane, World
from tests.harness.canaries import Canaries


@pytest.fixture(scope="package")
def world(
    request: pytest.FixtureRequest, tools: Tools, git_server: GitServer, canaries: Canaries
) -> Iterator[World]:
    """A cluster of its own: what these tests leave behind is nothing for other tests' controllers."""
    for cluster in control_plane_for(request, tools, canaries, bare=True):
        with SourceController(cluster.kubeconfig) as sources:
            yield World(cluster, git_server, sources, canaries)


@pytest.fixture(scope="module")
def lane(world: World) -> Iterator[Lane]:
    with Lane(world) as one:
        yield one
        one.outlets.search((), ())
