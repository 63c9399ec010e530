"""Where credentials go: not after a redirect, not to a server that is not vouched for; TLS both ways."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.certs import Authority
from lab.gitserver import Answer, GitServer
from shared.git.auth import Basic, Credentials, Target, target
from shared.git.errors import AuthError, RemoteError, Unreachable
from shared.git.refs import RefSpec
from shared.git.remote import Remote

MAIN = RefSpec(branch="main")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository name of the test's own."""
    named: str = request.node.name
    return "tls/" + named.replace("[", "/").rstrip("]").replace(" ", "-")


REDIRECTS: dict[str, tuple[str, bool]] = {
    # where to, and whether it is followed with credentials
    "another port": ("http://127.0.0.1:{canary}/{name}.git/info/refs?service=git-upload-pack", False),
    "another name of the host": (
        "http://localhost:{own}/{name}.git/info/refs?service=git-upload-pack",
        False,
    ),
    "our host as a user name": (
        "http://127.0.0.1:{own}@127.0.0.1:{canary}/{name}.git/info/refs?service=git-upload-pack",
        False,
    ),
    # urllib.parse reads our host, urllib3 the other one
    "our host behind a backslash": (
        "http://127.0.0.1:{canary}\\@127.0.0.1:{own}/{name}.git/info/refs?service=git-upload-pack",
        False,
    ),
    "a blank before our host": (
        "http://127.0.0.1:{canary} @127.0.0.1:{own}/{name}.git/info/refs?service=git-upload-pack",
        False,
    ),
    "another scheme": ("ftp://127.0.0.1:{canary}/x", False),
    "a file": ("file:///etc/passwd", False),
    "another path": ("/{name}.git/./info/refs?service=git-upload-pack", True),
    "the same origin for a user": (
        "http://evil@127.0.0.1:{own}/{name}.git/./info/refs?service=git-upload-pack",
        True,
    ),
    "the same origin": ("http://127.0.0.1:{own}/{name}.git/./info/refs?service=git-upload-pack", True),
}


@pytest.mark.parametrize(("location", "followed"), REDIRECTS.values(), ids=REDIRECTS)
def test_credentials_do_not_follow_a_redirect(
    location: str, followed: bool, git_server: GitServer, name: str
) -> None:
    """A21: the canary listens elsewhere, and hears nothing."""
    with GitServer() as canary:
        canary.create(name).publish({"a": b"x"})
        git_server.create(name).publish({"a": b"x"})
        where_to = location.format(canary=canary.port, own=git_server.port, name=name)
        git_server.answer(f"{name}-moved", Answer(status=302, headers={"Location": where_to}))
        secret = Credentials(Basic("user", "CANARY"))
        with Remote(Target(git_server.url(f"{name}-moved"), secret), timeout_s=5) as there:
            if followed:
                assert there.resolve(MAIN)
            else:
                with pytest.raises(RemoteError, match="redirect") as raised:
                    there.resolve(MAIN)
                assert "CANARY" not in str(raised.value)
        assert canary.requests(name) == []


def test_without_credentials_a_redirect_is_followed(git_server: GitServer, name: str) -> None:
    with GitServer() as other:
        other.create(name).publish({"a": b"x"})
        redirect = f"{other.url(name)}/info/refs?service=git-upload-pack"
        git_server.answer(name, Answer(status=302, headers={"Location": redirect}))
        with Remote(target(git_server.url(name), None), timeout_s=5) as there:  # nothing to steal
            assert there.resolve(MAIN)


AUTHORITY, STRANGER = Authority("private"), Authority("of somebody else")


