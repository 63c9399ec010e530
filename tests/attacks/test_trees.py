"""Git trees with names that no honest tool writes, fetched from a real Git server (A18).

Each comes after an honest commit. What is structural refuses the commit, and the old artifact stays; what is
only dangerous or not portable is left out, and named. All links lead to a secret outside.
"""

import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.worktree import git
from tests.attacks.bystanders import Bystanders, Stage
from tests.attacks.hostile_git import HostileGit, Repository, banded, commit_of, tree_of
from tests.harness.manifests import config_map, to_yaml
from tests.harness.packs import BLOB, COMMIT, TREE, object_id, pack, packed_object
from tests.harness.story import Story, conditions

Entry = tuple[int, bytes]  # mode and name; a folder holds one file
FILE, LINK, FOLDER, GITLINK = 0o100644, 0o120000, 0o040000, 0o160000

REFUSED: dict[str, tuple[Sequence[Entry], str]] = {
    "a parent": ([(FOLDER, b"..")], "not a name"),
    "itself": ([(FOLDER, b".")], "not a name"),
    "a slash": ([(FILE, b"a/b")], "a slash in a name"),
    "a way out in one name": ([(FILE, b"a/../../b")], "a slash in a name"),
    "300 bytes": ([(FILE, b"x" * 300)], "more than 255 bytes"),
    "the same name twice": ([(FILE, b"a"), (FILE, b"a")], "is listed twice"),
    "a file and a folder of one name": ([(FILE, b"a"), (FOLDER, b"a")], "is listed twice"),
    "out of order": ([(FILE, b"b"), (FILE, b"a")], "out of order"),
}
_GIT = "a spelling of .git"
_TEXT = "control character or backslash in the name"
LEFT_OUT: dict[str, tuple[Entry, str]] = {
    ".git": ((FOLDER, b".git"), _GIT),
    "upper case": ((FOLDER, b".GIT"), _GIT),
    "a blank behind": ((FOLDER, b".git "), _GIT),
    "the NTFS short name": ((FILE, b"git~1"), _GIT),
    "another NTFS short name": ((FILE, b"GIT~2"), _GIT),
    "an NTFS stream": ((FILE, b".git::$INDEX_ALLOCATION"), _GIT),
    "an invisible character": ((FOLDER, ".g\u200cit".encode()), _GIT),
    "a byte order mark": ((FOLDER, "\ufeff.git".encode()), _GIT),
    "backslashes": ((FILE, b"a\\..\\b"), _TEXT),
    ".git and a backslash": ((FILE, b".git\\config"), _TEXT),
    "a newline": ((FILE, b"a\nb"), _TEXT),
    "an escape sequence": ((FILE, b"\x1b[2J"), _TEXT),
    "not UTF-8": ((FILE, b"\xff\xfe"), "name is not UTF-8"),
    "a surrogate": ((FILE, b"\xed\xa0\x80"), "name is not UTF-8"),
    "a link": ((LINK, b"l"), "symbolic link"),
    "a link called .git": ((LINK, b".git"), "symbolic link"),
    "a submodule called .git": ((GITLINK, b".git"), _GIT),
    "a mode of its own": ((0o777, b"m"), "unknown mode 777"),
}
CARRIED: dict[str, Entry] = {
    "a mode of old": (0o100664, b"old"),
    "a mode with setuid": (0o104755, b"setuid"),
    "a name that looks like an option": (FILE, b"--upload-pack=x"),
    "255 bytes": (FILE, b"x" * 255),
    "right to left": (FILE, "\u202etxt.exe".encode()),
}


