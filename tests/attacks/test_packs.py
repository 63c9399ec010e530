"""What a hostile Git server sends in place of a commit (A20): it is refused in time, and costs little.

The source has a password for the server, which gets it with each request and may quote it.
"""

import base64
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.controllers import SourceController
from lab.usage import peak_rss_bytes_of
from tests.attacks.bystanders import Bystanders, Stage
from tests.attacks.hostile_git import HostileGit, Repository, banded, commit_of, pkt, tree_of
from tests.harness.manifests import secret
from tests.harness.packs import (
    BLOB,
    COMMIT,
    REF_DELTA,
    TREE,
    chain,
    chain_by_id,
    delta,
    object_id,
    pack,
    packed_object,
)
from tests.harness.story import Story, conditions
from tests.harness.wait import eventually

_WORKER = b"source_controller.worker"
PATIENCE, HASTE = "60s", "3s"  # spec.timeout; the latter where it is what ends the attack
GROWTH_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Server:
    story: Story
    git: HostileGit
    controller: SourceController
    bystanders: Bystanders
    password: str = field(repr=False)

    def peak_bytes(self) -> int:
        """Of the Git workers so far."""
        return peak_rss_bytes_of(self.controller.pid, _WORKER)

    def attack(self, made: Callable[[], Repository], timeout: str) -> tuple[str, Path]:
        """A source that has fetched the honest commit, and then meets a hostile one; its name and cache."""
        name = f"source-{secrets.token_hex(4)}"
        self.git.repositories[name] = honest()
        self.story.source(name, url=self.git.url(name), timeout=timeout, secretRef={"name": "password"})
        fetched = self.story.ready(name, honest().commit, kind="GitRepository")
        cache = self.controller.folder / "headrace-git" / fetched["metadata"]["uid"]
        assert list(cache.rglob("*.pack")), "this is where the honest commit was fetched to"
        hostile = f"{name}-2"
        self.git.repositories[hostile] = made()
        fields = {"url": self.git.url(hostile), "ref": {"name": "refs/heads/main"}}
        self.story.respec(name, kind="GitRepository", **fields)
        self.bystanders.go_on()
        return name, cache


@pytest.fixture(scope="module")
def server(stage: Stage, bystanders: Bystanders) -> Iterator[Server]:
    story = Story.begin(stage.cluster, stage.git, "packs", stage.controllers.source.storage)
    bystanders.stories.append(story)
    password = bystanders.hide("password for a Git server")
    story.create("Secret", "password", secret("password", username="u", password=password))
    with HostileGit() as git:
        yield Server(story, git, stage.controllers.source, bystanders, password)
    story.end()


CONTENT = b"content"
ROOT = tree_of((b"100644", b"a", object_id(BLOB, CONTENT)))
FIRST, HEAD = commit_of(object_id(TREE, ROOT)), commit_of(object_id(TREE, ROOT), b"second")
FILES = (packed_object(TREE, ROOT), packed_object(BLOB, CONTENT))
HONEST = (packed_object(COMMIT, HEAD), *FILES)


def honest() -> Repository:
    return Repository(
        object_id(COMMIT, FIRST).hex(), list(banded(pack(packed_object(COMMIT, FIRST), *FILES)))
    )


def sending(sent: Iterable[bytes]) -> Callable[[], Repository]:
    """In answer to a fetch of the next commit."""
    return lambda: Repository(object_id(COMMIT, HEAD).hex(), sent)


def beside(*objects: bytes) -> Callable[[], Repository]:
    """The next commit, and more in its pack than it needs."""
    return sending(list(banded(pack(*HONEST, *objects))))


def tree_bomb() -> Repository:
    """Ten levels of ten entries: 10^10 paths in two kilobytes."""
    level, objects = ROOT, [*FILES]
    for _ in range(10):
        child = object_id(TREE, level)
        level = tree_of(*((b"40000", b"%d" % number, child) for number in range(10)))
        objects.append(packed_object(TREE, level))
    head = commit_of(object_id(TREE, level))
    return Repository(
        object_id(COMMIT, head).hex(), list(banded(pack(packed_object(COMMIT, head), *objects)))
    )


