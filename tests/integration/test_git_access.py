"""How a GitRepository is reached, end to end: SSH, proxies and TLS from the Secret to the condition."""

import base64
import contextlib
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import usage
from lab.certs import Authority
from lab.controllers import SourceController
from lab.controlplane import ControlPlane
from lab.forwardproxy import Behaviour, ForwardProxy
from lab.gitserver import Basic, GitServer
from lab.sshserver import SshServer, new_key, public_line
from tests.harness.canaries import Canaries
from tests.harness.invariants import Evidence
from tests.harness.story import Object, Story, conditions

KEY = new_key()
CHECKOUT = "failed to checkout and determine revision: "
OPTIONS = "failed to configure authentication options: "
LOCKED = "SSH identity key is encrypted but no 'password' field was provided in the secret "
PROXY = "failed to configure proxy options: "
Data = Mapping[str, bytes]


@pytest.fixture(scope="module")
def ssh(git_server: GitServer) -> Iterator[SshServer]:
    with SshServer(git_server.folder) as server:
        server.allow(KEY)
        yield server


@pytest.fixture
def story(
    cluster: ControlPlane,
    git_server: GitServer,
    source: SourceController,
    evidence: Evidence,
    namespace: str,
) -> Iterator[Story]:
    told = Story.begin(cluster, git_server, namespace, source.storage)
    told.evidence = evidence
    yield told
    told.end()


def secret(story: Story, name: str, data: Data) -> None:
    """Create or replace a Secret."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
    with contextlib.suppress(Exception):
        story.delete("Secret", name)
    story.create("Secret", name, body)


def login(server: SshServer, **more: bytes) -> dict[str, bytes]:
    return {
        "identity": KEY.export_private_key("openssh"),
        "identity.pub": KEY.export_public_key("openssh"),
        "known_hosts": server.known_hosts().encode(),
        **more,
    }


def test_a_repository_over_ssh(story: Story, ssh: SshServer) -> None:
    first = story.push({"a.yaml": "a: 1\n"})
    secret(story, "login", login(ssh))
    story.source(url=ssh.url(story.repository_name), secretRef={"name": "login"})
    ready = story.ready("app", first, kind="GitRepository")
    assert conditions(ready)["Ready"]["message"] == f"stored artifact for revision 'main@sha1:{first}'"
    assert ready["status"]["observedGeneration"] == ready["metadata"]["generation"]
    second = story.push({"a.yaml": "a: 2\n"})
    before = story.ready("app", second, kind="GitRepository")["status"]["artifact"]
    # Somebody answers in the server's place: the artifact stays.
    stranger = f"[127.0.0.1]:{ssh.port} {public_line(new_key())}\n".encode()
    secret(story, "login", login(ssh, known_hosts=stranger))
    story.request("GitRepository", "app")
    shown = f"ssh://127.0.0.1:{ssh.port}/{story.repository_name}.git"
    told = f"{CHECKOUT}unable to list remote for '{shown}': the host key of '[127.0.0.1]:{ssh.port}' is not"
    failed = story.failed("app", "GitOperationFailed", told, kind="GitRepository")
    assert failed["status"]["artifact"] == before
    assert conditions(failed)["FetchFailed"]["status"] == "True"
    assert conditions(failed)["Reconciling"]["reason"] == "ProgressingWithRetry"
    secret(story, "login", login(ssh))
    story.ready("app", second, kind="GitRepository")


def locked(passphrase: str) -> bytes:
    return KEY.export_private_key("openssh", passphrase=passphrase, rounds=50)


def test_a_locked_key_and_where_its_passphrase_is_seen(
    story: Story, ssh: SshServer, source: SourceController, canaries: Canaries
) -> None:
    """A51: on no command line, in no environment; the session's canaries look at logs, status and events."""
    passphrase = canaries.plant("passphrase of an SSH key")
    commit = story.push({"a.yaml": "a: 1\n"})
    secret(story, "login", login(ssh, identity=locked(passphrase), password=passphrase.encode()))
    story.source(url=ssh.url(story.repository_name), secretRef={"name": "login"})
    story.ready("app", commit, kind="GitRepository")
    for pid in usage.living(source.pid):
        for file in ("cmdline", "environ"):
            assert not canaries.search(f"{file} of a process", Path(f"/proc/{pid}/{file}").read_bytes())
    secret(story, "login", login(ssh, identity=locked(passphrase), password=b"another"))
    story.request("GitRepository", "app")
    told = f"{OPTIONS}'password' does not open the private key 'identity'"
    story.failed("app", "AuthenticationFailed", told, kind="GitRepository")


