"""Folders of the kustomize controller: named by flags, or made up and then claimed."""

from pathlib import Path

import pytest

from kustomize_controller.artifact_hosts import ArtifactHosts
from kustomize_controller.settings import read


def test_only_folders_that_we_made_up_are_claimed() -> None:
    """A volume of a pod, which a flag names, belongs to root and is writable for a group."""
    ours = read([], {})
    assert ours.made_up == {"cache-path": ours.cache_path, "state-path": ours.state_path}
    half = read(["--cache-path=cache"], {})
    assert half.cache_path == Path("cache").absolute()
    assert half.made_up == {"state-path": ours.state_path}
    named = read(["--state-path=/state"], {"CACHE_PATH": "/cache/artifacts"})
    assert (named.state_path, named.cache_path, named.made_up) == (
        Path("/state"),
        Path("/cache/artifacts"),
        {},
    )


BASES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "refused, as they always are": (["--no-remote-bases=true"], ()),
    "refused by the bare switch": (["--no-remote-bases"], ()),
    "allowed, which is not possible": (["--no-remote-bases=false"], ("no-remote-bases=false",)),
}


@pytest.mark.parametrize(("argv", "named"), BASES.values(), ids=BASES)
def test_a_protection_that_is_in_force_is_not_called_without_effect(
    argv: list[str], named: tuple[str, ...]
) -> None:
    assert read(argv, {}).unheeded == named


OFFERED = "http://source-controller.flux-system.svc/gitrepository/a/b/c.tar.gz"
WATCHED = "http://source-watcher.flux-system.svc/externalartifact/a/b/c.tar.gz"
HERE = "http://localhost:9090/gitrepository/a/b/c.tar.gz"
THERE = "http://localhost:9091/externalartifact/a/b/c.tar.gz"
SOURCE, WATCHER = (
    {"SOURCE_CONTROLLER_LOCALHOST": "localhost:9090"},
    {"SOURCE_WATCHER_LOCALHOST": "localhost:9091"},
)
HOSTS: dict[str, tuple[dict[str, str], str, str]] = {
    "in the cluster": ({}, OFFERED, OFFERED),
    "outside of it": (SOURCE, OFFERED, HERE),
    "the other's host is another": (SOURCE, WATCHED, WATCHED),
    "the other's host": (SOURCE | WATCHER, WATCHED, THERE),
    "the other's host is not ours": (WATCHER, OFFERED, OFFERED),
}


@pytest.mark.parametrize(("environ", "offered", "url"), HOSTS.values(), ids=HOSTS)
def test_where_an_artifact_is_downloaded(environ: dict[str, str], offered: str, url: str) -> None:
    """behaviour-kustomize.md 13."""
    assert ArtifactHosts.named_in(environ).url(offered) == url
    assert read([], environ).artifact_hosts.url(offered) == url


def test_kinds_of_a_stage_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """behaviour-kustomize.md 7.3, 13; a kind that cannot be meant ends the start."""
    named = read(["--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role, Secret"], {})
    assert named.custom_apply_stage_kinds == {("rbac.authorization.k8s.io", "Role"), ("", "Secret")}
    with pytest.raises(SystemExit) as ended:
        read(["--custom-apply-stage-kinds=apps/v1/Deployment"], {})
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(
        "--custom-apply-stage-kinds: 'apps/v1/Deployment' is no kind; write group/Kind"
    )
