"""Private keys in every form in which people store them become keys that sign."""

from collections.abc import Callable

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

from shared.git.auth import Ssh, is_encrypted
from shared.git.errors import AuthError
from shared.git.identity import signer

PASSPHRASE = "CANARY pass phrase"
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEYS: dict[str, PrivateKey] = {
    "ssh-ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa-sha2-nistp256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-sha2-nistp384": ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-sha2-nistp521": ec.generate_private_key(ec.SECP521R1()),
    "ssh-rsa": rsa.generate_private_key(65537, 2048),
}
FORMATS = {
    "OpenSSH": PrivateFormat.OpenSSH,
    "PKCS 8": PrivateFormat.PKCS8,
    "PKCS 1 or SEC 1": PrivateFormat.TraditionalOpenSSL,
}
ROWS = {
    f"{name}, {shape}{', locked' if locked else ''}": (key, name, FORMATS[shape], locked)
    for name, key in KEYS.items()
    for shape in FORMATS
    for locked in (False, True)
    if not (name == "ssh-ed25519" and shape == "PKCS 1 or SEC 1")  # there is no such thing
}


def stored(key: PrivateKey, shape: PrivateFormat, *, locked: bool = False) -> str:
    encryption: serialization.KeySerializationEncryption = NoEncryption()
    if locked:
        encryption = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    if locked and shape is PrivateFormat.OpenSSH:  # few rounds, for the test's sake
        encryption = shape.encryption_builder().kdf_rounds(2).build(PASSPHRASE.encode())
    return key.private_bytes(serialization.Encoding.PEM, shape, encryption).decode()


def public_line(key: PrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


@pytest.mark.parametrize(("key", "name", "shape", "locked"), ROWS.values(), ids=ROWS)
def test_every_form_of_a_key(key: PrivateKey, name: str, shape: PrivateFormat, locked: bool) -> None:
    text = stored(key, shape, locked=locked)
    assert is_encrypted(text) == locked
    found = signer(Ssh("git", text, "", PASSPHRASE if locked else ""))
    assert f"{found.get_name()} {found.get_base64()}" == public_line(key)
    signature = found.sign_ssh_data(b"data")
    signature.rewind()
    assert paramiko.PKey.from_type_string(name, found.asbytes()).verify_ssh_sig(b"data", signature)


SPOILT: dict[str, Callable[[str], str]] = {
    "without the last newline": str.rstrip,
    "with carriage returns": lambda text: text.replace("\n", "\r\n"),
    "indented": lambda text: "\n".join(f"  {line}" for line in text.splitlines()),
    "after an empty line": lambda text: f"\n{text}",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_key_that_was_pasted_carelessly(spoil: Callable[[str], str]) -> None:
    key = KEYS["ssh-ed25519"]
    for shape in (PrivateFormat.OpenSSH, PrivateFormat.PKCS8):
        assert signer(Ssh("git", spoil(stored(key, shape)), "")).get_base64() in public_line(key)


def test_a_passphrase_too_many_does_no_harm() -> None:
    assert signer(Ssh("git", stored(KEYS["ssh-rsa"], PrivateFormat.OpenSSH), "", "not needed"))


REFUSED: dict[str, tuple[str, str, str]] = {
    "a public key": (public_line(KEYS["ssh-ed25519"]), "", "'identity' is not a private key"),
    "no key": ("CANARY", "", "'identity' is not a private key"),
    "a key that is cut off": (
        stored(KEYS["ssh-rsa"], PrivateFormat.OpenSSH)[:200],
        "",
        "'identity' is not a private key",
    ),
    "nonsense in a key's clothes": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nQ0FOQVJZ\n-----END OPENSSH PRIVATE KEY-----",
        "",
        "'identity' is not a private key",
    ),
    "a wrong passphrase": (
        stored(KEYS["ssh-ed25519"], PrivateFormat.OpenSSH, locked=True),
        "CANARY wrong",
        "'password' does not open the private key 'identity'",
    ),
    "a wrong passphrase for PEM": (
        stored(KEYS["ssh-rsa"], PrivateFormat.TraditionalOpenSSL, locked=True),
        "CANARY wrong",
        "'password' does not open the private key 'identity'",
    ),
    "DSA": (
        dsa.generate_private_key(1024)  # noqa: S505  # quick to make; it is refused anyway
        .private_bytes(serialization.Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
        "",
        "use Ed25519, ECDSA",
    ),
    "a curve that ssh does not use": (
        stored(ec.generate_private_key(ec.SECP256K1()), PrivateFormat.PKCS8),
        "",
        "use Ed25519, ECDSA",
    ),
}


@pytest.mark.parametrize(("identity", "passphrase", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(identity: str, passphrase: str, text: str) -> None:
    with pytest.raises(AuthError) as raised:
        signer(Ssh("git", identity, "", passphrase))
    assert text in str(raised.value)
    assert "CANARY" not in str(raised.value)
    assert "BEGIN" not in str(raised.value)
