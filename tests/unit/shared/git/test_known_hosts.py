"""Which lines of `known_hosts` count for a server; checked against what ssh-keygen itself would hash."""

import base64
import hashlib
import hmac

import pytest

from shared.git.errors import AuthError
from shared.git.known_hosts import HostKey, lookup


def key(type_: str, seed: bytes = b"one") -> HostKey:
    """Not a point on any curve: only the type in front is looked at."""
    raw = type_.encode()
    return HostKey(type_, len(raw).to_bytes(4, "big") + raw + hashlib.sha256(seed).digest())


def line(names: str, of: HostKey, *, marker: str = "", comment: str = "") -> str:
    return " ".join(filter(None, [marker, names, of.type, base64.b64encode(of.blob).decode(), comment]))


def hashed(name: str, salt: bytes = b"0123456789abcdefghij") -> str:
    digest = hmac.new(salt, name.encode(), "sha1").digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


ED, RSA, EC = key("ssh-ed25519"), key("ssh-rsa"), key("ecdsa-sha2-nistp256")
OTHER = key("ssh-ed25519", b"two")
# text, host, port, trusted
CASES: dict[str, tuple[str, str, int | None, tuple[HostKey, ...]]] = {
    "a plain line": (line("git.example", ED), "git.example", None, (ED,)),
    "the port that ssh has anyway": (line("git.example", ED), "git.example", 22, (ED,)),
    "capital letters": (line("Git.Example", ED), "git.EXAMPLE", None, (ED,)),
    "names and addresses": (line("git.example,10.0.0.1", ED), "10.0.0.1", None, (ED,)),
    "a comment after the key": (line("git.example", ED, comment="root@git"), "git.example", None, (ED,)),
    "another host": (line("git.example", ED), "example", None, ()),
    "several keys": (
        "\n".join(["# from ssh-keyscan", line("h", ED), "", line("h", RSA), line("h", EC)]),
        "h",
        None,
        (ED, RSA, EC),
    ),
    "the same line twice": (f"{line('h', ED)}\n{line('h', ED)}\n", "h", None, (ED,)),
    "carriage returns": (line("h", ED) + "\r\n" + line("h", RSA) + "\r\n", "h", None, (ED, RSA)),
    "a port": (line("[h]:2222", ED), "h", 2222, (ED,)),
    "an IPv6 address with a port": (line("[::1]:2222", ED), "::1", 2222, (ED,)),
    "22 written out": (line("[h]:22", ED), "h", None, (ED,)),
    "a line without port for another port": (line("h", ED), "h", 2222, ()),
    "a line with a port for 22": (line("[h]:2222", ED), "h", None, ()),
    "another port": (line("[h]:2222", ED), "h", 2223, ()),
    "a hashed name": (line(hashed("git.example"), ED), "git.example", None, (ED,)),
    "a hashed name with a port": (line(hashed("[git.example]:2222"), ED), "git.example", 2222, (ED,)),
    "the hash of another name": (line(hashed("git.example"), ED), "evil.example", None, ()),
    "a hash that is none": (line("|1|x|y", ED), "h", None, ()),
    "a wildcard": (line("*.example", ED), "git.example", None, (ED,)),
    "one character": (line("git?.example", ED), "git1.example", None, (ED,)),
    "brackets are no set of characters": (line("git[12].example", ED), "git1.example", None, ()),
    "a wildcard with an exception": (line("*.example,!git.example", ED), "git.example", None, ()),
    "an exception that does not apply": (line("*.example,!x.example", ED), "git.example", None, (ED,)),
    "an unknown type": ("h ssh-dss AAAA\n" + line("h", ED), "h", None, (ED,)),
    "a revoked key is not trusted": (line("h", ED, marker="@revoked"), "h", None, ()),
    "nor is an authority": (line("*", ED, marker="@cert-authority"), "h", None, ()),
}


@pytest.mark.parametrize(("text", "host", "port", "trusted"), CASES.values(), ids=CASES)
def test_which_lines_count(text: str, host: str, port: int | None, trusted: tuple[HostKey, ...]) -> None:
    assert lookup(text, host, port).trusted == trusted


def test_markers_are_remembered() -> None:
    text = "\n".join(
        [
            line("h", ED),
            line("h", OTHER, marker="@revoked"),
            line("*", RSA, marker="@cert-authority"),
        ]
    )
    known = lookup(text, "h", None)
    assert (known.trusted, known.revoked, known.certified) == ((ED,), (OTHER,), True)


UNREADABLE = {
    "a key without a host": line("", ED),
    "half a line": "h ssh-ed25519",
    "not base64": "h ssh-ed25519 AAAA!",
    "a key of another type": "h ssh-ed25519 " + base64.b64encode(RSA.blob).decode(),
    "a line of a private key": "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==",
    "a marker that nobody knows": line("h", ED, marker="@trusted"),
    "a fingerprint": "h 256 SHA256:abc",
}


@pytest.mark.parametrize("bad", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_a_line_is_named_by_its_number(bad: str) -> None:
    with pytest.raises(AuthError, match=r"^line 2 of 'known_hosts' is not "):
        lookup(f"# a comment\n{bad}\n", "h", None)


def test_the_server_is_asked_for_a_key_that_is_known() -> None:
    """One that has several must show the one that can be checked."""
    text = "\n".join([line("h", RSA), line("h", EC), line("h", ED)])
    assert lookup(text, "h", None).types == ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
    assert lookup(line("h", RSA), "h", None).types == ("ssh-rsa",)
    assert lookup("", "h", None).types == ()


def test_a_key_is_shown_as_ssh_keygen_shows_it() -> None:
    blob = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
    # The value that a large hosting service publishes for this key.
    assert str(HostKey("ssh-ed25519", blob)) == (
        "ssh-ed25519 SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    )
