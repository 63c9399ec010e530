"""Where what our controllers say can be read, searched for planted secrets as it grows (invariant I9).

Looking again costs only what came since: a log is read from where the last look ended, an archive once.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import usage
from lab.controllers import Controller, SourceController
from tests.harness.canaries import Canaries, Finding

Object = dict[str, Any]

_OVERLAP_BYTES = 1024  # a secret that the last look saw only the beginning of; no form of one is as long
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # a user's own words
_PROCESS_FILES = ("cmdline", "environ")


@dataclass(slots=True)
class Outlets:
    """The controllers whose log, metrics, processes and archives are searched, beside the cluster's objects.

    Each finding is told once by the outlets, and kept by `canaries` for the end of the session.
    """

    canaries: Canaries
    controllers: Sequence[Controller] = ()
    _read_bytes: dict[Path, int] = field(default_factory=dict)
    _archives: set[tuple[Path, int]] = field(default_factory=set)

    def search(self, ours: Sequence[Object], events: Sequence[Object]) -> list[Finding]:
        """What is found in objects of ours, in events, and in what the controllers put out since the last
        look."""
        found = self.canaries.search("events", json.dumps(events, ensure_ascii=False))
        for item in ours:
            found += self.canaries.search(*_said(item))
        for controller in self.controllers:
            for place, content in self._outputs(controller):
                found += self.canaries.search(f"{place} of {controller.package}", content)
            if isinstance(controller, SourceController):
                for path in self._new_archives(controller.storage):
                    place = f"{path.relative_to(controller.storage)} of {controller.package}"
                    found += self.canaries.search(place, _unpacked(path), is_archive=True)
        return found

    def _outputs(self, controller: Controller) -> Iterator[tuple[str, bytes]]:
        yield "log", self._news(controller.log)
        if not usage.is_alive(controller.pid):
            return
        with suppress(OSError):  # it may be on its way up or down
            yield "metrics", controller.metrics().encode()
        for pid in controller.living():
            for name in _PROCESS_FILES:
                with suppress(OSError):  # ended meanwhile
                    yield f"{name} of a process", Path(f"/proc/{pid}/{name}").read_bytes()

    def _news(self, log: Path) -> bytes:
        with log.open("rb") as file:
            file.seek(max(0, self._read_bytes.get(log, 0) - _OVERLAP_BYTES))
            content = file.read()
            self._read_bytes[log] = file.tell()
        return content

    def _new_archives(self, store: Path) -> Iterator[Path]:
        for path in store.rglob("*.tar.gz"):
            with suppress(FileNotFoundError):  # collected meanwhile
                key = path, path.stat().st_mtime_ns
                if key not in self._archives:
                    self._archives.add(key)
                    yield path


def _said(item: Object) -> tuple[str, str]:
    """What of one of our objects is not its user's own: the status, and annotations."""
    metadata = item["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k != _LAST_APPLIED}
    place = f"{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"
    return place, json.dumps([annotations, item.get("status")], ensure_ascii=False)


def _unpacked(archive: Path) -> bytes:
    try:
        return gzip.decompress(archive.read_bytes())
    except (OSError, EOFError):  # collected meanwhile, or damaged: another rule's business
        return b""
