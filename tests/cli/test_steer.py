"""Commands that change something and wait for our controllers: they see what they wait for, and say so."""

import pytest

from lab.gitserver import Basic
from tests.cli.flux import Flux, expect
from tests.harness.canaries import Canaries
from tests.harness.manifests import config_map, deployment, to_yaml
from tests.harness.story import Story


def app(story: Story, x: str = "1") -> str:
    """A commit with one ConfigMap, without asking anybody to look at it."""
    return story.repository.publish({"app/a.yaml": to_yaml(config_map("a", story.namespace, x=x))})


def known(story: Story, commit: str) -> dict[str, str]:
    return {
        "ns": story.namespace,
        "revision": f"main@sha1:{commit}",
        "short": f"main@sha1:{commit[:8]}",
        "url": story.git.url(story.repository_name),
    }


def test_a_source_and_a_kustomization_are_created_updated_and_deleted(story: Story, flux: Flux) -> None:
    words = known(story, app(story, x="1"))
    expect(
        flux(f"create source git app --url={words['url']} --branch=main --interval=1h"),
        (
            "✚ generating GitRepository source",
            "► applying GitRepository source",
            "✔ GitRepository source created",
            "◎ waiting for GitRepository source reconciliation",
            "✔ GitRepository source reconciliation completed",
            "✔ fetched revision: {revision}",
        ),
        words,
    )
    create = "create kustomization app --source=GitRepository/app --path=./app --prune --interval=1h"
    expect(
        flux(create),
        (
            "✚ generating Kustomization",
            "► applying Kustomization",
            "✔ Kustomization created",
            "◎ waiting for Kustomization reconciliation",
            "✔ Kustomization app is ready",
            "✔ applied revision {revision}",
        ),
        words,
    )
    assert story.data("a") == {"x": "1"}
    expect(
        flux(f"{create} --label=team=web --retry-interval=2m"),
        ("✔ Kustomization updated", "✔ applied revision {revision}"),
        words,
    )
    expect(
        flux("delete kustomization app --silent"),
        ("► deleting kustomization app in {ns} namespace", "✔ kustomization deleted"),
        words,
    )
    story.gone("ConfigMap", "a")
    story.gone("Kustomization", "app")
    expect(
        flux("delete source git app --silent"),
        ("► deleting source git app in {ns} namespace", "✔ source git deleted"),
        words,
    )
    story.gone("GitRepository", "app")


CREDENTIALS = {
    "a Secret made first": (
        ("create secret git login --username=ada", ("► git secret 'login' created in '{ns}' namespace",)),
        ("create source git app --branch=main --secret-ref=login", ("✔ fetched revision: {revision}",)),
    ),
    "a Secret made with its source": (
        (
            "create source git app --branch=main --username=ada",
            ("✔ authentication configured", "✔ fetched revision: {revision}"),
        ),
    ),
}


