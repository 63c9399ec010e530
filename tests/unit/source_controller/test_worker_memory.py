"""What a worker remembers of the last revision changes nothing but the time: the artifact stays the same."""

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import Blob, Commit, ShaFile, Tree
from dulwich.pack import write_pack_objects

from shared.artifacts import archive
from shared.artifacts.archive import ArchiveError
from shared.artifacts.ignore import rules
from shared.git.auth import Credentials
from shared.git.objects import Objects
from shared.git.refs import RefSpec
from shared.git.tree import Entry
from source_controller.content import Part
from source_controller.memory import Memory, Revision
from source_controller.worker import Publication, Published, Resolved, Where, publish

Files = Mapping[str, bytes]  # path -> content; a path that ends in "*" is executable
FILES: Files = {
    "app/a.yaml": b"a: 1\n",
    "app/b.yaml": b"b: 1\n",
    "app/sub/c.yaml": b"c: 1\n",
    "other/a.yaml": b"a: 1\n",
    "other/picture.png": b"png",
    "run.sh": b"#!/bin/sh\n",
}


class Repository:
    """The fetched objects of one repository; a commit that is complete there needs no server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commits = 0

    def publish(
        self, files: Files, memory: Memory, *, ignore: str | None = None, limit_bytes: int = 1 << 20
    ) -> tuple[bytes, Published]:
        """The artifact of a commit with these files, and what the worker says of it."""
        commit = self._commit(files)
        self._commits += 1
        path = f"gitrepository/ns/app/{self._commits}.tar.gz"
        where = Where(
            url="http://127.0.0.1:1/unused",
            credentials=Credentials(),
            want=RefSpec(branch="main"),
            timeout_s=1,
            cache=str(self.folder / "cache"),
        )
        order = Publication(
            where=where,
            resolved=Resolved(commit=commit, revision=f"main@sha1:{commit}", ref="refs/heads/main"),
            store=str(self.folder / "store"),
            algorithm="sha256",
            path=path,
            ignore=ignore,
            limit_bytes=limit_bytes,
        )
        published = publish(order, memory)
        return (self.folder / "store" / path).read_bytes(), published

    def _commit(self, files: Files) -> str:
        made: list[ShaFile] = []
        root = _folder(files, made)
        commit = Commit()
        commit.tree = root.id
        commit.author = commit.committer = b"Ada <ada@example.com>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Subject\n"
        pack = io.BytesIO()
        unique = {one.id: one for one in (*made, commit)}
        write_pack_objects(pack, list(unique.values()), object_format=DEFAULT_OBJECT_FORMAT)
        objects = Objects(self.folder / "cache" / "tree")
        objects.add_pack(pack)
        objects.close()
        objects.complete(commit.id.decode())
        return commit.id.decode()


def _folder(files: Files, made: list[ShaFile]) -> Tree:
    folder = Tree()
    below: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        else:
            made.append(Blob.from_string(content))
            folder.add(name.rstrip("*").encode(), 0o100755 if name.endswith("*") else 0o100644, made[-1].id)
    for name, inner in below.items():
        folder.add(name.encode(), 0o040000, _folder(inner, made).id)
    made.append(folder)
    return folder


def without(*paths: str) -> Files:
    return {path: content for path, content in FILES.items() if path not in paths}


CHANGES: dict[str, Files] = {
    "nothing": FILES,
    "a file's content": {**FILES, "app/a.yaml": b"a: 2\n"},
    "a file's content, and its size": {**FILES, "app/a.yaml": b"a: 2\n" * 200},
    "two files that change places": {**FILES, "app/a.yaml": b"b: 1\n", "app/b.yaml": b"a: 1\n"},
    "a new file": {**FILES, "app/new.yaml": b"new: 1\n"},
    "a new file with known bytes": {**FILES, "app/new.yaml": b"a: 1\n"},
    "a file less": without("app/b.yaml"),
    "a file with another name": {**without("app/b.yaml"), "app/z.yaml": b"b: 1\n"},
    "a folder with another name": {
        **without("other/a.yaml", "other/picture.png"),
        "moved/a.yaml": b"a: 1\n",
        "moved/picture.png": b"png",
    },
    "a folder of which there are two": {**FILES, "x/other/a.yaml": b"a: 1\n", "x/other/picture.png": b"png"},
    "a mode": {**without("run.sh"), "run.sh*": b"#!/bin/sh\n"},
    "a folder that became a file": {**without("app/sub/c.yaml"), "app/sub": b"c: 1\n"},
    "a file that became a folder": {**without("run.sh"), "run.sh/run.sh": b"#!/bin/sh\n"},
    "rules of the root": {**FILES, ".sourceignore": b"/app/sub\n"},
    "rules of a folder": {**FILES, "app/.sourceignore": b"a.yaml\n"},
    "a file that rules bring back": {**FILES, ".sourceignore": b"*.yaml\n!/app/b.yaml\n"},
    "everything": {"x/y": b"z"},
}


@pytest.mark.parametrize("files", CHANGES.values(), ids=CHANGES)
def test_a_revision_after_another_is_the_same_bytes(files: Files, tmp_path: Path) -> None:
    warm = Memory()
    before = Repository(tmp_path / "warm")
    first, _ = before.publish(FILES, warm)
    assert before.publish(files, warm) == Repository(tmp_path / "cold").publish(files, Memory())
    assert before.publish(FILES, warm)[0] == first, "and back again"


def test_a_spec_that_ignores_more_is_followed(tmp_path: Path) -> None:
    warm = Memory()
    repository = Repository(tmp_path / "warm")
    all_of_them, _ = repository.publish(FILES, warm)
    some, _ = repository.publish(FILES, warm, ignore="/app/\n")
    assert some == Repository(tmp_path / "cold").publish(FILES, Memory(), ignore="/app/\n")[0]
    assert repository.publish(FILES, warm)[0] == all_of_them


def test_repositories_in_one_worker_do_not_meet(tmp_path: Path) -> None:
    other: Files = {**FILES, "app/a.yaml": b"other: 1\n"}
    memory = Memory()
    one, two = Repository(tmp_path / "1"), Repository(tmp_path / "2")
    for _ in range(2):
        assert one.publish(FILES, memory) == Repository(tmp_path / "3").publish(FILES, Memory())
        assert two.publish(other, memory) == Repository(tmp_path / "4").publish(other, Memory())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all objects that were read, as they are read."""
    read: list[str] = []
    original = Objects.read

    def counted(self: Objects, object_id: str) -> tuple[int, bytes]:
        read.append(object_id)
        return original(self, object_id)

    monkeypatch.setattr(Objects, "read", counted)
    return read


