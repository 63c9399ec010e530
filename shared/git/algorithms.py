"""The SSH algorithms that we speak, and the ones that an operator allows. Pure.

Source of the names: RFC 4253, 8268, 8332, 8709, 8731, as Flux's flags --ssh-kex-algos and
--ssh-hostkey-algos take them. Nothing with SHA-1 is spoken, whoever asks for it.
"""

from collections.abc import Sequence

import msgspec

# Two names for one thing: libssh had it before the RFC did.
_ALIASES = {"curve25519-sha256": "curve25519-sha256@libssh.org"}
KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
CHECKSUMS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
# Signature algorithms that a host key of each type can be asked for, best first.
HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_SIGNATURES = tuple(each for several in HOST_KEYS.values() for each in several)


class Algorithms(msgspec.Struct, frozen=True):
    """What the operator allows, in the order of his preference; empty: all that we speak."""

    key_exchanges: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()

    def usable_key_exchanges(self) -> tuple[str, ...]:
        """In the names that are sent; empty if nothing that is allowed can be spoken."""
        return _usable(self.key_exchanges, KEY_EXCHANGES)

    def usable_host_keys(self, types: Sequence[str]) -> tuple[str, ...]:
        """Signature algorithms for host keys of `types`; for all types if there are none."""
        of_types = [each for type_ in types or HOST_KEYS for each in HOST_KEYS[type_]]
        return tuple(each for each in _usable(self.host_keys, _SIGNATURES) if each in of_types)

    def unspoken(self) -> tuple[str, ...]:
        """What is allowed in vain."""
        wanted = {*self.key_exchanges, *self.host_keys}
        return tuple(sorted(wanted - {*KEY_EXCHANGES, *_SIGNATURES, *_ALIASES}))


def _usable(allowed: Sequence[str], spoken: Sequence[str]) -> tuple[str, ...]:
    if not allowed:
        return tuple(spoken)
    names = dict.fromkeys(_ALIASES.get(name, name) for name in allowed)
    return tuple(name for name in names if name in spoken)