@pytest.mark.parametrize("steps", CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_repository_is_opened_by(
    steps: tuple[tuple[str, tuple[str, ...]], ...], story: Story, flux: Flux, canaries: Canaries
) -> None:
    password = canaries.plant("password on the command line")
    story.git.protect(story.repository_name, Basic("ada", password))
    words = known(story, app(story))
    for command, lines in steps:
        credentials = [f"--password={password}"] if "--username" in command else []
        expect(flux(command, f"--url={words['url']}", *credentials), lines, words)


def test_objects_that_become_ready_are_waited_for(story: Story, flux: Flux) -> None:
    words = known(
        story, story.repository.publish({"app/a.yaml": to_yaml(deployment("web", story.namespace))})
    )
    story.source()
    create = "create kustomization app --source=GitRepository/app --path=./app --prune --wait"
    expect(flux(create), ("✔ Kustomization app is ready", "✔ applied revision {revision}"), words)
    web = story.get("Deployment", "web")
    assert web["status"]["availableReplicas"] == web["spec"]["replicas"]


def test_a_push_is_fetched_and_applied_at_once(story: Story, flux: Flux) -> None:
    words = known(story, story.start({"app/a.yaml": [config_map("a", story.namespace, x="1")]}))
    words = known(story, app(story, x="2"))
    expect(
        flux("reconcile source git app"),
        (
            "► annotating GitRepository app in {ns} namespace",
            "✔ GitRepository annotated",
            "◎ waiting for GitRepository reconciliation",
            "✔ fetched revision {revision}",
        ),
        words,
    )
    story.ready("app", words["revision"])
    words = known(story, app(story, x="3"))
    expect(
        flux("reconcile kustomization app --with-source"),
        (
            "► annotating GitRepository app in {ns} namespace",
            "✔ fetched revision {revision}",
            "► annotating Kustomization app in {ns} namespace",
            "✔ Kustomization annotated",
            "◎ waiting for Kustomization reconciliation",
            "✔ applied revision {revision}",
        ),
        words,
    )
    assert story.data("a") == {"x": "3"}


def test_suspended_objects_wait_and_resumed_ones_catch_up(story: Story, flux: Flux) -> None:
    words = known(story, story.start({"app/a.yaml": [config_map("a", story.namespace, x="1")]}))
    for command, kind in (("source git", "source git"), ("kustomization", "kustomization")):
        expect(
            flux(f"suspend {command} app"),
            (f"► suspending {kind} app in {{ns}} namespace", f"✔ {kind} suspended"),
            words,
        )
        expect(flux(f"get {command} --no-header"), ("app {short} True True …",), words)
        expect(flux(f"reconcile {command} app"), ("✗ resource is suspended",), words, code=1)
    words = known(story, app(story, x="2"))
    expect(
        flux("resume source git app"),
        (
            "► resuming source git app in {ns} namespace",
            "✔ source git resumed",
            "◎ waiting for GitRepository reconciliation",
            "✔ GitRepository app reconciliation completed",
            "✔ fetched revision {revision}",
        ),
        words,
    )
    assert story.data("a") == {"x": "1"}
    expect(
        flux("resume kustomization app"),
        (
            "✔ kustomization resumed",
            "✔ Kustomization app reconciliation completed",
            "✔ applied revision {revision}",
        ),
        words,
    )
    assert story.data("a") == {"x": "2"}


def test_all_of_a_kind_are_suspended_and_resumed(story: Story, flux: Flux) -> None:
    files = {f"{name}/a.yaml": [config_map(name, story.namespace)] for name in ("one", "two")}
    words = known(story, story.start(files, "one", "two"))
    expect(
        flux("suspend kustomization --all"),
        ("► suspending kustomization one …", "► suspending kustomization two …"),
        words,
    )
    expect(
        flux("resume kustomization --all --wait"),
        (
            "✔ Kustomization one reconciliation completed",
            "✔ applied revision {revision}",
            "✔ Kustomization two reconciliation completed",
            "✔ applied revision {revision}",
        ),
        words,
    )


def test_a_failure_that_time_may_mend_is_waited_for(story: Story, flux: Flux) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.push({"app/a.yaml": "a: [\n"})
    story.failed("app", "BuildFailed")
    expect(
        flux("reconcile kustomization app --timeout=3s"),
        ("◎ waiting for Kustomization reconciliation", "✗ context deadline exceeded"),
        known(story, ""),
        code=1,
    )


def test_a_failure_that_only_a_person_can_mend_ends_the_wait(story: Story, flux: Flux) -> None:
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.push({"app/a.yaml": "# nothing\n"})
    story.failed("app", "PruneHeld")
    words = known(story, "")
    said = flux("reconcile kustomization app")
    expect(
        said, ("◎ waiting for Kustomization reconciliation", "✗ …headrace.dev/allow-prune…"), words, code=1
    )


def test_stored_versions_are_migrated(story: Story, flux: Flux) -> None:
    words = known(story, story.start({"app/a.yaml": [config_map("a", story.namespace)]}))
    expect(
        flux("migrate"),
        (
            "✔ GitRepository/{ns}/app migrated to version v1",
            "✔ Kustomization/{ns}/app migrated to version v1",
            "✔ custom resources migrated successfully",
        ),
        words,
    )