def test_a_repository_believes_nothing_that_another_one_brought(tmp_path: Path, read: list[str]) -> None:
    """Whoever can make two contents with one SHA-1 reaches his own repository only."""
    memory = Memory()
    Repository(tmp_path / "1").publish(FILES, memory)
    alone = len(read)
    Repository(tmp_path / "2").publish(FILES, memory)
    assert len(read) == 2 * alone


def test_a_known_file_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    """What all of this is for: one blob and the trees above it."""
    memory = Memory()
    repository = Repository(tmp_path)
    repository.publish(FILES, memory)
    read.clear()
    repository.publish({**FILES, "app/sub/c.yaml": b"c: 2\n"}, memory)
    assert len(read) == 1 + 3 + 1  # commit; root, app, app/sub; c.yaml


def test_a_failure_leaves_what_is_known_as_it_was(tmp_path: Path) -> None:
    memory = Memory()
    repository = Repository(tmp_path / "warm")
    repository.publish(FILES, memory)
    larger: Files = {**FILES, "app/a.yaml": bytes(2000)}
    with pytest.raises(ArchiveError):
        repository.publish(larger, memory, limit_bytes=1000)
    assert repository.publish(larger, memory) == Repository(tmp_path / "cold").publish(larger, Memory())


LIMITS = {
    "nothing fits": 0,
    "the paths fit, but no content": 7_000,
    "some content fits": 9_000,
    "one of two fits": 16_000,
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_the_limit_holds_and_the_bytes_stay(limit: int, tmp_path: Path) -> None:
    memory = Memory(limit_bytes=limit)
    cold, _ = Repository(tmp_path / "cold").publish(FILES, Memory())
    one, two = Repository(tmp_path / "1"), Repository(tmp_path / "2")
    for repository in (one, two, one, one):
        assert repository.publish(FILES, memory)[0] == cold
        assert memory.size_bytes <= limit
        remembered = memory.of(str(repository.folder / "cache"))
        assert (remembered is not None) == (limit > 0), "what does not fit does not displace what does"


def test_of_two_that_do_not_fit_the_last_one_stays(tmp_path: Path) -> None:
    memory = Memory(limit_bytes=16_000)
    one, two = Repository(tmp_path / "1"), Repository(tmp_path / "2")
    for repository in (one, two):
        repository.publish(FILES, memory)
    assert memory.of(str(one.folder / "cache")) is None
    assert memory.of(str(two.folder / "cache")) is not None


def test_a_path_that_comes_from_elsewhere_now_is_read_anew() -> None:
    """A submodule moved, or an include took its place: the same object id says nothing of another's bytes."""
    entry = Entry("lib/a.yaml", folder=False, executable=False, object_id="a" * 40)
    member = archive.Member(entry.path, folder=False, read=b"old".__bytes__)
    first = Revision(
        [Part("submodule lib", (entry,), lambda _: b"old")], rules({}, None), None, limit_bytes=1 << 20
    )
    first.encode(member)
    newer = archive.Member(entry.path, folder=False, read=b"new".__bytes__)
    for origin, content in (("submodule lib", b"old"), ("submodule lib moved", b"new")):
        parts = [Part(origin, (entry,), lambda _: b"new")]
        revision = Revision(parts, rules({}, None), first, limit_bytes=1 << 20)
        assert revision.encode(newer).body.rstrip(b"\0") == content