def server_context(folder: Path, *, host: str = "127.0.0.1", mutual: bool = False) -> ssl.SSLContext:
    pair = AUTHORITY.issue_server("git", [host])
    (folder / "server.pem").write_bytes(pair.public_pem + pair.private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    if mutual:
        context.load_verify_locations(cadata=AUTHORITY.certificate_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client(authority: Authority) -> dict[str, bytes]:
    pair = authority.issue_client("flux")
    return {"tls.crt": pair.public_pem, "tls.key": pair.private_pem}


def test_a_redirect_to_tls_is_verified(git_server: GitServer, name: str, tmp_path: Path) -> None:
    """Connections that began without TLS know no authorities until then."""
    with GitServer(tls=server_context(tmp_path)) as secure:
        secure.create(name).publish({"a": b"x"})
        redirect = f"{secure.url(name)}/info/refs?service=git-upload-pack"
        git_server.answer(name, Answer(status=302, headers={"Location": redirect}))
        with (
            Remote(target(git_server.url(name), None), timeout_s=5) as there,
            pytest.raises(Unreachable, match="TLS: "),
        ):
            there.resolve(MAIN)


def test_a_redirect_away_from_tls_is_refused(git_server: GitServer, name: str, tmp_path: Path) -> None:
    """Also without credentials: what comes could be anybody's."""
    git_server.create(name).publish({"a": b"x"})
    with GitServer(tls=server_context(tmp_path)) as secure:
        redirect = f"{git_server.url(name)}/info/refs?service=git-upload-pack"
        secure.answer(name, Answer(status=302, headers={"Location": redirect}))
        found = target(secure.url(name), {"ca.crt": AUTHORITY.certificate_pem})
        with Remote(found, timeout_s=5) as there, pytest.raises(RemoteError, match="refused the redirect"):
            there.resolve(MAIN)
    assert git_server.requests(name) == []


def test_a_client_certificate_does_not_follow_a_redirect(name: str, tmp_path: Path) -> None:
    context = server_context(tmp_path, mutual=True)
    with GitServer(tls=context) as first, GitServer(tls=context) as canary:
        canary.create(name).publish({"a": b"x"})
        redirect = f"{canary.url(name)}/info/refs?service=git-upload-pack"
        first.answer(name, Answer(status=302, headers={"Location": redirect}))
        found = target(first.url(name), {"ca.crt": AUTHORITY.certificate_pem, **client(AUTHORITY)})
        with Remote(found, timeout_s=5) as there, pytest.raises(RemoteError, match="another origin"):
            there.resolve(MAIN)
        assert canary.requests(name) == []


CA = {"ca.crt": AUTHORITY.certificate_pem}
LOGIN = {"username": b"user", "password": b"secret"}
TLS: dict[str, tuple[dict[str, bytes] | None, str]] = {
    # the Secret, and how its failure is told
    "authority and certificate": ({**CA, **client(AUTHORITY)}, ""),
    "the authority under its old key": ({"caFile": CA["ca.crt"], **client(AUTHORITY)}, ""),
    "the new key before the old one": (
        {**CA, "caFile": STRANGER.certificate_pem, **client(AUTHORITY)},
        "",
    ),
    "beside user and password": ({**CA, **client(AUTHORITY), **LOGIN}, ""),
    "several authorities": (
        {"ca.crt": STRANGER.certificate_pem + AUTHORITY.certificate_pem, **client(AUTHORITY)},
        "",
    ),
    # A server breaks off in the middle, and its alert may be lost: then the connection just ends.
    "no certificate": (CA, "'tls.crt' and 'tls.key'|reset by peer"),
    "a stranger's certificate": ({**CA, **client(STRANGER)}, "'tls.crt' and 'tls.key'|reset by peer"),
    "no authority": (client(AUTHORITY), "a private authority goes into the secret as 'ca.crt'"),
    "another authority": (
        {"ca.crt": STRANGER.certificate_pem, **client(AUTHORITY)},
        "a private authority goes into the secret as 'ca.crt'",
    ),
    "no secret": (None, "a private authority goes into the secret as 'ca.crt'"),
}


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A server that asks for a client certificate."""
    context = server_context(tmp_path_factory.mktemp("tls"), mutual=True)
    with GitServer(tls=context) as server:
        server.create("mutual").publish({"a": b"x"})
        yield server


@pytest.mark.parametrize(("data", "refused"), TLS.values(), ids=TLS)
def test_a_private_authority_and_a_client_certificate(
    data: dict[str, bytes] | None, refused: str, mutual: GitServer
) -> None:
    with Remote(target(mutual.url("mutual"), data), timeout_s=5) as there:
        if not refused:
            assert there.resolve(MAIN)
            return
        with pytest.raises(Unreachable, match=refused):
            there.resolve(MAIN)


def test_a_certificate_for_another_host(name: str, tmp_path: Path) -> None:
    with GitServer(tls=server_context(tmp_path, host="git.example")) as server:
        server.create(name).publish({"a": b"x"})
        with (
            Remote(target(server.url(name), CA), timeout_s=5) as there,
            pytest.raises(Unreachable, match=r"TLS: .*127"),
        ):
            there.resolve(MAIN)


UNREADABLE: dict[str, dict[str, bytes]] = {
    "an authority that is none": {"ca.crt": b"no certificate"},
    "a certificate that is none": {"tls.crt": b"CANARY", "tls.key": b"CANARY"},
    "a key of another certificate": {**client(AUTHORITY), "tls.key": client(STRANGER)["tls.key"]},
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_certificates_that_do_not_parse(data: dict[str, bytes]) -> None:
    with pytest.raises(AuthError, match="store PEM texts") as raised:
        Remote(target("https://127.0.0.1/x", data), timeout_s=5)
    assert "CANARY" not in str(raised.value)
