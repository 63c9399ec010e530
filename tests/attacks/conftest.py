"""What attacks share: both controllers on the session's control plane, and a stage for each file."""

from collections.abc import Iterator

import pytest

from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from tests.attacks.bystanders import Bystanders, Stage
from tests.attacks.listener import Listener
from tests.attacks.scene import Scene
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
def bystanders(
    stage: Stage, canaries: Canaries, listener: Listener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bystanders]:
    """Of all attacks of a module. At the end, nothing came of them."""
    made = Bystanders.gather(stage, canaries, listener, tmp_path_factory.mktemp("outside"))
    try:
        yield made
        made.check_harmless()
    finally:
        made.remove()


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that has bystanders, they are as they were."""
    if "bystanders" not in request.fixturenames:
        yield
        return
    present: Bystanders = request.getfixturevalue("bystanders")
    yield
    present.check_unharmed()


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, stage: Stage, bystanders: Bystanders) -> Scene:
    """The attacks of the module's ATTACKS under way."""
    made = Scene.set(stage, bystanders)
    made.play(request.module.ATTACKS)
    return made