def test_what_an_ssh_secret_may_lack(story: Story, ssh: SshServer) -> None:
    """One bad Secret does not stop its neighbours, and each is told what it lacks."""
    commit = story.push({"a.yaml": "a: 1\n"})
    url = ssh.url(story.repository_name)
    shown = url.replace("git@", "")
    clone = f"{CHECKOUT}unable to clone '{shown}': "
    complete = login(ssh)
    port = ssh.port
    stranger = {**complete, "identity": new_key().export_private_key("openssh")}
    without_password = {**complete, "identity": locked("x")}
    rows: dict[str, tuple[Data | None, str, str]] = {
        "nothing": (None, "AuthenticationFailed", f"{OPTIONS}invalid 'ssh' auth option: 'identity' is req"),
        "no-key": ({"known_hosts": b"x"}, "AuthenticationFailed", f"{OPTIONS}invalid 'ssh' auth option: 'id"),
        "no-host": (
            {"identity": complete["identity"]},
            "AuthenticationFailed",
            f"{OPTIONS}invalid 'ssh' auth option: 'known_hosts' is required",
        ),
        "no-passphrase": (
            without_password,
            "AuthenticationFailed",
            f"{LOCKED}'{story.namespace}/no-passphrase'",
        ),
        "no-pem": (
            {**complete, "identity": b"ssh-ed25519 AAAA"},
            "AuthenticationFailed",
            f"{OPTIONS}'identity' is not a private key",
        ),
        "bad-hosts": (
            {**complete, "known_hosts": b"nonsense"},
            "AuthenticationFailed",
            f"{OPTIONS}line 1 of 'known_hosts' is not ",
        ),
        "unknown-host": (
            {**complete, "known_hosts": f"127.0.0.1 {public_line(ssh.host_keys[0])}".encode()},
            "GitOperationFailed",
            f"{clone}the host key of '[127.0.0.1]:{port}' is unknown",
        ),
        "stranger": (stranger, "GitOperationFailed", f"{clone}authentication required: the server does not"),
    }
    for name, (data, _, _) in rows.items():
        if data is not None:
            secret(story, name, data)
        story.source(name, url=url, **({} if data is None else {"secretRef": {"name": name}}))
    secret(story, "good", complete)
    story.source("good", url=url, secretRef={"name": "good"})
    for name, (_, reason, told) in rows.items():
        failed = story.failed(name, reason, told, kind="GitRepository")
        assert conditions(failed)["FetchFailed"]["reason"] == reason, name
        assert "Stalled" not in conditions(failed), name
    story.ready("good", commit, kind="GitRepository")


def test_repositories_behind_a_proxy(story: Story, ssh: SshServer, canaries: Canaries) -> None:
    """SSH through SOCKS, HTTP through HTTP, each with a password that only the proxy is given."""
    commit = story.push({"a.yaml": "a: 1\n"})
    password = canaries.plant("password of a proxy").replace(":", ".")
    ways: dict[str, tuple[str, Object]] = {
        "ssh": ("socks5", {"url": ssh.url(story.repository_name), "secretRef": {"name": "login"}}),
        "http": ("http", {}),
    }
    secret(story, "login", login(ssh))
    with ForwardProxy(Behaviour(credentials=("walker", password))) as between:
        for name, (scheme, spec) in ways.items():
            way = {"address": between.address(scheme), "username": "walker", "password": password}
            secret(story, f"proxy-{name}", {key: value.encode() for key, value in way.items()})
            story.source(name, proxySecretRef={"name": f"proxy-{name}"}, **spec)
        for name in ways:
            story.ready(name, commit, kind="GitRepository")
        assert {passage.method for passage in between.passages} == {"SOCKS", "GET", "POST"}
        secret(story, "proxy-http", {"address": between.address("http").encode()})
        story.request("GitRepository", "http")
        told = "the proxy wants other credentials"
        story.failed("http", "GitOperationFailed", told, kind="GitRepository")
    story.request("GitRepository", "ssh")
    story.failed("ssh", "GitOperationFailed", "the proxy 'socks5://127.0.0.1:", kind="GitRepository")


