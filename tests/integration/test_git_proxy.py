"""Git through a forward proxy: every kind of proxy with every kind of server, and who sees which password."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.certs import Authority
from lab.forwardproxy import Behaviour, ForwardProxy
from lab.gitserver import Answer, Basic, GitServer
from lab.ports import refusing_port
from lab.sshserver import SshServer, new_key
from shared.git import tree
from shared.git.auth import Target, target
from shared.git.errors import GitError, RemoteError, Unreachable
from shared.git.objects import Objects
from shared.git.proxy import proxy
from shared.git.refs import RefSpec
from shared.git.remote import Remote

MAIN = RefSpec(branch="main")
NAME = "proxied"
USER = Basic("user", "CANARY-of-the-server")
WHO = ("walker", "CANARY-of:the proxy")
AUTHORITY = Authority("private")


def server_context(folder: Path) -> ssl.SSLContext:
    pair = AUTHORITY.issue_server("lab", ["127.0.0.1"])
    (folder / "server.pem").write_bytes(pair.public_pem + pair.private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """The same repository behind http, https and ssh; the first two want `USER`."""
    key = new_key()
    with (
        GitServer() as plain,
        GitServer(plain.folder, tls=server_context(tmp_path_factory.mktemp("tls"))) as secure,
    ):
        plain.create(NAME).publish({"a.yaml": "a: 1\n"}, "first")
        for server in (plain, secure):
            server.protect(NAME, USER)
        with SshServer(plain.folder) as ssh:
            ssh.allow(key)
            login = {"username": USER.username.encode(), "password": USER.password.encode()}
            identity = {
                "identity": key.export_private_key("openssh"),
                "known_hosts": ssh.known_hosts().encode(),
            }
            yield {
                "http": target(plain.url(NAME), login),
                "https": target(secure.url(NAME), {**login, "ca.crt": AUTHORITY.certificate_pem}),
                "ssh": target(ssh.url(NAME), identity),
            }


def through(way: Target, address: str, *, who: tuple[str, str] | None = None) -> Remote:
    data = {"address": address.encode()}
    if who is not None:
        data |= {"username": who[0].encode(), "password": who[1].encode()}
    return Remote(replace(way, proxy=proxy(data, for_url=way.url, secret_name="ns/p")), timeout_s=3)


WAYS: dict[str, tuple[str, str, set[str]]] = {
    "http through an HTTP proxy": ("http", "http", {"GET", "POST"}),
    "https through an HTTP proxy": ("https", "http", {"CONNECT"}),
    "ssh through an HTTP proxy": ("ssh", "http", {"CONNECT"}),
    "http through SOCKS": ("http", "socks5", {"SOCKS"}),
    "https through SOCKS": ("https", "socks5", {"SOCKS"}),
    "ssh through SOCKS": ("ssh", "socks5", {"SOCKS"}),
}


@pytest.mark.parametrize(("server", "scheme", "seen"), WAYS.values(), ids=WAYS)
def test_everything_goes_through_the_proxy(
    server: str, scheme: str, seen: set[str], servers: dict[str, Target], tmp_path: Path
) -> None:
    """With a password and without; only where the request itself is for the proxy it sees the server's."""
    way = servers[server]
    for who in (None, WHO):
        objects = Objects(tmp_path / str(who is None))
        with ForwardProxy(Behaviour(credentials=who)) as between:
            with through(way, between.address(scheme), who=who) as there:
                wanted = there.resolve(MAIN)[0]
                there.fetch(wanted, MAIN, objects)
            assert {passage.method for passage in between.passages} == seen
            for passage in between.passages:
                tunnelled = passage.method in ("CONNECT", "SOCKS")
                assert ("authorization" in passage.headers) == (not tunnelled)
        assert [entry.path for entry in tree.snapshot(objects, wanted.commit).entries] == ["a.yaml"]
        objects.close()


