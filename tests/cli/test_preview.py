"""`flux build` and `flux diff`: what the command line makes of a folder is what our controller made of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Installed
from tests.cli.flux import Flux, expect
from tests.harness.manifests import config_map, deployment, secret, service_account, to_yaml
from tests.harness.rendering import contains, inventory_id
from tests.harness.story import KUSTOMIZE, Files, Story

NS = "preview"
SPEC = {  # all that shapes a build: the command line takes it from the live Kustomization
    "namePrefix": "my-",
    "targetNamespace": NS,
    "commonMetadata": {"labels": {"team": "web"}, "annotations": {"example.test/cost": "low"}},
    "images": [{"name": "nginx", "newTag": "2"}],
    "patches": [
        {"patch": '[{"op": "add", "path": "/data/patched", "value": "yes"}]', "target": {"kind": "ConfigMap"}}
    ],
}


@dataclass(frozen=True, slots=True)
class Preview:
    story: Story
    flux: Flux


@pytest.fixture(scope="module")
def preview(installed: Installed) -> Iterator[Preview]:
    story = installed.story(NS)
    story.start(files(), **SPEC)
    yield Preview(story, installed.flux(NS))
    story.end()


def files(color: str = "blue") -> Files:
    return {
        "app/web.yaml": [deployment("web", replicas=1), service_account("web")],
        "app/settings.yaml": [config_map("settings", color=color), secret("login", password="open")],
    }


def folder(root: Path, *changes: Files) -> Path:
    """The folder `app` of a clone, with changes that are not committed."""
    for change in (files(), *changes):
        for name, content in change.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content if isinstance(content, str) else to_yaml(*content))
    return root / "app"


def test_a_build_is_what_is_in_the_cluster(preview: Preview, tmp_path: Path) -> None:
    said = preview.flux("build kustomization app", f"--path={folder(tmp_path)}")
    assert said.code == 0, said.told
    built = [document for document in yaml.safe_load_all(said.out) if document]
    assert {inventory_id(one) for one in built} == set(preview.story.inventory())
    for one in built:
        one.pop("stringData", None)  # the API server makes it data
        live = preview.story.get(one["kind"], one["metadata"]["name"])
        assert contains(live, one), f"{inventory_id(one)}: {one} is not in {live}"


def test_a_build_needs_no_cluster(preview: Preview, tmp_path: Path) -> None:
    written = tmp_path / "app-kustomization.yaml"
    written.write_text(preview.flux("export kustomization app").out)
    offline = ("--dry-run", f"--kustomization-file={written}", "--kubeconfig=/dev/null")
    path = f"--path={folder(tmp_path)}"
    said = preview.flux("build kustomization app", path, *offline)
    assert said.code == 0, said.told
    assert said.out == preview.flux("build kustomization app", path).out


DIFFS: dict[str, tuple[Files, tuple[str, ...], int]] = {
    "nothing changed": ({}, (), 0),
    "another value": (
        files(color="red"),
        ("► ConfigMap/preview/my-settings drifted", "data.color", "- blue", "+ red"),
        1,
    ),
    "a value that left, which only our own field manager can take away": (
        {"app/settings.yaml": [config_map("settings"), secret("login", password="open")]},
        ("► ConfigMap/preview/my-settings drifted", "color: blue"),
        1,
    ),
    "another Secret": (
        {"app/settings.yaml": [config_map("settings", color="blue"), secret("login", password="other")]},
        ("► Secret/preview/my-login drifted", "data.password"),
        1,
    ),
    "one more object": (
        {"app/more.yaml": [config_map("more")]},
        ("► ConfigMap/preview/my-more created",),
        1,
    ),
    "an object that left": (
        {"app/web.yaml": [deployment("web", replicas=1)]},
        ("► ServiceAccount/preview/my-web deleted",),
        1,
    ),
    "a file that is no manifest": ({"app/web.yaml": "a: ["}, ("✗ …web.yaml…",), 2),
    "an object that the API server refuses": (
        {"app/web.yaml": [deployment("web", replicas=-1)]},
        ("✗ Deployment/preview/my-web dry-run failed (Invalid): …",),
        2,
    ),
}


@pytest.mark.parametrize(("change", "lines", "code"), DIFFS.values(), ids=DIFFS)
def test_a_diff(change: Files, lines: tuple[str, ...], code: int, preview: Preview, tmp_path: Path) -> None:
    said = preview.flux("diff kustomization app --progress-bar=false", f"--path={folder(tmp_path, change)}")
    expect(said, lines, {}, code=code)
    drifted = [line for line in said.lines if line.startswith("►")]
    assert len(drifted) == sum(line.startswith("►") for line in lines), str(said)


def test_a_diff_shows_what_was_changed_by_hand(preview: Preview, tmp_path: Path) -> None:
    story, flux, path = preview.story, preview.flux, f"--path={folder(tmp_path)}"
    flux("suspend kustomization app")
    story.cluster.kubectl("scale", "deployment/my-web", "--replicas=3", f"--namespace={NS}")
    said = flux("diff kustomization app --progress-bar=false", path)
    expect(said, ("► Deployment/preview/my-web drifted", "spec.replicas", "- 3", "+ 1"), {}, code=1)
    flux("resume kustomization app")
    said = flux("diff kustomization app --progress-bar=false", path)
    expect(said, (), {})


def test_a_diff_passes_over_what_is_not_applied(preview: Preview, tmp_path: Path) -> None:
    left_alone = config_map("settings", color="red", annotations={f"{KUSTOMIZE}/reconcile": "disabled"})
    change = {"app/settings.yaml": [left_alone, secret("login", password="open")]}
    said = preview.flux("diff kustomization app --progress-bar=false", f"--path={folder(tmp_path, change)}")
    expect(said, ("► ConfigMap/preview/my-settings skipped",), {})