@dataclass(slots=True)
class Trees:
    """One repository with a branch for each case."""

    story: Story
    store: Path
    bystanders: Bystanders
    number: int = 0

    @property
    def bare(self) -> Path:
        return self.story.git.bare(self.story.repository_name)

    def push(self, entries: Sequence[Entry]) -> tuple[str, str]:
        """A source with an honest commit, and then one with these entries; its name and the commit."""
        self.number += 1
        name = f"tree-{self.number}"
        honest = self._commit(self._tree([(FILE, b"good.yaml")]), name)
        self.story.source(name, ref={"branch": name})
        self.story.ready(name, honest, kind="GitRepository")
        bad = self._commit(self._tree(entries), name)
        self.story.request("GitRepository", name)
        self.bystanders.go_on()
        return name, bad

    def artifact(self, name: str) -> set[str]:
        """The names in the artifact that the source's status tells of."""
        path = self.story.get("GitRepository", name)["status"]["artifact"]["path"]
        with tarfile.open(self.store / path) as tar:
            return {member.name for member in tar.getmembers()} - {"."}

    def _tree(self, entries: Sequence[Entry]) -> str:
        blob = self._write("blob", str(self.bystanders.secret_file).encode())
        inner = self._write("tree", b"100644 config\0" + bytes.fromhex(blob))
        honest = self.story.repository.head()
        ids = {FOLDER: inner, GITLINK: honest}
        data = b"".join(
            b"%o %s\0" % (mode, name) + bytes.fromhex(ids.get(mode, blob)) for mode, name in entries
        )
        return self._write("tree", data)

    def _write(self, kind: str, data: bytes) -> str:
        ran = subprocess.run(
            [shutil.which("git") or "git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
            cwd=self.bare,
            input=data,
            capture_output=True,
            check=True,
        )
        return ran.stdout.decode().strip()

    def _commit(self, tree: str, branch: str) -> str:
        commit = git(self.bare, "commit-tree", tree, "-m", secrets.token_hex(4))
        git(self.bare, "update-ref", f"refs/heads/{branch}", commit)
        return commit


@pytest.fixture(scope="module")
def trees(stage: Stage, bystanders: Bystanders) -> Iterator[Trees]:
    store = stage.controllers.source.storage
    story = Story.begin(stage.cluster, stage.git, "trees", store)
    story.push({"a.yaml": to_yaml(config_map("a"))})
    bystanders.stories.append(story)
    yield Trees(story, store, bystanders)
    assert [path.name for path in store.iterdir()] == ["gitrepository"], "something else was written"
    story.end()


@pytest.mark.parametrize(("entries", "why"), REFUSED.values(), ids=REFUSED)
def test_a18_a_tree_that_contradicts_itself_refuses_the_commit(
    trees: Trees, entries: Sequence[Entry], why: str
) -> None:
    name, bad = trees.push([*entries, (FILE, b"z.yaml")])
    item = trees.story.failed(name, "GitOperationFailed", why, kind="GitRepository")
    found = conditions(item)
    assert found["Ready"]["message"].startswith("failed to checkout and determine revision: ")
    assert found["FetchFailed"]["status"] == "True"
    assert bad not in item["status"]["artifact"]["revision"], "the old artifact stays"
    assert trees.artifact(name) == {"good.yaml"}


def test_a18_a_name_that_is_empty_refuses_the_commit(trees: Trees) -> None:
    """Git's own server would not send it."""
    blob = object_id(BLOB, b"content")

    def repository(*entries: tuple[bytes, bytes, bytes]) -> Repository:
        root = tree_of(*entries)
        commit = commit_of(object_id(TREE, root))
        objects = packed_object(COMMIT, commit), packed_object(TREE, root), packed_object(BLOB, b"content")
        return Repository(object_id(COMMIT, commit).hex(), list(banded(pack(*objects))))

    with HostileGit() as git:
        git.repositories["tree"] = honest = repository((b"100644", b"good.yaml", blob))
        trees.story.source("no-name", url=git.url("tree"))
        trees.story.ready("no-name", honest.commit, kind="GitRepository")
        git.repositories["tree"] = repository((b"100644", b"", blob))
        trees.story.request("GitRepository", "no-name")
        trees.bystanders.go_on()
        why = "refused entry '': not a name"
        trees.story.failed("no-name", "GitOperationFailed", why, kind="GitRepository")
        assert trees.artifact("no-name") == {"good.yaml"}


@pytest.mark.parametrize(("entry", "why"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a18_a_dangerous_name_is_left_out_and_named(trees: Trees, entry: Entry, why: str) -> None:
    honest = (FILE, b"y.yaml")
    name, bad = trees.push(sorted([entry, honest], key=lambda one: one[1]))
    trees.story.ready(name, bad, kind="GitRepository")
    assert trees.artifact(name) == {"y.yaml"}
    event = trees.story.told(name, "left out of the artifact: ", kind="GitRepository")
    assert f"({why})" in event["message"]
    assert "\n" not in event["message"]
    assert "\x1b" not in event["message"]


def test_a18_a_submodule_that_nobody_asked_for_is_an_empty_folder(trees: Trees) -> None:
    name, commit = trees.push([(FILE, b"a.yaml"), (GITLINK, b"s")])
    item = trees.story.ready(name, commit, kind="GitRepository")
    with tarfile.open(trees.store / item["status"]["artifact"]["path"]) as tar:
        assert [member.name for member in tar.getmembers() if member.isdir()] == [".", "s"]
    assert trees.artifact(name) == {"a.yaml", "s"}


@pytest.mark.parametrize("entry", CARRIED.values(), ids=CARRIED)
def test_a18_an_odd_but_harmless_entry_is_a_plain_file(trees: Trees, entry: Entry) -> None:
    name, commit = trees.push([entry])
    item = trees.story.ready(name, commit, kind="GitRepository")
    with tarfile.open(trees.store / item["status"]["artifact"]["path"]) as tar:
        found = [member for member in tar.getmembers() if member.name != "."]
    assert [member.name for member in found] == [entry[1].decode()]
    assert found[0].isreg()
    assert found[0].mode in (0o600, 0o700)