def test_what_a_proxys_secret_may_lack(story: Story) -> None:
    story.push({"a.yaml": "a: 1\n"})
    ns = story.namespace
    rows: dict[str, tuple[Data | None, str]] = {
        "absent": (None, f"{PROXY}failed to get secret '{ns}/absent': secrets \"absent\" not found"),
        "empty": ({}, f"{PROXY}secret '{ns}/empty': key 'address' is missing"),
        "scheme": ({"address": b"ftp://p"}, f"{PROXY}secret '{ns}/scheme': key 'address' must begin with "),
    }
    for name, (data, _) in rows.items():
        if data is not None:
            secret(story, name, data)
        story.source(name, proxySecretRef={"name": name})
    for name, (_, told) in rows.items():
        failed = story.failed(name, "AuthenticationFailed", told, kind="GitRepository")
        assert conditions(failed)["FetchFailed"]["reason"] == "AuthenticationFailed", name
    secret(story, "absent", {"address": b"http://127.0.0.1:1"})
    told = f"{CHECKOUT}unable to clone '{story.git.url(story.repository_name)}': Get "
    story.failed("absent", "GitOperationFailed", told, kind="GitRepository")


def test_what_hangs_is_given_up_at_the_timeout(story: Story, git_server: GitServer) -> None:
    """An SSH server that takes the command and never answers, and a proxy that never does."""
    commit = story.push({"a.yaml": "a: 1\n"})
    with SshServer(git_server.folder) as mute, ForwardProxy(Behaviour(silent=True)) as silent:
        mute.allow(KEY)
        mute.fall_silent()
        secret(story, "login", login(mute))
        secret(story, "proxy", {"address": silent.address("http").encode()})
        spec: dict[str, Any] = {"timeout": "1s"}
        story.source("ssh", url=mute.url(story.repository_name), secretRef={"name": "login"}, **spec)
        story.source("proxied", proxySecretRef={"name": "proxy"}, **spec)
        story.source("well")
        for name in ("ssh", "proxied"):
            story.failed(name, "GitOperationFailed", CHECKOUT, kind="GitRepository")
        story.ready("well", commit, kind="GitRepository")
        mute.fall_silent(mute=False)
        story.ready("ssh", commit, kind="GitRepository")


def test_a_client_certificate_opens_a_repository(story: Story, git_server: GitServer, tmp_path: Path) -> None:
    """Mutual TLS and a password at once, from the Secret's keys; without them it says which are missing."""
    authority = Authority("private")
    pair, client = authority.issue_server("git", ["127.0.0.1"]), authority.issue_client("flux")
    (tmp_path / "server.pem").write_bytes(pair.public_pem + pair.private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    commit = story.push({"a.yaml": "a: 1\n"})
    with GitServer(git_server.folder, tls=context) as server:
        server.protect(story.repository_name, Basic("user", "pass phrase"))
        data = {
            "ca.crt": authority.certificate_pem,
            "tls.crt": client.public_pem,
            "tls.key": client.private_pem,
            "username": b"user",
            "password": b"pass phrase",
        }
        secret(story, "complete", data)
        secret(story, "half", {key: value for key, value in data.items() if key != "tls.key"})
        secret(story, "stranger", {key: value for key, value in data.items() if key != "ca.crt"})
        for name in ("complete", "half", "stranger"):
            story.source(name, url=server.url(story.repository_name), secretRef={"name": name})
        story.ready("complete", commit, kind="GitRepository")
        told = f"{OPTIONS}key 'tls.key' is missing in secret '{story.namespace}/half'"
        story.failed("half", "AuthenticationFailed", told, kind="GitRepository")
        told = "a private authority goes into the secret as 'ca.crt'"
        story.failed("stranger", "GitOperationFailed", told, kind="GitRepository")
