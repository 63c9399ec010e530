"""A private key as users store it becomes one that signs.

Formats: OpenSSH's own, and PEM in its three shapes (PKCS #1, SEC 1, PKCS #8), each with or without a
passphrase. How slow a passphrase is to check is up to whoever made the key: this runs in a child process that
can be killed.
"""

import io

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shared.git.auth import Ssh, is_encrypted
from shared.git.errors import AuthError

_KINDS = "Ed25519, ECDSA (P-256, P-384, P-521) or RSA"


def signer(ssh: Ssh) -> paramiko.PKey:
    """The key of `ssh`, ready to log in with.

    Raises:
        AuthError: not a private key, of a type that SSH does not use any more, or the passphrase is wrong.
    """
    loaded = _load(ssh)
    match loaded:
        case rsa.RSAPrivateKey():
            return paramiko.RSAKey(key=loaded)
        case ed25519.Ed25519PrivateKey():
            return paramiko.Ed25519Key(file_obj=io.StringIO(_openssh(loaded)))
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1() | ec.SECP384R1() | ec.SECP521R1()):
            return paramiko.ECDSAKey(vals=(loaded, loaded.public_key()))
        case _:
            raise AuthError(f"'identity' is a key of a type that is not supported; use {_KINDS}")


def _load(ssh: Ssh) -> object:
    # Secrets made by hand lose the last newline or gain carriage returns.
    text = "\n".join(line.strip() for line in ssh.identity.strip().splitlines()).encode() + b"\n"
    encrypted = is_encrypted(ssh.identity)
    passphrase = ssh.passphrase.encode() if encrypted else None  # one too many does no harm
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in text
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        return load(text, passphrase)
    except UnsupportedAlgorithm:
        raise AuthError(f"'identity' is a key of a type that is not supported; use {_KINDS}") from None
    except (ValueError, TypeError):  # the text may quote the key
        if encrypted:
            raise AuthError("'password' does not open the private key 'identity'") from None
        raise AuthError(
            f"'identity' is not a private key in OpenSSH or PEM format; make one with ssh-keygen: {_KINDS}"
        ) from None


def _openssh(key: ed25519.Ed25519PrivateKey) -> str:
    """paramiko reads Ed25519 keys in this format only."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
