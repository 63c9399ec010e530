"""Archives that a stranger made, on the whole way: download, digest, unpacker, status (A15, A16, A17).

A source that promises them is as much as an attacker can have: the digests are right. While each of them is
on its way, the neighbour's commits arrive.
"""

import gzip
import io
import os
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lab.usage import cpu_s_of, peak_rss_bytes_of
from shared.artifacts import archive, unpack
from tests.attacks.artifact_host import ArtifactHost, offer
from tests.attacks.bystanders import Bystanders, Stage
from tests.harness import archives
from tests.harness.archives import BROKEN, HOSTILE, STRIPPED, entry, with_mode
from tests.harness.manifests import config_map, to_yaml
from tests.harness.story import Story, conditions

FLAGS = ["--cache-path=cache", "--http-retry=0"]
GROWTH_BYTES = 64 << 20  # of the unpacker, by whatever it reads
MOST_FILES = 100_000
READINGS = 5  # of the most files that an archive may have: so much CPU an attack may cost the unpacker
_UNPACKER = b"kustomize_controller.worker"
GOOD, BAD = "a" * 40, "b" * 40


def packed(files: dict[str, bytes]) -> bytes:
    """An artifact as a source writes it."""
    raw = io.BytesIO()
    members = [archive.Member(name, False, read=partial(bytes, content)) for name, content in files.items()]
    archive.write(members, raw, limit_bytes=1 << 30)
    return raw.getvalue()


def empty_files(count: int, end: bytes = b"") -> bytes:
    """A16: headers, each of them valid, and by default without an end."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    headers = (archive._header(f"f{n}", b"0", 0o600, 0) for n in range(count))
    packed_headers = b"".join(compressor.compress(header) for header in headers)
    return packed_headers + compressor.compress(end) + compressor.flush()


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
    bystanders: Bystanders
    number: int = 0

    def offer(self, body: bytes, *, headers: dict[str, str] | None = None, revision: str = BAD) -> None:
        self.number += 1
        url = self.host.serve(f"{self.number}.tar.gz", body, headers)
        offer(self.story, "app", url, body, revision=revision)

    def refused(self, says: str) -> None:
        """The artifact that was offered last is; nothing of it is left, and what was applied stays."""
        self.bystanders.go_on()
        item = self.story.failed("app", "ArtifactFailed", says)
        message = conditions(item)["Ready"]["message"]
        assert str(self.cache) not in message
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{GOOD}"
        assert self.story.data("a") == {"k": "v"}
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

    def cpu_s(self) -> float:
        """Of the unpacker's process so far."""
        return cpu_s_of(self.controller, _UNPACKER)


@pytest.fixture(scope="module")
def offers(stage: Stage, bystanders: Bystanders) -> Iterator[Offers]:
    controller = stage.controllers.kustomize
    story = Story.begin(stage.cluster, stage.git, "offers", None)
    with ArtifactHost() as host:
        made = Offers(story, host, controller.folder / "cache", controller.pid, bystanders)
        bystanders.stories.append(story)
        story.kustomization(targetNamespace=story.namespace, retryInterval="1h")
        made.settle()
        yield made
        made.offer(packed({"app/a.yaml": to_yaml(config_map("a", k="w")).encode()}), revision="c" * 40)
        story.ready("app", "c" * 40)
        assert story.data("a") == {"k": "w"}


SIZES = ("a negative size", "a size that is no number", "a pax size")


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in SIZES])
def test_a15_members_that_are_not_plain_files_refuse_the_archive(offers: Offers, name: str) -> None:
    offers.offer(HOSTILE[name])
    offers.refused("failed to untar artifact: refused member ")


_FILE, _LINK, _HARD_LINK = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
# Path, kind, content and target of members; OUT is a file outside that is not there, SECRET one that is.
AIMED = {
    "a file by its whole path": [("OUT", _FILE, b"x", "")],
    "a file by a way up": [("../" * 30 + "OUT", _FILE, b"x", "")],
    "a file through a link": [("l", _LINK, b"", "/"), ("l/OUT", _FILE, b"x", "")],
    "a link to a secret": [("app/a.yaml", _LINK, b"", "SECRET")],
    "a hard link to a secret": [("app/a.yaml", _HARD_LINK, b"", "SECRET")],
}


def _filled(text: str, places: Mapping[str, str]) -> str:
    for word, place in places.items():
        text = text.replace(word, place)
    return text


@pytest.mark.parametrize("name", AIMED)
def test_a15_what_is_outside_is_neither_written_nor_read(offers: Offers, name: str) -> None:
    outside = offers.bystanders.outside
    places = {"OUT": str(outside / "pwned"), "SECRET": str(offers.bystanders.secret_file)}
    aimed = [
        entry(_filled(path, places), kind, content, linkname=_filled(target, places))
        for path, kind, content, target in AIMED[name]
    ]
    offers.offer(archives.packed(*aimed, form=tarfile.PAX_FORMAT))
    offers.refused("failed to untar artifact: refused member ")


@pytest.mark.parametrize(("number", "mode"), [*enumerate(STRIPPED.values())], ids=STRIPPED)
def test_a15_no_mode_is_taken_over(offers: Offers, number: int, mode: int) -> None:
    revision = f"{number:x}" * 40
    value = f"mode {mode:o}"
    content = to_yaml(config_map("a", k=value)).encode()
    offers.offer(with_mode(mode, {"app/a.yaml": content}), revision=revision)
    offers.bystanders.go_on()
    offers.story.ready("app", revision)
    assert offers.story.data("a") == {"k": value}
    found = [path for path in offers.cache.rglob("app/a.yaml") if path.read_bytes() == content]
    assert [f"{path.stat().st_mode:o} {path.parent.stat().st_mode:o}" for path in found] == ["100400 40700"]
    offers.settle()


@pytest.fixture(scope="module")
def bearable_s() -> float:
    """CPU seconds that any archive may cost, on this machine and now: two readings, and room for a busy
    machine. A reader without a limit would need twenty for a million files."""
    most = io.BytesIO(empty_files(MOST_FILES, end=bytes(1024)))
    began_s = time.process_time()
    assert sum(1 for _ in unpack.read(most, limit_bytes=1 << 20)) == MOST_FILES
    return READINGS * (time.process_time() - began_s)


@pytest.mark.parametrize("name", [*BROKEN, *SIZES])
def test_a16_broken_archives_end(offers: Offers, name: str, bearable_s: float) -> None:
    before_s = offers.cpu_s()
    offers.offer({**BROKEN, **HOSTILE}[name])
    offers.refused("failed to untar artifact: ")
    assert offers.cpu_s() - before_s < bearable_s


@pytest.mark.parametrize(("body", "says"), ENDLESS.values(), ids=ENDLESS)
def test_a16_a17_what_has_no_end_is_ended(offers: Offers, body: bytes, says: str, bearable_s: float) -> None:
    before, before_s = offers.peak_bytes(), offers.cpu_s()
    offers.offer(body)
    offers.refused(says)
    assert offers.peak_bytes() - before < GROWTH_BYTES
    assert offers.cpu_s() - before_s < bearable_s


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
