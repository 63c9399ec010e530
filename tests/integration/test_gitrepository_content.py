"""What an artifact holds, from real Git servers: submodules and sparse checkouts (A06, A19)."""

import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.gitserver import Answer, Basic, GitServer
from lab.sshserver import SshServer, new_key
from lab.worktree import Worktree
from shared.git import tree
from shared.git.auth import target
from shared.git.errors import GitError, RemoteError, TooLarge
from shared.git.refs import RefSpec
from source_controller import content
from source_controller.memory import Memory
from source_controller.sparse import SparseMissing
from source_controller.worker import Publication, Published, Where, publish, resolve
from tests.harness.desk import link

PASSWORD = "sesame-of-the-test"


@dataclass
class Desk:
    """Two repositories on a server, the second made to be a submodule of the first."""

    git: GitServer
    name: str
    folder: Path
    memory: Memory = field(default_factory=Memory)
    secret: dict[str, bytes] | None = None
    ssh: SshServer | None = None  # by which the first is fetched

    def __post_init__(self) -> None:
        self.app = self.create("app")
        self.lib = self.create("lib")
        self.lib.publish({"lib.yaml": "lib: 1\n", "deploy/deep.yaml": "deep: 1\n"})

    def create(self, short: str) -> Worktree:
        return self.git.create(f"{self.name}/{short}")

    def requests(self, short: str) -> int:
        return len(self.git.requests(f"{self.name}/{short}"))

    def publish(
        self, *, recurse: bool = True, sparse: tuple[str, ...] = (), ignore: str | None = None
    ) -> Published:
        server = self.ssh or self.git
        found = target(server.url(f"{self.name}/app"), self.secret)
        where = Where(
            url=found.url,
            credentials=found.credentials,
            want=RefSpec(branch="main"),
            timeout_s=10,
            cache=str(self.folder / "cache"),
        )
        order = Publication(
            where=where,
            resolved=resolve(where),
            store=str(self.folder / "store"),
            algorithm="sha256",
            path="gitrepository/ns/app/a.tar.gz",
            ignore=ignore,
            limit_bytes=1 << 20,
            sparse=sparse,
            recurse_submodules=recurse,
        )
        return publish(order, self.memory)

    def files(self) -> dict[str, str]:
        with tarfile.open(self.folder / "store/gitrepository/ns/app/a.tar.gz") as tar:
            read = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            return {name: file.read().decode() for name, file in read.items() if file is not None}

    def folders(self) -> set[str]:
        with tarfile.open(self.folder / "store/gitrepository/ns/app/a.tar.gz") as tar:
            return {member.name for member in tar if member.isdir()} - {"."}


