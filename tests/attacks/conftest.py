"""What attacks share: both controllers on the session's control plane, and a stage for each file."""

from collections.abc import Iterator

import pytest

from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from tests.attacks.listener import Listener
from tests.attacks.scene import Scene, Stage
from tests.harness.canaries import Canaries
from tests.integration.conftest import Pair, controllers, story

__all__ = ["controllers", "story"]


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


@pytest.fixture(scope="module")
def stage(cluster: ControlPlane, git_server: GitServer, controllers: Pair) -> Stage:
    return Stage(cluster, git_server, controllers)


@pytest.fixture(scope="module")
def scene(
    request: pytest.FixtureRequest,
    stage: Stage,
    canaries: Canaries,
    listener: Listener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """The attacks of the module's ATTACKS under way. At the end, nothing came of them."""
    made = Scene.set(stage, canaries, listener, tmp_path_factory.mktemp("outside"))
    try:
        made.play(request.module.ATTACKS)
        yield made
        made.check_harmless()
    finally:
        made.remove()
