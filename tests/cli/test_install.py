"""What the command line says of the installation itself: deploy/ has all that it looks for."""

from pathlib import Path

import pytest

from lab.controllers import Controller
from tests.cli.conftest import Installed
from tests.cli.flux import expect
from tests.harness.manifests import config_map
from tests.harness.story import Story

OURS = (
    ("Deployment", "kustomize-controller"),
    ("Deployment", "source-controller"),
    ("Service", "source-controller"),
    ("NetworkPolicy", "allow-egress"),
    ("NetworkPolicy", "allow-scraping"),
    ("ServiceAccount", "kustomize-controller"),
    ("ServiceAccount", "source-controller"),
)
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "before an installation": (
        "check --pre",
        ("► checking prerequisites", "✔ Kubernetes 1.37.2 >=…", "✔ prerequisites checks passed"),
    ),
    "the installation": (
        "check",
        (
            "► checking version in cluster",
            "✔ distribution: flux-v2.9.4",
            "✔ bootstrapped: false",
            "► checking controllers",
            "✔ kustomize-controller: deployment ready",
            "► headrace:…",
            "✔ source-controller: deployment ready",
            "► headrace:…",
            "► checking crds",
            "✔ gitrepositories.source.toolkit.fluxcd.io/v1",
            "✔ kustomizations.kustomize.toolkit.fluxcd.io/v1",
            "✔ all checks passed",
        ),
    ),
    "versions": ("version", ("flux: v2.9.4-local", "distribution: flux-v2.9.4", "headrace: …")),
    "what an uninstallation would take": (
        "uninstall --dry-run --silent",
        (
            *(f"✔ {kind}/flux-system/{name} deleted (dry run)" for kind, name in OURS),
            "✔ CustomResourceDefinition/gitrepositories.source.toolkit.fluxcd.io deleted (dry run)",
            "✔ CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io deleted (dry run)",
            "✔ Namespace/flux-system deleted (dry run)",
            "✔ uninstall finished",
        ),
    ),
    "the client's version": ("version --client", ("flux: v2.9.4-local",)),
}
LOGS = (
    "… info Kustomization/app.{ns} - server-side apply completed",
    "… error Kustomization/app.{ns} - reconciliation failed …app/a.yaml…",
    "… info GitRepository/app.{ns} - artifact published",
)


@pytest.mark.parametrize(("command", "lines"), ROWS.values(), ids=ROWS)
def test_an_installation(command: str, lines: tuple[str, ...], installed: Installed) -> None:
    expect(installed.flux("flux-system")(command), lines, {})


def test_logs_are_those_of_the_controllers(installed: Installed, story: Story, tmp_path: Path) -> None:
    """kwok's pods run nothing, so they are given the logs of the controllers that do."""
    story.start({"app/a.yaml": [config_map("a", story.namespace)]})
    story.push({"app/a.yaml": "a: [\n"})
    story.failed("app", "BuildFailed")
    served = {}
    for controller, component in (
        (installed.sources, "source-controller"),
        (installed.builds, "kustomize-controller"),
    ):
        found = installed.cluster.kubectl(
            "get",
            "pod",
            "-l",
            f"app={component}",
            "-n",
            "flux-system",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        )
        served[f"flux-system/{found}"] = tmp_path / component
        served[f"flux-system/{found}"].write_text(as_a_runtime_writes(controller))
    installed.cluster.serve_logs(served)
    words = {"ns": story.namespace}
    flux = installed.flux(story.namespace)
    expect(flux("logs"), LOGS, words)
    assert flux("logs --level=error --kind=GitRepository").lines == []
    assert len(flux("logs --all-namespaces").lines) > len(flux("logs").lines)


def as_a_runtime_writes(controller: Controller) -> str:
    return "".join(
        f"2026-01-02T03:04:05Z stdout F {line}\n" for line in controller.log.read_text().splitlines()
    )
