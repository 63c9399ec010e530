"""Git over HTTP against git's own server: what a fetch transfers, what failures say, who gets credentials."""

import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.gitserver import Answer, Basic, Bearer, GitServer
from lab.ports import refusing_port
from lab.worktree import Worktree
from shared.git import tree
from shared.git.auth import Credentials, target
from shared.git.errors import (
    BranchOrTagMissing,
    Denied,
    EmptyRepository,
    GitError,
    RefMissing,
    RemoteError,
    RepositoryMissing,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from shared.git.objects import Objects
from shared.git.refs import RefSpec
from shared.git.remote import Limits, Remote
from source_controller.worker import Publication, Published, Resolved, Where, publish, resolve

MAIN = RefSpec(branch="main")


def content(seed: int, size: int = 2000) -> bytes:
    """Bytes that do not compress, so that sizes on the wire mean something."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository name of the test's own."""
    named: str = request.node.name
    return named.replace("[", "/").rstrip("]").replace(" ", "-")


@pytest.fixture
def worktree(git_server: GitServer, name: str) -> Worktree:
    made = git_server.create(name)
    made.publish({f"apps/{n}/app.yaml": content(n) for n in range(100)}, "first")
    return made


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    made = Objects(tmp_path / "objects")
    yield made
    made.close()


def remote(server: GitServer, name: str, *, limits: Limits | None = None) -> Remote:
    return Remote(target(server.url(name), None), timeout_s=10, limits=limits)


def fetch(server: GitServer, name: str, want: RefSpec, objects: Objects) -> tree.Snapshot:
    with remote(server, name) as there:
        wanted = there.resolve(want)[0]
        there.fetch(wanted, want, objects)
        return tree.snapshot(objects, wanted.commit)


def sent_bytes(server: GitServer, name: str) -> int:
    return sum(request.sent_bytes for request in server.requests(name))


def test_a_small_commit_transfers_only_what_is_new(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    fetch(git_server, name, MAIN, objects)
    first = sent_bytes(git_server, name)
    assert first > 200_000
    for n in range(3):
        git_server.forget_requests()
        worktree.publish({"apps/7/app.yaml": content(1000 + n)}, f"change {n}")
        found = fetch(git_server, name, MAIN, objects)
        assert found.commit.subject == f"change {n}"
        assert len([entry for entry in found.entries if not entry.folder]) == 100
        assert sent_bytes(git_server, name) < 8_000  # one blob of 2,000 bytes, three trees, two listings


def test_a_steady_state_costs_one_small_listing(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    for n in range(50):
        worktree.tag(f"v0.0.{n}")
    worktree.push()
    git_server.forget_requests()
    with remote(git_server, name) as there:
        there.resolve(MAIN)
    assert [request.method for request in git_server.requests(name)] == ["GET", "POST"]
    assert sent_bytes(git_server, name) < 1_000, "50 tags that nobody asked for are not listed"


def test_a_crowded_cache_starts_over(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.git.objects._PACKS_MAX", 2)
    for n in range(3):
        git_server.forget_requests()
        worktree.publish({"new.yaml": content(n)}, f"change {n}")
        assert fetch(git_server, name, MAIN, objects).commit.subject == f"change {n}"
    assert sent_bytes(git_server, name) > 200_000, "everything came again"


def test_a_forced_push_is_followed(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    fetch(git_server, name, MAIN, objects)
    worktree.git("commit", "--quiet", "--amend", "--message=rewritten")
    worktree.push(force=True)
    assert fetch(git_server, name, MAIN, objects).commit.subject == "rewritten"


def test_an_older_reference_after_a_newer_one(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    worktree.tag("v1.0.0")
    worktree.publish({"apps/1/app.yaml": None, "new.yaml": b"x"}, "second")
    fetch(git_server, name, MAIN, objects)
    found = fetch(git_server, name, RefSpec(tag="v1.0.0"), objects)
    assert found.commit.subject == "first"
    assert len([entry for entry in found.entries if not entry.folder]) == 100


def test_every_shape_of_reference(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    first = worktree.head()
    worktree.tag("v1.0.0", message="annotated")
    second = worktree.publish({"a": b"2"}, "second")
    worktree.tag("v1.1.0")
    third = worktree.publish({"a": b"3"}, "third")
    worktree.push()
    shapes = {
        MAIN: third,
        RefSpec(tag="v1.0.0"): first,
        RefSpec(semver="1.x"): second,
        RefSpec(semver="~1.0.0"): first,
        RefSpec(name="refs/heads/main"): third,
        RefSpec(name="refs/tags/v1.0.0^{}"): first,
        RefSpec(commit=second): second,
        RefSpec(commit=first, branch="main"): first,
    }
    for want, commit in shapes.items():
        with remote(git_server, name) as there:
            wanted = there.resolve(want)[0]
            there.fetch(wanted, want, objects)
        assert (want, wanted.commit) == (want, commit)
        assert tree.snapshot(objects, commit).entries


def test_a_commit_that_no_branch_contains_is_refused(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    """The server has it, and would give it away: that is how a stranger's fork would come in."""
    hidden = worktree.publish({"a": b"secret"}, "hidden")
    worktree.git("reset", "--quiet", "--hard", "HEAD~1")
    worktree.push(force=True)
    with pytest.raises(RefMissing, match=f"unable to resolve commit object for '{hidden}': object not found"):
        fetch(git_server, name, RefSpec(commit=hidden), objects)


def test_of_equal_versions_the_one_committed_last_counts(
    git_server: GitServer, name: str, worktree: Worktree, tmp_path: Path
) -> None:
    for build, when in (("z", "2026-01-01T00:00:00Z"), ("a", "2026-02-01T00:00:00Z")):
        worktree.write({"a": build})
        worktree.git("add", "--all")
        worktree.git(
            "commit",
            "--quiet",
            "--message=x",
            environment={"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when},
        )
        worktree.tag(f"1.0.0+{build}")
    worktree.push()
    found = resolve(where(git_server, name, tmp_path, RefSpec(semver="1.0.0")))
    assert found.revision == f"1.0.0+a@sha1:{worktree.head()}"


def test_a_server_without_filters_and_hidden_commits(
    git_server: GitServer, name: str, objects: Objects
) -> None:
    """Git's defaults: a pinned commit still comes, for its branch is fetched."""
    settings = {"uploadpack.allowFilter": "false", "uploadpack.allowReachableSHA1InWant": "false"}
    worktree = git_server.create(name, settings=settings)
    first = worktree.publish({"a": b"1"}, "first")
    worktree.publish({"a": b"2"}, "second")
    assert fetch(git_server, name, RefSpec(commit=first), objects).commit.subject == "first"


def lose_all(packs: list[Path]) -> None:
    for pack in packs:
        pack.unlink()
        pack.with_suffix(".idx").unlink()


def lose_the_first(packs: list[Path]) -> None:
    lose_all(packs[:1])


def flip_a_bit(packs: list[Path]) -> None:
    raw = bytearray(packs[0].read_bytes())
    raw[len(raw) // 2] ^= 1
    packs[0].chmod(0o600)
    packs[0].write_bytes(raw)


def cut_off(packs: list[Path]) -> None:
    packs[0].chmod(0o600)
    packs[0].write_bytes(packs[0].read_bytes()[:1000])


@pytest.mark.parametrize("what", ["*.pack", "*.idx"])
def test_tags_that_were_fetched_and_damaged_are_fetched_again(
    what: str, git_server: GitServer, name: str, worktree: Worktree, tmp_path: Path
) -> None:
    for build in ("a", "b"):
        worktree.publish({"a": build}, build)
        worktree.tag(f"1.0.0+{build}")
    worktree.push()
    newest = resolve(where(git_server, name, tmp_path, RefSpec(semver="1.0.0")))
    for file in (tmp_path / "cache/tags").rglob(what):
        file.chmod(0o600)
        file.write_bytes(b"x" * file.stat().st_size)
    assert resolve(where(git_server, name, tmp_path, RefSpec(semver="1.0.0"))) == newest


DAMAGE = {
    "all gone": lose_all,
    "the first pack gone": lose_the_first,
    "a flipped bit": flip_a_bit,
    "cut off": cut_off,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_is_fetched_again(
    damage: Callable[[list[Path]], None], git_server: GitServer, name: str, worktree: Worktree, tmp_path: Path
) -> None:
    published(git_server, name, tmp_path)
    worktree.publish({"new.yaml": b"x"})
    one = published(git_server, name, tmp_path)
    packs = sorted((tmp_path / "cache").rglob("*.pack"), key=lambda pack: -pack.stat().st_size)
    assert len(packs) == 2
    damage(packs)
    assert published(git_server, name, tmp_path).digest == one.digest


def test_the_same_commit_gives_the_same_bytes_from_any_cache(
    git_server: GitServer, name: str, worktree: Worktree, tmp_path: Path
) -> None:
    one = published(git_server, name, tmp_path / "one")
    worktree.publish({"x": b"1"})
    worktree.publish({"x": None})
    two = published(git_server, name, tmp_path / "one")
    three = published(git_server, name, tmp_path / "three")
    assert one.digest == two.digest == three.digest


def test_an_artifact_holds_what_git_archive_would(
    git_server: GitServer, name: str, worktree: Worktree, tmp_path: Path
) -> None:
    worktree.write(
        {"run.sh": b"#!/bin/sh\n", "größe/x.yaml": b"a: 1\n", "docs/logo.png": b"x", ".gitignore": b"x\n"}
    )
    (worktree.path / "run.sh").chmod(0o755)
    (worktree.path / "link").symlink_to("run.sh")
    worktree.commit("all sorts")
    worktree.push()
    done = published(git_server, name, tmp_path)
    with tarfile.open(next((tmp_path / "store").rglob("*.tar.gz"))) as tar:
        ours = {member.name for member in tar if member.isfile()}
        modes = {member.name: member.mode for member in tar if member.isfile()}
    tracked = set(worktree.git("-c", "core.quotePath=false", "ls-files").splitlines())
    assert ours == tracked - {"link", "docs/logo.png", ".gitignore"}
    assert (modes["run.sh"], modes["größe/x.yaml"]) == (0o700, 0o600)
    assert done.left_out == (("link", "symbolic link"),)
    assert done.subject == "all sorts"


MISSING: dict[str, tuple[RefSpec, type[GitError]]] = {
    "branch": (RefSpec(branch="nope"), BranchOrTagMissing),
    "tag": (RefSpec(tag="nope"), BranchOrTagMissing),
    "name": (RefSpec(name="refs/heads/nope"), RefMissing),
    "range": (RefSpec(semver=">9"), RefMissing),
    "commit": (RefSpec(commit="f" * 40), RefMissing),
}


@pytest.mark.usefixtures("worktree")
@pytest.mark.parametrize(("want", "error"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named(
    want: RefSpec,
    error: type[GitError],
    git_server: GitServer,
    name: str,
    objects: Objects,
) -> None:
    with pytest.raises(error):
        fetch(git_server, name, want, objects)


@pytest.mark.parametrize(
    "want", [MAIN, RefSpec(tag="v1"), RefSpec(commit="f" * 40)], ids=["branch", "tag", "commit"]
)
def test_an_empty_repository_is_called_so(
    want: RefSpec, git_server: GitServer, name: str, objects: Objects
) -> None:
    git_server.create(name)
    with pytest.raises(EmptyRepository):
        fetch(git_server, name, want, objects)


CREDENTIALS: dict[str, tuple[Basic | Bearer, dict[str, bytes]]] = {
    "user and password": (Basic("user", "pass:w@rd"), {"username": b"user", "password": b"pass:w@rd"}),
    "token": (Bearer("t0ken"), {"bearerToken": b"t0ken"}),
}


@pytest.mark.parametrize(("asked", "data"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_open_a_repository(
    asked: Basic | Bearer, data: dict[str, bytes], git_server: GitServer, name: str, worktree: Worktree
) -> None:
    git_server.protect(name, asked)
    url = git_server.url(name)
    with Remote(target(url, data), timeout_s=10) as there:
        assert there.resolve(MAIN)
    with Remote(target(url, None), timeout_s=10) as there, pytest.raises(Unauthorized) as raised:
        there.resolve(MAIN)
    assert str(raised.value).startswith("authentication required: ")
    assert "who are you?" in str(raised.value), "the server's own words help"


ANSWERS: dict[str, tuple[Answer, type[GitError], str]] = {
    "403": (Answer(status=403, body=b"no\n"), Denied, "authorization failed: "),
    "404": (Answer(status=404), RepositoryMissing, "repository not found: "),
    "500": (
        Answer(status=500),
        RemoteError,
        (
            "unexpected client error: unexpected requesting "
            '"URL/info/refs?service=git-upload-pack" status code: 500'
        ),
    ),
    "a web page": (
        Answer(status=200, headers={"Content-Type": "text/html"}, body=b"<html>"),
        RemoteError,
        "'URL/info/refs' answers, but not as a Git server does",
    ),
    "an encoding": (
        Answer(status=200, headers={"Content-Encoding": "gzip, gzip"}, body=b"x"),
        RemoteError,
        "'URL/info/refs' sent Content-Encoding gzip, gzip, which was not asked for",
    ),
    "nonsense": (
        Answer(
            status=200,
            headers={"Content-Type": "application/x-git-upload-pack-advertisement"},
            body=b"zzzz\x00\xff",
        ),
        RemoteError,
        "the server's answer cannot be used: ",
    ),
    "half an answer": (
        Answer(
            status=200,
            headers={"Content-Type": "application/x-git-upload-pack-advertisement"},
            body=b"001e# service=git-upload-pack\n0000",
        ),
        RemoteError,
        "the server's answer cannot be used: ",
    ),
}


@pytest.mark.parametrize(("answer", "error", "text"), ANSWERS.values(), ids=ANSWERS)
def test_other_answers_are_explained(
    answer: Answer, error: type[GitError], text: str, git_server: GitServer, name: str
) -> None:
    git_server.answer(name, answer)
    with remote(git_server, name) as there, pytest.raises(error) as raised:
        there.resolve(MAIN)
    assert str(raised.value).startswith(text.replace("URL", git_server.url(name)))


def test_nobody_listens() -> None:
    with refusing_port() as port:
        url = f"http://user:CANARY@127.0.0.1:{port}/x.git"
        with Remote(target(url, None), timeout_s=5) as there, pytest.raises(Unreachable) as raised:
            there.resolve(MAIN)
    assert "Connection refused" in str(raised.value)
    assert "CANARY" not in str(raised.value)


def test_a_silent_server_is_given_up(git_server: GitServer, name: str) -> None:
    git_server.answer(name, Answer(delay_s=2))
    with Remote(target(git_server.url(name), None), timeout_s=0.2) as there, pytest.raises(Unreachable):
        there.resolve(MAIN)


def test_a_pack_beyond_the_limit_is_refused(
    git_server: GitServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    with remote(git_server, name, limits=Limits(pack_bytes=50_000)) as there:
        wanted = there.resolve(MAIN)[0]
        with pytest.raises(TooLarge):
            there.fetch(wanted, MAIN, objects)
    assert objects.head is None


def test_proxies_of_the_environment_are_ignored(
    git_server: GitServer, name: str, worktree: Worktree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with remote(git_server, name) as there:
        assert there.resolve(MAIN)


def where(server: GitServer, name: str, folder: Path, want: RefSpec = MAIN) -> Where:
    return Where(
        url=server.url(name), credentials=Credentials(), want=want, timeout_s=10, cache=str(folder / "cache")
    )


def published(server: GitServer, name: str, folder: Path) -> Published:
    there = where(server, name, folder)
    resolved: Resolved = resolve(there)
    return publish(
        Publication(
            where=there,
            resolved=resolved,
            store=str(folder / "store"),
            algorithm="sha256",
            path=f"gitrepository/ns/x/{resolved.commit}.tar.gz",
            ignore=None,
            limit_bytes=1 << 20,
        )
    )
