"""The Deployments of deploy/ as their pods would see them: what is started, with which flags, in which
folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.manifests import Manifest

POD_UID = "00000000-0000-4000-8000-000000000001"

# What names a place in the pod. A process on this machine gets its own.
_PLACES = (
    "metrics-addr",
    "health-addr",
    "storage-addr",
    "storage-adv-addr",
    "storage-path",
    "git-cache-path",
    "cache-path",
    "state-path",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """One controller's Deployment."""

    deployment: Manifest

    @property
    def name(self) -> str:
        name: str = self.deployment["metadata"]["name"]
        return name

    @property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = self.deployment["spec"]["template"]
        return template

    @property
    def container(self) -> dict[str, Any]:
        """The first one, which tools patch."""
        container: dict[str, Any] = self.template["spec"]["containers"][0]
        return container

    @property
    def package(self) -> str:
        """Which of our packages its command runs."""
        package: str = self.container["command"][-1]
        return package

    @property
    def environment(self) -> dict[str, str]:
        known = {
            "metadata.namespace": self.deployment["metadata"]["namespace"],
            "metadata.uid": POD_UID,
        }
        return {
            one["name"]: known[one["valueFrom"]["fieldRef"]["fieldPath"]] for one in self.container["env"]
        }

    @property
    def args(self) -> list[str]:
        """With variables replaced, as the kubelet does."""
        args: list[str] = self.container["args"]
        for name, value in self.environment.items():
            args = [arg.replace(f"$({name})", value) for arg in args]
        return args

    @property
    def ports(self) -> dict[str, int]:
        return {one["name"]: one["containerPort"] for one in self.container["ports"]}

    @property
    def mounts(self) -> list[Path]:
        """The folders that can be written to."""
        return [Path(one["mountPath"]) for one in self.container["volumeMounts"]]

    def process_flags(self, folder: Path) -> list[str]:
        """The same flags for a process on this machine, which puts things below `folder`."""
        kept = [arg for arg in self.args if arg.removeprefix("--").partition("=")[0] not in _PLACES]
        if self.package == "source_controller":
            return [*kept, f"--git-cache-path={folder / 'cache' / 'git'}"]
        return [*kept, f"--cache-path={folder / 'cache' / 'artifacts'}", f"--state-path={folder / 'state'}"]


def workloads(objects: Iterable[Manifest]) -> dict[str, Workload]:
    """The Deployments among `objects`, by name."""
    return {one["metadata"]["name"]: Workload(one) for one in objects if one["kind"] == "Deployment"}