@pytest.fixture
def desk(git_server: GitServer, request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    named: str = request.node.name
    name = named.replace("[", "/").rstrip("]").replace(" ", "-").replace("'", "")
    return Desk(git_server, name, tmp_path)


@pytest.fixture
def elsewhere() -> Iterator[GitServer]:
    """Another server, which is not to see any credentials."""
    with GitServer() as server:
        yield server


def test_a_submodule_is_laid_at_its_place(desk: Desk) -> None:
    link(desk.app, "vendor/lib", desk.lib.head(), "../lib.git")
    desk.app.publish({"app.yaml": "app: 1\n"}, "with a library")
    published = desk.publish()
    assert desk.files() == {
        "app.yaml": "app: 1\n",
        "vendor/lib/lib.yaml": "lib: 1\n",
        "vendor/lib/deploy/deep.yaml": "deep: 1\n",
    }
    assert desk.folders() == {"vendor", "vendor/lib", "vendor/lib/deploy"}
    assert (published.left_out_count, published.subject) == (0, "with a library")


def test_without_recursion_a_submodule_is_named(desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({"app.yaml": "app: 1\n"})
    published = desk.publish(recurse=False)
    assert (set(desk.files()), desk.folders()) == ({"app.yaml"}, {"lib"})
    assert published.left_out == (("lib", "submodule; spec.recurseSubmodules fetches it"),)
    assert desk.requests("lib") == 0


def test_submodules_of_submodules_are_relative_to_them(desk: Desk) -> None:
    inner = desk.git.create(f"{desk.name}/others/inner")
    inner.publish({"inner.yaml": "inner: 1\n"})
    link(desk.lib, "inner", inner.head(), "../others/inner.git")
    desk.lib.publish({"lib.yaml": "lib: 2\n"})
    moved = desk.create("group/lib")
    link(moved, "inner", inner.head(), "../../others/inner.git")
    moved.publish({"moved.yaml": "moved: 1\n"})
    link(desk.app, "one", desk.lib.head(), "../lib.git")
    link(desk.app, "two", moved.head(), "../group/lib.git")
    desk.app.publish({"app.yaml": "app: 1\n"})
    desk.publish()
    assert {"one/inner/inner.yaml", "two/inner/inner.yaml", "two/moved.yaml"} < set(desk.files())


def test_what_is_here_is_not_fetched_again(desk: Desk) -> None:
    desk.lib.publish({f"f{n}.yaml": random.Random(n).randbytes(4000).hex() for n in range(20)})
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({"app.yaml": "app: 1\n"})
    desk.publish()
    desk.git.forget_requests()
    desk.app.publish({"app.yaml": "app: 2\n"})
    desk.publish()
    assert desk.requests("lib") == 0, "the submodule has the same commit"
    commit = desk.lib.publish({"f0.yaml": "small\n"})
    link(desk.app, "lib", commit, "../lib.git")
    desk.app.publish({})
    received = desk.publish().received_bytes
    assert desk.files()["lib/f0.yaml"] == "small\n"
    assert received < 6_000, "one file and one tree"
    cold = Desk.__new__(Desk)
    cold.__dict__.update(desk.__dict__, folder=desk.folder / "cold", memory=Memory())
    warm = desk.folder / "store/gitrepository/ns/app/a.tar.gz"
    cold.publish()
    assert (cold.folder / "store/gitrepository/ns/app/a.tar.gz").read_bytes() == warm.read_bytes()


def test_a_commit_that_no_branch_has_any_more_is_found(desk: Desk) -> None:
    """A submodule often stays behind its branch, or was rebased away."""
    old = desk.lib.publish({"lib.yaml": "lib: old\n"})
    desk.lib.publish({"lib.yaml": "lib: new\n"})
    link(desk.app, "lib", old, "../lib.git")
    desk.app.publish({})
    desk.publish()
    assert desk.files()["lib/lib.yaml"] == "lib: old\n"


def test_a_commit_that_was_never_pushed_is_named(desk: Desk) -> None:
    link(desk.app, "vendor/lib", "b" * 40, "../lib.git")
    desk.app.publish({})
    with pytest.raises(RemoteError, match=r"submodule 'vendor/lib' \(../lib.git\): .*object not found"):
        desk.publish()


def test_credentials_stay_with_the_server_of_the_spec(desk: Desk, elsewhere: GitServer) -> None:
    basic = Basic("user", PASSWORD)
    desk.secret = {"username": b"user", "password": PASSWORD.encode()}
    for short in ("app", "lib"):
        desk.git.protect(f"{desk.name}/{short}", basic)
    other = elsewhere.create("other")
    other.publish({"other.yaml": "other: 1\n"})
    link(desk.app, "lib", desk.lib.head(), desk.git.url(f"{desk.name}/lib"))
    link(desk.app, "other", other.head(), elsewhere.url("other"))
    desk.app.publish({})
    desk.publish()
    assert {"lib/lib.yaml", "other/other.yaml"} < set(desk.files())
    assert {request.authorization for request in elsewhere.requests("other")} == {""}
    elsewhere.protect("other", basic)
    commit = other.publish({"other.yaml": "other: 2\n"})
    link(desk.app, "other", commit, elsewhere.url("other"))
    desk.app.publish({})
    with pytest.raises(RemoteError, match=r"is sent to the server of spec\.url only") as raised:
        desk.publish()
    assert {request.authorization for request in elsewhere.requests("other")} == {""}
    assert PASSWORD not in str(raised.value)


CANARY = "what-only-the-cluster-may-read"
_CANARY_LINE = f"ERR upload-pack: not our ref {CANARY}".encode()
WORDS: dict[str, tuple[Answer, str]] = {
    # what the server of a submodule answers, and what is told of it
    "401": (Answer(status=401, body=CANARY.encode()), "the server refused; what spec.secretRef holds"),
    "403": (Answer(status=403, body=CANARY.encode()), "the server refused; what spec.secretRef holds"),
    "404": (Answer(status=404, body=CANARY.encode()), "the server refused; what spec.secretRef holds"),
    "500": (Answer(status=500, body=CANARY.encode()), "the server does not answer as a Git server does"),
    "a type of content": (
        Answer(status=200, headers={"Content-Type": CANARY}),
        "the server does not answer as a Git server does",
    ),
    "an encoding": (
        Answer(status=200, headers={"Content-Encoding": CANARY}),
        "the server does not answer as a Git server does",
    ),
    "a redirect": (
        Answer(status=302, headers={"Location": f"ftp://{CANARY}/x"}),
        "the server does not answer as a Git server does",
    ),
    "a host that does not resolve": (
        Answer(status=302, headers={"Location": f"http://{CANARY}.invalid/x"}),
        "the server cannot be reached",
    ),
    "lines that are none of Git's": (
        Answer(
            status=200,
            headers={"Content-Type": "application/x-git-upload-pack-advertisement"},
            body=CANARY.encode(),
        ),
        "the server does not answer as a Git server does",
    ),
    "an error as Git tells it": (
        Answer(
            status=200,
            headers={"Content-Type": "application/x-git-upload-pack-advertisement"},
            body=b"%04x" % (len(_CANARY_LINE) + 4) + _CANARY_LINE,
        ),
        "the server does not answer as a Git server does",
    ),
}


@pytest.mark.parametrize(("answer", "told"), WORDS.values(), ids=WORDS)
def test_no_word_of_another_server_gets_out(
    answer: Answer, told: str, desk: Desk, elsewhere: GitServer
) -> None:
    """A22: whoever can push names the server, and reads the status."""
    link(desk.app, "other", "c" * 40, elsewhere.url("other"))
    elsewhere.create("other").publish({"other.yaml": "other: 1\n"})
    elsewhere.answer("other", answer)
    desk.app.publish({})
    with pytest.raises(RemoteError, match=r"submodule 'other' \(.*\): " + told) as raised:
        desk.publish()
    assert CANARY not in str(raised.value)


def test_by_ssh_the_key_opens_submodules_of_the_same_server(desk: Desk) -> None:
    key = new_key()
    with SshServer(desk.git.folder) as desk.ssh:
        desk.ssh.allow(key)
        identity = key.export_private_key()
        desk.secret = {"identity": identity, "known_hosts": desk.ssh.known_hosts().encode()}
        link(desk.app, "one", desk.lib.head(), "../lib.git")
        link(desk.app, "two", desk.lib.head(), desk.ssh.url(f"{desk.name}/lib"))
        desk.app.publish({"app.yaml": "app: 1\n"})
        desk.publish()
        assert {"app.yaml", "one/lib.yaml", "two/lib.yaml"} < set(desk.files())
        link(desk.app, "three", desk.lib.head(), f"git@127.0.0.1:{desk.name}/lib.git")  # on another port
        desk.app.publish({})
        with pytest.raises(RemoteError, match=r"'three' .*is sent to the server of spec\.url only"):
            desk.publish()


REFUSED = {
    "a file": "file:///etc",
    "a folder of ours": "/etc",
    "a program": "ext::sh -c touch% /tmp/x",
    "above the root": "../../../../../../x",
    "ssh without a key": "git@127.0.0.1:lib.git",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_an_address_of_another_kind_is_refused(url: str, desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), url)
    desk.app.publish({})
    with pytest.raises(GitError, match=r"submodule 'lib' \(.*refused|submodule 'lib' .*no credentials"):
        desk.publish()


def test_a_gitmodules_that_says_nothing_of_it_leaves_a_submodule_out(desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({"app.yaml": "app: 1\n", ".gitmodules": None})
    published = desk.publish()
    assert (set(desk.files()), desk.folders()) == ({"app.yaml"}, {"lib"})
    assert published.left_out == (("lib", "submodule that .gitmodules does not name"),)


def test_a_path_that_gitmodules_makes_up_leads_nowhere(desk: Desk) -> None:
    """Only the tree says where a submodule lies (CVE-2025-48384 and its like)."""
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    text = (desk.app.path / ".gitmodules").read_text()
    for path in (".git/hooks", "../x", '"lib\r"', "app.yaml"):
        text += f'[submodule "{path.strip(chr(34))}"]\n\tpath = {path}\n\turl = ../lib.git\n'
    desk.app.publish({"app.yaml": "app: 1\n", ".gitmodules": text})
    desk.publish()
    assert set(desk.files()) == {"app.yaml", "lib/lib.yaml", "lib/deploy/deep.yaml"}


def test_a_repository_within_itself_ends_at_the_depth_of_git(desk: Desk) -> None:
    commit = desk.app.publish({"app.yaml": "app: 0\n"})
    for n in range(content.DEPTH_MAX + 1):
        link(desk.app, "again", commit, "../app.git") if n == 0 else desk.app.git(
            "update-index", "--cacheinfo", f"160000,{commit},again"
        )
        commit = desk.app.publish({"app.yaml": f"app: {n + 1}\n"})
        if n == content.DEPTH_MAX - 1:
            desk.publish()
            assert desk.files()["again/" * content.DEPTH_MAX + "app.yaml"] == "app: 0\n"
    with pytest.raises(TooLarge, match=f"nested deeper than {content.DEPTH_MAX}"):
        desk.publish()


def test_there_is_an_end_to_how_many(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SUBMODULES_MAX", 3)
    for n in range(4):
        link(desk.app, f"lib{n}", desk.lib.head(), "../lib.git")
    desk.app.publish({})
    with pytest.raises(TooLarge, match="more than 3 submodules"):
        desk.publish()


def test_paths_of_all_submodules_count_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = desk.create("inner")
    inner.publish({f"{n}.yaml": "x\n" for n in range(6)})
    plain = desk.lib.head()
    link(desk.lib, "inner", inner.head(), "../inner.git")
    link(desk.app, "one", desk.lib.publish({}), "../lib.git")
    link(desk.app, "two", plain, "../lib.git")
    desk.app.publish({})
    paths = 1 + 5 + 7 + 4
    monkeypatch.setattr(tree, "ENTRIES_MAX", paths)
    desk.publish()
    monkeypatch.setattr(tree, "ENTRIES_MAX", paths - 1)
    with pytest.raises(TooLarge, match="with its submodules more than"):
        desk.publish()


def test_bytes_of_all_submodules_count_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may take what all may; a second of that size is too much, and nothing of it stays."""
    monkeypatch.setattr(content, "SUBMODULES_BYTES_MAX", 300_000)
    big = desk.lib.publish({"big.bin": random.Random(1).randbytes(200_000)})
    link(desk.app, "one", big, "../lib.git")
    desk.app.publish({})
    desk.publish()
    link(desk.app, "two", big, "../lib.git")
    desk.app.publish({})
    with pytest.raises(
        TooLarge, match=r"submodule 'two' .* 0 MiB \(what is left of 0 MiB for all submodules"
    ):
        desk.publish()
    assert not (desk.folder / "cache/modules").exists()
    monkeypatch.setattr(content, "SUBMODULES_BYTES_MAX", 500_000)
    desk.publish()


def test_older_packs_of_a_submodule_count_and_give_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SUBMODULES_BYTES_MAX", 300_000)
    link(desk.app, "lib", desk.lib.publish({"big.bin": random.Random(1).randbytes(200_000)}), "../lib.git")
    desk.app.publish({})
    desk.publish()
    big = desk.lib.publish({"big.bin": random.Random(2).randbytes(200_000)})
    desk.app.git("update-index", "--cacheinfo", f"160000,{big},lib")
    desk.app.publish({})
    with pytest.raises(TooLarge, match="submodule 'lib'"):
        desk.publish()
    desk.publish()
    stored = sum(pack.stat().st_size for pack in (desk.folder / "cache/modules").rglob("*.pack"))
    assert 200_000 < stored < 300_000


def test_objects_of_submodules_go_when_they_are_not_wanted_any_more(desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({})
    desk.publish()
    assert (desk.folder / "cache/modules").exists()
    desk.publish(recurse=False)
    assert not (desk.folder / "cache/modules").exists()


def test_objects_of_a_submodule_that_is_gone_go_too(desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({})
    desk.publish()
    modules = desk.folder / "cache/modules"
    assert len(list(modules.iterdir())) == 1
    desk.app.git("rm", "--cached", "--quiet", "lib")
    (desk.app.path / "lib").rmdir()
    desk.app.publish({".gitmodules": None, "app.yaml": "app: 1\n"})
    desk.publish()
    assert list(modules.iterdir()) == []


def test_objects_that_were_damaged_are_fetched_anew(desk: Desk) -> None:
    link(desk.app, "lib", desk.lib.head(), "../lib.git")
    desk.app.publish({})
    desk.publish()
    for pack in (desk.folder / "cache/modules").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"")
    desk.memory = Memory()
    desk.publish()
    assert desk.files()["lib/lib.yaml"] == "lib: 1\n"


def test_the_rules_of_a_submodule_and_of_the_spec_apply(desk: Desk) -> None:
    commit = desk.lib.publish({".sourceignore": "/deploy\n", "notes.md": "x"})
    link(desk.app, "lib", commit, "../lib.git")
    desk.app.publish({"app.yaml": "app: 1\n"})
    desk.publish(ignore="*.md\n")
    assert set(desk.files()) == {"app.yaml", "lib/.sourceignore", "lib/lib.yaml"}


# --- sparse checkouts ---


def test_only_what_is_listed_is_in_the_artifact(desk: Desk) -> None:
    desk.app.publish(
        {
            "app/a.yaml": "a\n",
            "app/sub/b.yaml": "b\n",
            "apple/c.yaml": "c\n",
            "root.yaml": "r\n",
            ".sourceignore": "*.yaml\n",
            "docs/.sourceignore": "*.md\n",
            "docs/x.md": "x\n",
            "docs/x.txt": "x\n",
        }
    )
    desk.publish(sparse=("./app/sub", "docs"))
    assert set(desk.files()) == {"app/sub/b.yaml", "docs/.sourceignore", "docs/x.txt"}
    assert desk.folders() == {"app", "app/sub", "docs"}


def test_a_folder_that_is_missing_is_named(desk: Desk) -> None:
    desk.app.publish({"app/a.yaml": "a\n"})
    with pytest.raises(SparseMissing, match="sparse checkout dir 'nope' does not exist in repository"):
        desk.publish(sparse=("app", "./nope"))


def test_a_submodule_outside_is_not_fetched(desk: Desk) -> None:
    link(desk.app, "vendor/lib", desk.lib.head(), "../lib.git")
    link(desk.app, "other/lib", desk.lib.head(), "../missing.git")
    desk.app.publish({"app/a.yaml": "a\n"})
    desk.publish(sparse=("app", "vendor/lib/deploy"))
    assert set(desk.files()) == {"app/a.yaml", "vendor/lib/deploy/deep.yaml"}
    assert desk.folders() == {"app", "vendor", "vendor/lib", "vendor/lib/deploy"}
