"""From which host an artifact is downloaded: the one in its URL, unless the environment names another.

For a controller that runs outside of the cluster, where the names of Services mean nothing.
Source: behaviour-kustomize.md 13.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

__all__ = ["ArtifactHosts"]


@dataclass(frozen=True, slots=True)
class ArtifactHosts:
    """Hosts with their ports, such as `localhost:9090`; empty: the one in the URL."""

    source_controller: str = ""
    source_watcher: str = ""  # for URLs with `//source-watcher` in them

    @classmethod
    def named_in(cls, environ: Mapping[str, str]) -> "ArtifactHosts":
        return cls(
            environ.get("SOURCE_CONTROLLER_LOCALHOST", ""), environ.get("SOURCE_WATCHER_LOCALHOST", "")
        )

    def url(self, offered: str) -> str:
        """Where to download what is offered under the URL `offered`."""
        host = self.source_watcher if "//source-watcher" in offered else self.source_controller
        return urlunsplit(urlsplit(offered)._replace(netloc=host)) if host else offered