@pytest.mark.parametrize("server", ["http", "https"])
def test_a_proxy_that_speaks_tls_must_be_vouched_for(
    server: str, servers: dict[str, Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system's authorities: the Secret's one is for the server alone."""
    with ForwardProxy(tls=server_context(tmp_path)) as between:
        with (
            through(servers[server], between.address("https")) as there,
            pytest.raises(Unreachable, match=r"the proxy of spec\.proxySecretRef: TLS: "),
        ):
            there.resolve(MAIN)
        (tmp_path / "system.pem").write_bytes(AUTHORITY.certificate_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
        with through(servers[server], between.address("https")) as there:
            assert there.resolve(MAIN)
        tunnelled = {passage.method for passage in between.passages} == {"CONNECT"}
        assert tunnelled == (server == "https")


SCHEMES = ["http", "socks5"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("who", [None, ("walker", "CANARY wrong")], ids=["none", "wrong"])
@pytest.mark.parametrize("server", ["http", "https", "ssh"])
def test_a_proxy_that_wants_other_credentials(
    server: str, who: tuple[str, str] | None, scheme: str, servers: dict[str, Target]
) -> None:
    with ForwardProxy(Behaviour(credentials=WHO)) as between:
        told = failure(through(servers[server], between.address(scheme), who=who))
    assert "wants other credentials: 'username' and 'password' of" in told


REFUSALS: dict[str, tuple[str, str, int, str]] = {
    "https by HTTP": ("https", "http", 403, "403"),
    "ssh by HTTP": ("ssh", "http", 403, "refuses to connect to '127.0.0.1:"),
    "https by SOCKS": ("https", "socks5", 2, "its rules do not allow it"),
    "ssh by SOCKS": ("ssh", "socks5", 5, "the connection was refused"),
    "a code that nobody knows": ("ssh", "socks5", 77, "code 77"),
}


@pytest.mark.parametrize(("server", "scheme", "code", "text"), REFUSALS.values(), ids=REFUSALS)
def test_a_proxy_that_refuses(
    server: str, scheme: str, code: int, text: str, servers: dict[str, Target]
) -> None:
    with ForwardProxy(Behaviour(refuse=code)) as between:
        assert text in failure(through(servers[server], between.address(scheme)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("server", ["http", "https", "ssh"])
def test_a_proxy_that_hangs_is_given_up(server: str, scheme: str, servers: dict[str, Target]) -> None:
    with ForwardProxy(Behaviour(silent=True)) as between:
        way = servers[server]
        found = proxy({"address": between.address(scheme).encode()}, for_url=way.url, secret_name="")
        failure(Remote(replace(way, proxy=found), timeout_s=0.5))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("server", ["http", "https", "ssh"])
def test_nobody_listens_at_the_proxys_address(server: str, scheme: str, servers: dict[str, Target]) -> None:
    """And the server is not asked directly instead."""
    with refusing_port() as port:
        told = failure(through(servers[server], f"{scheme}://127.0.0.1:{port}"))
    assert "proxy" in told
    assert "refused" in told


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_of_the_other_kind(scheme: str, servers: dict[str, Target]) -> None:
    """A Git server stands in for it, which speaks HTTP and is no proxy."""
    other = servers["http"].url.removeprefix("http://").partition("/")[0]
    failure(through(servers["ssh"], f"{scheme}://{other}"))


def test_a_redirect_through_a_proxy_takes_no_credentials_along(servers: dict[str, Target]) -> None:
    with GitServer() as first, GitServer() as canary, ForwardProxy() as between:
        canary.create(NAME).publish({"a": b"x"})
        redirect = f"{canary.url(NAME)}/info/refs?service=git-upload-pack"
        first.answer(NAME, Answer(status=302, headers={"Location": redirect}))
        secret = {"username": b"user", "password": b"CANARY"}
        with (
            through(target(first.url(NAME), secret), between.address("http")) as there,
            pytest.raises(RemoteError, match="redirects to another origin"),
        ):
            there.resolve(MAIN)
        assert canary.requests(NAME) == []
        with through(target(first.url(NAME), None), between.address("http")) as there:
            assert there.resolve(MAIN)


def failure(remote: Remote) -> str:
    with remote as there, pytest.raises(GitError) as raised:
        there.resolve(MAIN)
    told = str(raised.value)
    assert "CANARY" not in told
    return told