def flood() -> Iterable[bytes]:
    return itertools.repeat(pkt(b"\x02" + b"still counting\r" * 1000))


def drip() -> Iterator[bytes]:
    for byte in b"".join(banded(pack(*HONEST))):
        yield bytes([byte])
        time.sleep(1)


HOSTILE: dict[str, tuple[Callable[[], Repository], str]] = {
    "a file of 10 GiB in a few bytes": (beside(packed_object(BLOB, b"x", size=10 << 30)), "has 10240 MiB"),
    "200 MiB of nothing": (
        beside(packed_object(BLOB, bytes(200 << 20))),
        "has 200 MiB, the limit is 128 MiB",
    ),
    "a delta that makes 10 GiB": (
        beside(packed_object(REF_DELTA, delta(7, 10 << 30), base=object_id(BLOB, CONTENT))),
        "has 10240 MiB",
    ),
    "ten thousand deltas in a chain": (sending(list(banded(chain(10_000)))), "more than 4095 deltas"),
    "five thousand deltas that name their bases": (
        sending(list(banded(chain_by_id(5_000)))),
        "more than 4095 deltas",
    ),
    "more in an object than it says": (
        beside(packed_object(BLOB, bytes(9000), size=10)),
        "longer than it says",
    ),
    "four billion objects": (sending(list(banded(pack(count=0xFFFFFFFF)))), "the limit is 2000000"),
    "a tree that never ends": (tree_bomb, "more than 100000 files and folders"),
    "a wrong trailer": (sending(list(banded(pack(*HONEST)[:-1] + b"x"))), "cannot be used"),
    "half a pack": (sending(list(banded(pack(*HONEST)[:90]))), "cannot be used"),
    "a delta of nothing": (beside(packed_object(REF_DELTA, delta(9, 9), base=bytes(20))), "cannot be used"),
    "no pack at all": (sending([b"0000"]), "failed to checkout"),
    "news without an end": (sending(flood()), "not done within spec.timeout"),
    "a byte a second": (sending(drip()), "not done within spec.timeout"),
}


@pytest.mark.parametrize(("made", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a20_what_a_server_sends_is_bounded(
    server: Server, made: Callable[[], Repository], says: str
) -> None:
    before = server.peak_bytes()
    name, cache = server.attack(made, HASTE if "spec.timeout" in says else PATIENCE)
    item = server.story.failed(name, "GitOperationFailed", says, kind="GitRepository")
    assert item["status"]["artifact"]["revision"].endswith(honest().commit), "the old artifact stays"
    assert "Stalled" not in conditions(item)
    assert server.peak_bytes() - before < GROWTH_BYTES
    # Those of a try that is under way go with its end; those of a failed one went before.
    eventually(lambda: not leftovers(cache), 10, f"nothing is left of failed tries below {cache}")


QUOTES = {
    "in an error of the side band": b"\x03%s",
    "in an error line": b"ERR %s",
    "in what is no packet of a pack": b"%s",
}


@pytest.mark.parametrize("form", QUOTES.values(), ids=QUOTES)
def test_a20_a_password_that_the_server_quotes_is_not_said(server: Server, form: bytes) -> None:
    quoted = server.password, base64.b64encode(f"u:{server.password}".encode()).decode()
    name, _ = server.attack(sending([pkt(form % " ".join(quoted).encode()), b"0000"]), PATIENCE)
    said = json.dumps(server.story.failed(name, "GitOperationFailed", kind="GitRepository")["status"])
    assert server.bystanders.canaries.search(f"status of {name}", said) == [], said


def leftovers(cache: Path) -> list[Path]:
    half = [pack for pack in cache.rglob("*.pack") if not pack.with_suffix(".idx").exists()]
    return [*half, *cache.rglob("tmp_pack_*"), *cache.rglob("*.lock")]
