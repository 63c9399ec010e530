"""Git over SSH against a real SSH server: which keys open it, which servers are believed, what a fetch
costs."""

import base64
import hashlib
import hmac
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from lab.forwardproxy import Behaviour, ForwardProxy
from lab.gitserver import GitServer
from lab.ports import refusing_port
from lab.sshserver import ECDSA, ED25519, RSA, SshServer, new_key, public_line
from lab.worktree import Worktree
from shared.git import tree
from shared.git.algorithms import Algorithms
from shared.git.auth import target
from shared.git.errors import (
    AuthError,
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
from shared.git.proxy import proxy
from shared.git.refs import RefSpec
from shared.git.remote import Limits, Remote

MAIN = RefSpec(branch="main")
KEYS = {kind: new_key(kind) for kind in (ED25519, ECDSA, "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", RSA)}
KEY = KEYS[ED25519]


def content(seed: int, size: int = 2000) -> bytes:
    """Bytes that do not compress, so that sizes on the wire mean something."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository name of the test's own."""
    named: str = request.node.name
    return "ssh/" + named.replace("[", "/").rstrip("]").replace(" ", "-").replace(",", "")


@pytest.fixture
def worktree(git_server: GitServer, name: str) -> Worktree:
    """A small repository of the test's own, which it may change."""
    made = git_server.create(name)
    made.publish({f"{n}.yaml": content(n) for n in range(3)}, "first")
    return made


@pytest.fixture
def large(git_server: GitServer, name: str) -> Worktree:
    """200 KB in 100 folders."""
    made = git_server.create(name)
    made.publish({f"apps/{n}/app.yaml": content(n) for n in range(100)}, "first")
    return made


@pytest.fixture(scope="module")
def big(git_server: GitServer) -> str:
    """The name of a repository of 200 KB that is only read."""
    git_server.create("ssh/big").publish({f"apps/{n}/app.yaml": content(n) for n in range(100)}, "first")
    return "ssh/big"


@pytest.fixture(scope="module")
def repo(git_server: GitServer) -> str:
    """The name of a repository that is only read."""
    git_server.create("ssh/shared").publish({"a.yaml": "a: 1\n"}, "first")
    return "ssh/shared"


@pytest.fixture(scope="module")
def ssh(git_server: GitServer) -> Iterator[SshServer]:
    """A server with one host key, which knows all of KEYS."""
    with SshServer(git_server.folder) as server:
        for key in KEYS.values():
            server.allow(key)
        yield server


@pytest.fixture(scope="module")
def old_ssh(git_server: GitServer) -> Iterator[SshServer]:
    """The same, but it takes no variables from clients: the first protocol of Git is spoken."""
    with SshServer(git_server.folder, ignores_protocol=True) as server:
        server.allow(KEY)
        yield server


@pytest.fixture(params=["ssh", "old_ssh"], ids=["the second protocol", "the first protocol"])
def either(request: pytest.FixtureRequest) -> SshServer:
    server: SshServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    made = Objects(tmp_path / "objects")
    yield made
    made.close()


def secret(server: SshServer, key: asyncssh.SSHKey = KEY, **more: bytes) -> dict[str, bytes]:
    return {
        "identity": key.export_private_key("openssh"),
        "identity.pub": key.export_public_key("openssh"),
        "known_hosts": server.known_hosts().encode(),
        **more,
    }


def remote(
    server: SshServer, name: str, data: dict[str, bytes] | None = None, *, user: str = "git"
) -> Remote:
    return Remote(target(server.url(name, user), data or secret(server), secret_name="ns/s"), timeout_s=10)


def fetch(server: SshServer, name: str, want: RefSpec, objects: Objects) -> tree.Snapshot:
    with remote(server, name) as there:
        wanted = there.resolve(want)[0]
        there.fetch(wanted, want, objects)
        return tree.snapshot(objects, wanted.commit)


def sent_bytes(server: SshServer, name: str) -> int:
    return sum(session.sent_bytes for session in server.sessions() if session.repository == name)


def lookup(server: SshServer, name: str, data: dict[str, bytes]) -> str:
    """What a refused attempt is told."""
    with remote(server, name, data) as there, pytest.raises(GitError) as raised:
        there.resolve(MAIN)
    return f"{type(raised.value).__name__}: {raised.value}"


# --- what a fetch costs and gives ---


def test_a_small_commit_transfers_only_what_is_new(
    either: SshServer, name: str, large: Worktree, objects: Objects
) -> None:
    either.forget()
    fetch(either, name, MAIN, objects)
    assert sent_bytes(either, name) > 200_000
    for n in range(3):
        either.forget()
        large.publish({"apps/7/app.yaml": content(1000 + n)}, f"change {n}")
        found = fetch(either, name, MAIN, objects)
        assert found.commit.subject == f"change {n}"
        assert len([entry for entry in found.entries if not entry.folder]) == 100
        assert sent_bytes(either, name) < 9_000  # one blob of 2,000 bytes, three trees, two listings


def test_a_steady_state_costs_one_login_and_one_small_listing(
    ssh: SshServer, name: str, worktree: Worktree
) -> None:
    for n in range(50):
        worktree.tag(f"v0.0.{n}")
    worktree.push()
    ssh.forget()
    with remote(ssh, name) as there:
        there.resolve(MAIN)
    assert [session.protocol for session in ssh.sessions()] == ["version=2"]
    assert sent_bytes(ssh, name) < 1_000, "50 tags that nobody asked for are not listed"
    assert ssh.logins.count("git") <= 2, "the key is looked at once, and once more to check its signature"


def test_every_shape_of_reference(either: SshServer, name: str, worktree: Worktree, objects: Objects) -> None:
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
        with remote(either, name) as there:
            wanted = there.resolve(want)[0]
            there.fetch(wanted, want, objects)
        assert (want, wanted.commit) == (want, commit)
        assert tree.snapshot(objects, commit).entries


def test_a_forced_push_is_followed(
    either: SshServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    fetch(either, name, MAIN, objects)
    worktree.git("commit", "--quiet", "--amend", "--message=rewritten")
    worktree.push(force=True)
    assert fetch(either, name, MAIN, objects).commit.subject == "rewritten"


def test_a_commit_that_no_branch_contains_is_refused(
    either: SshServer, name: str, worktree: Worktree, objects: Objects
) -> None:
    hidden = worktree.publish({"a": b"secret"}, "hidden")
    worktree.git("reset", "--quiet", "--hard", "HEAD~1")
    worktree.push(force=True)
    with pytest.raises(RefMissing, match=f"unable to resolve commit object for '{hidden}': object not found"):
        fetch(either, name, RefSpec(commit=hidden), objects)


MISSING: dict[str, tuple[RefSpec, type[GitError]]] = {
    "branch": (RefSpec(branch="nope"), BranchOrTagMissing),
    "tag": (RefSpec(tag="nope"), BranchOrTagMissing),
    "name": (RefSpec(name="refs/heads/nope"), RefMissing),
    "range": (RefSpec(semver=">9"), RefMissing),
    "commit": (RefSpec(commit="f" * 40), RefMissing),
}


@pytest.mark.parametrize(("want", "error"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named(
    want: RefSpec, error: type[GitError], ssh: SshServer, repo: str, objects: Objects
) -> None:
    with pytest.raises(error):
        fetch(ssh, repo, want, objects)


@pytest.mark.parametrize("want", [MAIN, RefSpec(tag="v1")], ids=["branch", "tag"])
def test_an_empty_repository_is_called_so(
    want: RefSpec, either: SshServer, git_server: GitServer, name: str, objects: Objects
) -> None:
    git_server.create(name)
    with pytest.raises(EmptyRepository):
        fetch(either, name, want, objects)


def test_a_pack_beyond_the_limit_is_refused(ssh: SshServer, big: str, objects: Objects) -> None:
    there = Remote(target(ssh.url(big), secret(ssh)), timeout_s=10, limits=Limits(pack_bytes=50_000))
    with there:
        wanted = there.resolve(MAIN)[0]
        with pytest.raises(TooLarge):
            there.fetch(wanted, MAIN, objects)
    assert objects.head is None


def test_a_path_is_one_word_for_the_servers_shell(ssh: SshServer, git_server: GitServer) -> None:
    name = "it's $(touch x); y"
    git_server.create(name).publish({"a": b"x"})
    url = ssh.url(name.replace(" ", "%20"))
    with Remote(target(url, secret(ssh)), timeout_s=10) as there:
        assert there.resolve(MAIN)


# --- our key ---


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_type_of_key_opens_a_repository(key: asyncssh.SSHKey, ssh: SshServer, repo: str) -> None:
    with remote(ssh, repo, secret(ssh, key)) as there:
        assert there.resolve(MAIN)


FORMATS: dict[str, tuple[str, str]] = {
    "OpenSSH": ("openssh", ED25519),
    "PKCS 8": ("pkcs8-pem", ED25519),
    "PKCS 1": ("pkcs1-pem", RSA),
    "SEC 1": ("pkcs1-pem", ECDSA),
}


@pytest.mark.parametrize(("form", "kind"), FORMATS.values(), ids=FORMATS)
def test_a_locked_key_opens_with_its_passphrase(form: str, kind: str, ssh: SshServer, repo: str) -> None:
    locked = KEYS[kind].export_private_key(form, passphrase="pass:w@rd", rounds=50)
    with remote(ssh, repo, secret(ssh, identity=locked, password=b"pass:w@rd\n")) as there:
        assert there.resolve(MAIN)
    with pytest.raises(AuthError, match="'password' does not open the private key 'identity'"):
        remote(ssh, repo, secret(ssh, identity=locked, password=b"wrong"))


def test_a_key_that_the_server_does_not_know(ssh: SshServer, repo: str) -> None:
    stranger = new_key()
    told = lookup(ssh, repo, secret(ssh, stranger))
    assert told.startswith("Unauthorized: authentication required: the server does not let 'git' in")
    assert stranger.get_fingerprint() in told, "so that its owner can find it at the hosting service"


def test_a_key_of_another_user(ssh: SshServer, repo: str) -> None:
    with remote(ssh, repo, user="other") as there, pytest.raises(Unauthorized, match="'other'"):
        there.resolve(MAIN)


def test_nothing_of_the_machine_takes_part(
    ssh: SshServer, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a key that would open the server, nor an agent, nor a command in a configuration file."""
    folder = tmp_path / ".ssh"
    folder.mkdir()
    for file in ("id_ed25519", "id_rsa"):
        (folder / file).write_bytes(KEY.export_private_key("openssh"))
        (folder / file).chmod(0o600)
    (folder / "config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/ran\n  Port 1\n")
    (folder / "known_hosts").write_text(ssh.known_hosts())
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()
    agent.settimeout(0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    assert lookup(ssh, repo, secret(ssh, new_key())).startswith("Unauthorized: ")
    elsewhere = SshServer(ssh.folder)  # never started: its host key is all that is wanted
    line = f"git.example {public_line(elsewhere.host_keys[0])}\n"
    assert lookup(ssh, repo, secret(ssh, known_hosts=line.encode())).startswith("HostKeyUnknown: ")
    assert not (tmp_path / "ran").exists()
    with agent, pytest.raises(BlockingIOError):
        agent.accept()


# --- the server's key ---


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_type_of_host_key(key: asyncssh.SSHKey, git_server: GitServer, repo: str) -> None:
    with SshServer(git_server.folder, host_keys=[key]) as server:
        server.allow(KEY)
        with remote(server, repo) as there:
            assert there.resolve(MAIN)


@pytest.fixture(scope="module")
def many_keys(git_server: GitServer) -> Iterator[SshServer]:
    """A server with three host keys of its own."""
    with SshServer(git_server.folder, host_keys=[new_key(ED25519), new_key(ECDSA), new_key(RSA)]) as server:
        server.allow(KEY)
        yield server


@pytest.mark.parametrize("number", [0, 1, 2], ids=[ED25519, ECDSA, RSA])
def test_of_several_host_keys_one_that_is_known_is_enough(
    number: int, many_keys: SshServer, repo: str
) -> None:
    line = many_keys.known_hosts().splitlines()[number]
    with remote(many_keys, repo, secret(many_keys, known_hosts=line.encode())) as there:
        assert there.resolve(MAIN)


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


# What stands before the key of the server, and whether that is believed.
NAMES: dict[str, tuple[Callable[[int], str], bool]] = {
    "address and port": (lambda port: f"[127.0.0.1]:{port}", True),
    "hashed": (lambda port: hashed(f"[127.0.0.1]:{port}"), True),
    "one of several names": (lambda port: f"git.example,[127.0.0.1]:{port}", True),
    "a wildcard": (lambda port: f"[127.0.0.*]:{port}", True),
    "without the port": (lambda _: "127.0.0.1", False),
    "another port": (lambda port: f"[127.0.0.1]:{port + 1}", False),
    "another host": (lambda port: f"[localhost]:{port}", False),
    "another host, hashed": (lambda port: hashed(f"[localhost]:{port}"), False),
    "an exception": (lambda port: f"*,![127.0.0.1]:{port}", False),
    "an authority": (lambda port: f"@cert-authority [127.0.0.1]:{port}", False),
}


@pytest.mark.parametrize(("names", "believed"), NAMES.values(), ids=NAMES)
def test_which_lines_are_for_a_server(
    names: Callable[[int], str], believed: bool, ssh: SshServer, git_server: GitServer, repo: str
) -> None:
    line = f"{names(ssh.port)} {public_line(ssh.host_keys[0])}\n"
    data = secret(ssh, known_hosts=line.encode())
    if believed:
        with remote(ssh, repo, data) as there:
            assert there.resolve(MAIN)
        return
    ssh.forget()
    told = lookup(ssh, repo, data)
    assert told.startswith(f"HostKeyUnknown: the host key of '[127.0.0.1]:{ssh.port}' is unknown")
    assert ssh.host_keys[0].get_fingerprint() in told
    assert ssh.logins == [], "our key was not shown to a stranger"


def test_a_changed_host_key_is_refused(ssh: SshServer, repo: str) -> None:
    """Somebody answers in the server's place."""
    known = new_key()
    ssh.forget()
    line = f"[127.0.0.1]:{ssh.port} {public_line(known)}\n"
    told = lookup(ssh, repo, secret(ssh, known_hosts=line.encode()))
    assert told.startswith(f"HostKeyMismatch: the host key of '[127.0.0.1]:{ssh.port}' is not the one in ")
    assert ssh.host_keys[0].get_fingerprint() in told
    assert known.get_fingerprint() in told
    assert "correct 'known_hosts'" in told
    assert ssh.logins == []


def test_a_host_key_of_another_type_is_refused(ssh: SshServer, repo: str) -> None:
    line = f"[127.0.0.1]:{ssh.port} {public_line(KEYS[RSA])}\n"
    ssh.forget()
    told = lookup(ssh, repo, secret(ssh, known_hosts=line.encode()))
    assert told.startswith("HostKeyMismatch: ")
    assert KEYS[RSA].get_fingerprint() in told
    assert ssh.logins == []


def test_a_revoked_host_key_is_refused_although_it_is_listed(ssh: SshServer, repo: str) -> None:
    line = ssh.known_hosts()
    told = lookup(ssh, repo, secret(ssh, known_hosts=f"{line}@revoked {line}".encode()))
    assert told.startswith("HostKeyMismatch: ")
    assert "@revoked" in told


def test_known_hosts_that_cannot_be_read(ssh: SshServer, repo: str) -> None:
    with pytest.raises(AuthError, match="line 1 of 'known_hosts'"):
        remote(ssh, repo, secret(ssh, known_hosts=b"127.0.0.1\n"))


# --- servers that refuse, hang, or are none ---


def test_a_repository_that_is_not_there(ssh: SshServer) -> None:
    told = lookup(ssh, "ssh/nowhere", secret(ssh))
    assert told.startswith("RepositoryMissing: repository not found: ")
    assert "does not appear to be a git repository" in told, "the server's own words help"


COMPLAINTS: dict[str, tuple[bytes, type[GitError], str]] = {
    "not found": (b"ERROR: Repository not found.\nfatal: x\n", RepositoryMissing, "repository not found: "),
    "not allowed": (b"Access denied.\n", Denied, "authorization failed: "),
    "something else": (b"out of \x1b[31mcoffee\n", RemoteError, "the server ended the session and says: out"),
    "a flood": (b"x" * 1_000_000, RemoteError, "the server ended the session and says: xxxx"),
}


@pytest.mark.parametrize(("words", "error", "text"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_a_servers_complaint_is_passed_on(
    words: bytes, error: type[GitError], text: str, git_server: GitServer, repo: str
) -> None:
    with SshServer(git_server.folder) as server:
        server.allow(KEY)
        server.complain(words)
        with remote(server, repo) as there, pytest.raises(error) as raised:
            there.resolve(MAIN)
    assert str(raised.value).startswith(text)
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_command_that_never_answers_is_given_up(git_server: GitServer, repo: str) -> None:
    with SshServer(git_server.folder) as server:
        server.allow(KEY)
        server.fall_silent()
        there = Remote(target(server.url(repo), secret(server)), timeout_s=0.5)
        with there, pytest.raises(Unreachable, match="no answer in time"):
            there.resolve(MAIN)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def at(port: int) -> Remote:
    url = f"ssh://git@127.0.0.1:{port}/x.git"
    data = {"identity": KEY.export_private_key("openssh"), "known_hosts": b"# nobody"}
    return Remote(target(url, data), timeout_s=0.5)


def test_a_server_that_says_nothing_is_given_up(listener: socket.socket) -> None:
    with at(listener.getsockname()[1]) as there, pytest.raises(GitError) as raised:
        there.resolve(MAIN)
    assert "127.0.0.1" in str(raised.value)


def test_a_server_that_does_not_speak_ssh(listener: socket.socket) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(1000)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with at(listener.getsockname()[1]) as there, pytest.raises(GitError) as raised:
        there.resolve(MAIN)
    assert str(raised.value).startswith("the SSH server at '[127.0.0.1]:")
    thread.join(5)


def test_nobody_listens() -> None:
    refused = pytest.raises(Unreachable, match="Connection refused")
    with refusing_port() as port, at(port) as there, refused:
        there.resolve(MAIN)


def test_a_name_that_does_not_resolve() -> None:
    data = {"identity": KEY.export_private_key("openssh"), "known_hosts": b"# nobody"}
    there = Remote(target("ssh://git@no-such-host.invalid/x", data), timeout_s=5)
    with there, pytest.raises(Unreachable, match=r"'no-such-host\.invalid' does not resolve"):
        there.resolve(MAIN)


ALLOWED: dict[str, tuple[Algorithms, str]] = {
    "some of ours": (Algorithms(("ecdh-sha2-nistp384",), ("rsa-sha2-512", "ssh-ed25519")), ""),
    "key exchanges that are too old": (
        Algorithms(("diffie-hellman-group1-sha1",)),
        "--ssh-kex-algos of the controller leaves no algorithm",
    ),
    "host keys of another type": (
        Algorithms(host_keys=("rsa-sha2-512",)),
        "--ssh-hostkey-algos of the controller leaves no algorithm",
    ),
}


@pytest.mark.parametrize(("algorithms", "refused"), ALLOWED.values(), ids=ALLOWED)
def test_an_operator_chooses_algorithms(
    algorithms: Algorithms, refused: str, ssh: SshServer, repo: str
) -> None:
    with Remote(target(ssh.url(repo), secret(ssh), algorithms=algorithms), timeout_s=5) as there:
        if not refused:
            assert there.resolve(MAIN)
            return
        with pytest.raises(RemoteError, match=refused):
            there.resolve(MAIN)


OLD_FASHIONED: dict[str, dict[str, Any]] = {
    "key exchange": {"kex_algs": ["diffie-hellman-group1-sha1"]},
    "ciphers": {"encryption_algs": ["aes128-cbc"]},
    "checksums": {"mac_algs": ["hmac-md5"], "encryption_algs": ["aes128-ctr"]},
}


@pytest.mark.parametrize("options", OLD_FASHIONED.values(), ids=OLD_FASHIONED)
def test_a_server_with_broken_algorithms_only(
    options: dict[str, Any], git_server: GitServer, repo: str
) -> None:
    with SshServer(git_server.folder, **options) as server:
        server.allow(KEY)
        told = lookup(server, repo, secret(server))
    assert told.startswith("RemoteError: the SSH server at '[127.0.0.1]:")
    assert "Incompatible" in told


def test_a_connection_that_breaks_in_the_middle_of_a_pack(ssh: SshServer, big: str, objects: Objects) -> None:
    """Nothing of it is used, and the next try is complete."""
    with remote(ssh, big) as there:
        wanted = there.resolve(MAIN)[0]
    with ForwardProxy(Behaviour(cut_after_bytes=100_000)) as cutting:
        through = proxy({"address": cutting.address("socks5").encode()}, for_url="ssh://", secret_name="")
        there = Remote(replace(target(ssh.url(big), secret(ssh)), proxy=through), timeout_s=5)
        with there, pytest.raises(Unreachable, match="the connection broke"):
            there.fetch(wanted, MAIN, objects)
    assert objects.head is None
    assert len(fetch(ssh, big, MAIN, objects).entries) == 201


# Where in the server's bytes one is damaged.
DAMAGE = {
    "its first line": 3,
    "the name of its software": 12,
    "its algorithms": 300,
    "its host key": 1500,
    "the answer to our key": 2900,
    "what comes after": 3700,
    "the pack": 100_000,
}


@pytest.mark.parametrize("at", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_byte_is_noticed(at: int, ssh: SshServer, big: str, objects: Objects) -> None:
    """Wherever it is, the attempt fails in words, and nothing of it is kept."""
    with ForwardProxy(Behaviour(damage_at=at)) as between:
        through = proxy({"address": between.address("socks5").encode()}, for_url="ssh://", secret_name="")
        there = Remote(replace(target(ssh.url(big), secret(ssh)), proxy=through), timeout_s=1)
        with there, pytest.raises(RemoteError):
            there.fetch(there.resolve(MAIN)[0], MAIN, objects)
    assert objects.head is None
