"""Archives that a stranger made, on the whole way: download, digest, unpacker, status (A15, A16, A17).

A source that promises them is as much as an attacker can have: the digests are right.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lab.usage import is_alive, peak_rss_bytes_of
from shared.artifacts import archive
from tests.attacks.artifact_host import ArtifactHost, offer
from tests.attacks.scene import Stage
from tests.harness.archives import BROKEN, HOSTILE
from tests.harness.manifests import config_map, to_yaml
from tests.harness.story import Story, conditions

FLAGS = ["--cache-path=cache", "--http-retry=0"]
GROWTH_BYTES = 64 << 20  # of the unpacker, by whatever it reads
_UNPACKER = b"kustomize_controller.worker"
GOOD, BAD = "a" * 40, "b" * 40


def packed(files: dict[str, bytes]) -> bytes:
    """An artifact as a source writes it."""
    raw = io.BytesIO()
    members = [archive.Member(name, False, read=partial(bytes, content)) for name, content in files.items()]
    archive.write(members, raw, limit_bytes=1 << 30)
    return raw.getvalue()


def empty_files(count: int) -> bytes:
    """A16: headers without an end, each of them valid."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    headers = (archive._header(f"f{n}", b"0", 0o600, 0) for n in range(count))
    return b"".join(compressor.compress(header) for header in headers) + compressor.flush()


def bomb(size: int) -> bytes:
    """A17: a thousand times as much as it looks."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = [compressor.compress(archive._header("zeros", b"0", 0o600, size))]
    piece = bytes(1 << 20)
    out += [compressor.compress(piece) for _ in range(size >> 20)]
    return b"".join(out) + compressor.flush()


ENDLESS = {
    "a million empty files": (empty_files(1_000_000), "more than 100000 files and folders"),
    "a file of 4 GiB in 4 MB": (bomb(4 << 30), "unpacked size exceeds 512 MiB"),
    "a bomb within the limit of bytes": (bomb(500 << 20), "more than 200 times the archive's"),
    "gzip in gzip": (gzip.compress(packed({"app/a.yaml": os.urandom(4096)})), "not a tar archive"),
    "zstd with a window of 2 GB": (bytes.fromhex("28b52ffd00b0") + bytes(600), "not a gzip archive"),
}


@dataclass(slots=True)
class Offers:
    """One Kustomization that has applied an honest artifact, and gets another after the other."""

    story: Story
    host: ArtifactHost
    cache: Path
    controller: int
    number: int = 0

    def offer(self, body: bytes, *, headers: dict[str, str] | None = None, revision: str = BAD) -> None:
        self.number += 1
        url = self.host.serve(f"{self.number}.tar.gz", body, headers)
        offer(self.story, "app", url, body, revision=revision)

    def refused(self, says: str) -> None:
        """The artifact that was offered last is; nothing of it is left, and what was applied stays."""
        item = self.story.failed("app", "ArtifactFailed", says)
        message = conditions(item)["Ready"]["message"]
        assert str(self.cache) not in message
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{GOOD}"
        assert self.story.data("a") == {"k": "v"}
        assert is_alive(self.controller)
        left = [path for path in self.cache.rglob("*") if path.is_file() and path.name != "a.yaml"]
        assert left == [], "a refused archive leaves something behind"
        self.settle()

    def settle(self) -> None:
        """Back to the honest artifact."""
        self.offer(packed({"app/a.yaml": to_yaml(config_map("a", k="v")).encode()}), revision=GOOD)
        self.story.ready("app", GOOD)

    def peak_bytes(self) -> int:
        """Of the unpacker's process so far; 0 before it runs."""
        return peak_rss_bytes_of(self.controller, _UNPACKER)


@pytest.fixture(scope="module")
def offers(stage: Stage) -> Iterator[Offers]:
    controller = stage.controllers.kustomize
    story = Story.begin(stage.cluster, stage.git, "offers", None)
    with ArtifactHost() as host:
        made = Offers(story, host, controller.folder / "cache", controller.pid)
        story.kustomization(targetNamespace=story.namespace, retryInterval="1h")
        made.settle()
        yield made
        made.offer(packed({"app/a.yaml": to_yaml(config_map("a", k="w")).encode()}), revision="c" * 40)
        story.ready("app", "c" * 40)
        assert story.data("a") == {"k": "w"}
        story.remove()


@pytest.mark.parametrize("name", HOSTILE)
def test_a15_members_that_are_not_plain_files_refuse_the_archive(offers: Offers, name: str) -> None:
    offers.offer(HOSTILE[name])
    offers.refused("failed to untar artifact: refused member ")


@pytest.mark.parametrize("name", BROKEN)
def test_a16_broken_archives_end(offers: Offers, name: str) -> None:
    offers.offer(BROKEN[name])
    offers.refused("failed to untar artifact: ")


@pytest.mark.parametrize(("body", "says"), ENDLESS.values(), ids=ENDLESS)
def test_a16_a17_what_has_no_end_is_ended(offers: Offers, body: bytes, says: str) -> None:
    before = offers.peak_bytes()
    offers.offer(body)
    offers.refused(says)
    assert offers.peak_bytes() - before < GROWTH_BYTES


ENCODINGS = {
    "gzip": {"Content-Encoding": "gzip"},
    "gzip twice": {"Content-Encoding": "gzip, gzip"},
    "zstd": {"Content-Encoding": "zstd"},
    "an encoding after none": {"Content-Encoding": "identity, gzip"},
}


@pytest.mark.parametrize("headers", ENCODINGS.values(), ids=ENCODINGS)
def test_a17_encodings_that_nobody_asked_for_are_refused(offers: Offers, headers: dict[str, str]) -> None:
    offers.offer(gzip.compress(packed({"app/a.yaml": b"x: y"})), headers=headers)
    offers.refused("unasked Content-Encoding")
