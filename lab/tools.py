"""Where the pinned tool binaries are. `./run` builds them from source and says so in HEADRACE_TOOLS_DIR."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
    "kustomize",
    "engine",
    "flux",
)


class MissingTool(Exception):
    """A binary that the lab needs is not there; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Tools:
    folder: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tools":
        """Raises MissingTool when HEADRACE_TOOLS_DIR does not name a folder."""
        named = environment.get("HEADRACE_TOOLS_DIR", "")
        if not named:
            raise MissingTool(
                "HEADRACE_TOOLS_DIR is not set: start through ./run, which builds the tools and sets it"
            )
        folder = Path(named).absolute()
        if not folder.is_dir():
            raise MissingTool(f"HEADRACE_TOOLS_DIR names '{folder}', which is no folder: start through ./run")
        return cls(folder)

    def path(self, name: str) -> Path:
        """The absolute path of one of NAMES. Raises MissingTool when it has not been built."""
        if name not in NAMES:
            raise MissingTool(f"'{name}' is none of the tools ({', '.join(NAMES)})")
        binary = self.folder / name
        if not os.access(binary, os.X_OK):
            raise MissingTool(f"'{binary}' is missing or not executable: ./run builds it")
        return binary
