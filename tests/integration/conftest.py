"""The main job under test: a pair of running controllers for each file, a story for each test."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.controllers import Controller, SourceController
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from tests.harness.audit import Audit
from tests.harness.canaries import Canaries
from tests.harness.desk import Desk
from tests.harness.invariants import NO_EVIDENCE, Evidence
from tests.harness.manifests import config_map, to_yaml
from tests.harness.outlets import Outlets
from tests.harness.story import Story
from tests.harness.trail import KUSTOMIZE_USER, SOURCE_USER, Trail

__all__ = ["KUSTOMIZE_USER", "SOURCE_USER"]  # under which others know them


@dataclass(frozen=True, slots=True)
class Pair:
    source: SourceController
    kustomize: Controller
    evidence: Evidence = NO_EVIDENCE


@pytest.fixture(scope="module")
def controllers(request: pytest.FixtureRequest, cluster: ControlPlane, canaries: Canaries) -> Iterator[Pair]:
    """Both controllers with default flags, each as a user of its own, so that the audit log tells them
    apart. A module may name further flags of the kustomize controller in FLAGS, and say by KEEPS_A_TRAIL =
    False that the past itself is changed."""
    trail = Trail(cluster) if getattr(request.module, "KEEPS_A_TRAIL", True) else None
    flags = getattr(request.module, "FLAGS", [])
    admins = ["system:masters"]
    source = SourceController(cluster.user_kubeconfig(SOURCE_USER, admins))
    kustomize = Controller(
        "kustomize_controller", cluster.user_kubeconfig(KUSTOMIZE_USER, admins), flags=flags
    )
    failed_before = request.session.testsfailed
    try:
        with source, kustomize:
            outlets = Outlets(canaries, (source, kustomize))
            yield Pair(source, kustomize, Evidence(trail=trail, outlets=outlets))
            for controller in (source, kustomize):
                canaries.search(f"log of {controller.package}", controller.log.read_bytes())
                if request.session.testsfailed > failed_before:
                    print(controller.process.log_tail())
    finally:
        source.stop()


@pytest.fixture(scope="module")
def source(
    request: pytest.FixtureRequest, cluster: ControlPlane, canaries: Canaries
) -> Iterator[SourceController]:
    """A source controller alone, quick to try again. A module may name further flags in SOURCE_FLAGS."""
    flags = ["--min-retry-delay=200ms", "--max-retry-delay=1s", *getattr(request.module, "SOURCE_FLAGS", [])]
    with SourceController(
        cluster.user_kubeconfig(SOURCE_USER, ["system:masters"]), flags=flags
    ) as controller:
        yield controller
        canaries.search("log of source_controller", controller.log.read_bytes())


@pytest.fixture
def desk(
    cluster: ControlPlane,
    git_server: GitServer,
    namespace: str,
    source: SourceController,
    evidence: Evidence,
) -> Iterator[Desk]:
    """A GitRepository that is yet to be made, in a namespace of its own, and an empty repository for it."""
    made = Desk.begin(cluster, git_server, namespace, source)
    yield made
    made.end(evidence)


@pytest.fixture(scope="module")
def evidence(cluster: ControlPlane, canaries: Canaries, source: SourceController) -> Evidence:
    """Of a module whose only controller is its fixture `source`."""
    return Evidence(trail=Trail(cluster), outlets=Outlets(canaries, (source,)))


@pytest.fixture
def story(
    request: pytest.FixtureRequest,
    cluster: ControlPlane,
    git_server: GitServer,
    controllers: Pair,
    namespace: str,
) -> Iterator[Story]:
    """A world of its own for one test. Afterwards the invariants hold in it, and all of it can be deleted."""
    told = Story.begin(cluster, git_server, namespace, controllers.source.storage)
    told.evidence = controllers.evidence
    failed_before = request.session.testsfailed
    yield told
    if request.session.testsfailed > failed_before:
        told.remove()  # the test itself tells what is wrong
    else:
        told.end()


@pytest.fixture
def audit(cluster: ControlPlane) -> Audit:
    return Audit(cluster)


@pytest.fixture
def neighbours(story: Story) -> Iterator[Story]:
    """A story with a healthy Kustomization `healthy` beside the test's own; it still takes commits at the
    end."""
    healthy = f"{story.repository_name}-healthy"
    repository = story.git.create(healthy)
    repository.publish({"healthy/a.yaml": to_yaml(config_map("healthy", story.namespace, n="1"))})
    story.source("healthy", url=story.git.url(healthy))
    story.kustomization("healthy", sourceRef={"kind": "GitRepository", "name": "healthy"})
    story.ready("healthy")
    yield story
    commit = repository.publish({"healthy/a.yaml": to_yaml(config_map("healthy", story.namespace, n="2"))})
    story.request("GitRepository", "healthy")
    story.ready("healthy", commit)
    assert story.data("healthy") == {"n": "2"}
