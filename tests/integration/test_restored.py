"""F24: the cluster goes back to a backup, under running controllers and before they start.

Everything is as it was at the backup: objects, our statuses, and resourceVersions, which are given out again.
What happened after it did not happen. Git is still where it is, so all is to be as Git says.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.controlplane import ControlPlane
from lab.tools import Tools
from tests.conftest import control_plane_for
from tests.harness.audit import Audit
from tests.harness.canaries import Canaries
from tests.harness.manifests import config_map, to_yaml
from tests.harness.story import Story, not_yet
from tests.integration.conftest import KUSTOMIZE_USER, SOURCE_USER, Pair

KEEPS_A_TRAIL = False  # what was written may be undone
AT_MOST_S = 60.0  # reliability F24


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tools: Tools, canaries: Canaries) -> Iterator[ControlPlane]:
    """One that may be put back without other tests' noticing."""
    yield from control_plane_for(request, tools, canaries, bare=True)


def while_they_run(story: Story, controllers: Pair, go_back: Callable[[], None]) -> None:
    go_back()


def while_they_are_down(story: Story, controllers: Pair, go_back: Callable[[], None]) -> None:
    """By the time they start, resourceVersions are beyond those that they remember."""
    known = max(int(item["metadata"]["resourceVersion"]) for item in story.all_of("ConfigMap"))
    for controller in (controllers.source, controllers.kustomize):
        controller.halt()
    go_back()
    while int(story.create("ConfigMap", "ticks", {})["metadata"]["resourceVersion"]) <= known:
        story.delete("ConfigMap", "ticks")
    story.delete("ConfigMap", "ticks")
    for controller in (controllers.source, controllers.kustomize):
        controller.start()


@contextmanager
def blinded(controllers: Pair) -> Iterator[None]:
    """The kustomize controller notices nothing inside, and catches up afterwards."""
    os.kill(controllers.kustomize.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(controllers.kustomize.pid, signal.SIGCONT)


@pytest.mark.parametrize("how", [while_they_run, while_they_are_down])
def test_a_cluster_restored_from_a_backup_becomes_what_git_says(
    how: Callable[[Story, Pair, Callable[[], None]], None], story: Story, controllers: Pair, audit: Audit
) -> None:
    def one(name: str, value: str) -> dict[str, object]:
        return config_map(name, story.namespace, says=value)

    calm = story.git.create(f"{story.namespace}-calm")
    calm_commit = calm.publish({"calm/a.yaml": to_yaml(one("calm", "a"))})
    story.source("calm", url=story.git.url(f"{story.namespace}-calm"))
    story.kustomization("calm", sourceRef={"kind": "GitRepository", "name": "calm"})
    first = {"app/a.yaml": [one("kept", "a"), one("edited", "old")], "gone/a.yaml": [one("gone", "a")]}
    story.start(first, "app", "gone")
    story.ready("calm", calm_commit)
    uids = {name: story.get("ConfigMap", name)["metadata"]["uid"] for name in ("kept", "edited", "calm")}
    with blinded(controllers):
        story.patch("ConfigMap", "calm", {"data": {"says": "by hand"}})
        backup = story.cluster.back_up()
    story.becomes("the change by hand is undone", lambda: story.data("calm") == {"says": "a"})
    commit = story.push({"app/a.yaml": [one("kept", "a"), one("edited", "new"), one("added", "a")]})
    story.ready("app", commit)
    story.delete("ConfigMap", "kept")
    story.becomes("what was deleted is back", lambda: story.find("ConfigMap", "kept"))
    story.delete("Kustomization", "gone")
    story.gone("ConfigMap", "gone")
    audit.restart()

    how(story, controllers, lambda: story.cluster.restore(backup))

    def is_as_git_says() -> bool:
        found = {name: story.data(name) for name in ("kept", "edited", "added", "calm", "gone")}
        wanted = {"kept": "a", "edited": "new", "added": "a", "calm": "a", "gone": "a"}
        return {name: {"says": value} for name, value in wanted.items()} == found or not_yet(
            list(found.items())
        )

    story.becomes("the cluster is as Git says", is_as_git_says, timeout_s=AT_MOST_S)
    for name in ("app", "gone"):
        story.ready(name, commit)
    story.ready("calm", calm_commit)
    assert uids == {name: story.get("ConfigMap", name)["metadata"]["uid"] for name in uids}
    deleted = [entry for entry in audit.entries((SOURCE_USER, KUSTOMIZE_USER)) if entry.verb == "delete"]
    assert not deleted
    # Life goes on: no watch waits for a resourceVersion of the future that did not happen.
    story.patch("ConfigMap", "calm", {"data": {"says": "by hand"}})
    story.becomes("drift is undone", lambda: story.data("calm") == {"says": "a"})
    commit = story.push({"app/a.yaml": [one("edited", "newest")]})
    story.ready("app", commit)
    story.gone("ConfigMap", "kept")
    story.suspend("gone")
