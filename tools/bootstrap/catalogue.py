"""The binaries that Headrace runs: what each is built from, how its version is asked, what it costs.

Seconds were measured on two busy cores from an empty cache, in this order; those after kube-apiserver find
most of their packages compiled. The megabytes add up to what a whole cache took (7.2 GB with Go and Python);
their shares are estimates. flux came later; its figures are its own, on the same machine.
"""

import re
from dataclasses import dataclass

_STRIP = "-s -w"
_KUBERNETES = (
    f"{_STRIP} -X k8s.io/component-base/version.gitVersion=v1.37.2"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
    " -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    family: str  # the folder below tools/ whose go.mod pins it
    package: str
    version: str
    ldflags: str = _STRIP
    ask: tuple[str, ...] = ()  # arguments that make it print its version; none: it is only ever built here
    lacks: str = ""  # a file that the package embeds and its module does not have (see `complete.py`)
    for_tests: bool = False  # nothing but the tests runs it
    seconds: int
    disk_mb: int  # with the modules and the compiled packages that it adds to Go's caches

    @property
    def ours(self) -> bool:
        """Its source is in this tree: the sources are its version, and no other folder can have it."""
        return not self.ask


TOOLS = (
    Tool(
        name="kustomize",
        family="kustomize",
        package="sigs.k8s.io/kustomize/kustomize/v5",
        version="5.8.1",
        ldflags=f"{_STRIP} -X sigs.k8s.io/kustomize/api/provenance.version=v5.8.1",
        ask=("version",),
        for_tests=True,
        seconds=30,
        disk_mb=450,
    ),
    Tool(name="engine", family="engine", package=".", version="of this tree", seconds=40, disk_mb=300),
    Tool(
        name="etcd",
        family="etcd",
        package="go.etcd.io/etcd/server/v3",
        version="3.7.3",
        ask=("--version",),
        seconds=54,
        disk_mb=600,
    ),
    Tool(
        name="kwok",
        family="kwok",
        package="sigs.k8s.io/kwok/cmd/kwok",
        version="0.8.0",
        ask=("--version",),
        seconds=73,
        disk_mb=1000,
    ),
    Tool(
        name="kube-apiserver",
        family="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        version="1.37.2",
        ldflags=_KUBERNETES,
        ask=("--version",),
        seconds=260,
        disk_mb=2900,
    ),
    Tool(
        name="kube-controller-manager",
        family="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-controller-manager",
        version="1.37.2",
        ldflags=_KUBERNETES,
        ask=("--version",),
        seconds=205,
        disk_mb=800,
    ),
    Tool(
        name="kube-scheduler",
        family="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-scheduler",
        version="1.37.2",
        ldflags=_KUBERNETES,
        ask=("--version",),
        seconds=15,
        disk_mb=200,
    ),
    Tool(
        name="kubectl",
        family="kubernetes",
        package="k8s.io/kubernetes/cmd/kubectl",
        version="1.37.2",
        ldflags=_KUBERNETES,
        ask=("version", "--client"),
        seconds=91,
        disk_mb=450,
    ),
    Tool(
        name="flux",
        family="flux",
        package="github.com/fluxcd/flux2/v2/cmd/flux",
        # A release asks the network for the latest one in `flux check`; a build with a suffix does not.
        version="2.9.4-local",
        ldflags=f"{_STRIP} -X main.VERSION=2.9.4-local",
        ask=("version", "--client"),
        lacks="cmd/flux/manifests/placeholder.yaml",
        for_tests=True,
        seconds=115,
        disk_mb=2000,
    ),
)

_VERSION = re.compile(r"(?<![\w.])v?(\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)(?![\w.])")


def version_in(output: str) -> str | None:
    """Find the version in what a tool prints when asked, without its `v`: the first that looks like one.

    `Kubernetes v1.37.2`, `etcd Version: 3.7.3`, `kwok version v0.8.0 go1.26.8 (linux/amd64)`, `v5.8.1`.
    """
    found = _VERSION.search(output)
    return found.group(1) if found else None
