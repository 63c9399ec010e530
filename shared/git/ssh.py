"""SSH for Git: one connection to one server, whose host key is known, with one key of ours.

dulwich speaks the protocol; this module is the `_connect` that its client asks for, over paramiko's
transport. Nothing of the machine takes part: no ~/.ssh, no agent, no configuration, no command. A host key
that `known_hosts` does not vouch for ends the connection before our key is used.
"""

import logging
import re
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO
from urllib.parse import unquote, urlsplit

import paramiko
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from dulwich.client import TraditionalGitClient
from dulwich.protocol import Protocol
from paramiko.ssh_exception import IncompatiblePeer

from shared.git import identity, known_hosts
from shared.git.algorithms import CHECKSUMS, CIPHERS
from shared.git.auth import Target
from shared.git.dial import NotConnected, connect
from shared.git.errors import (
    Denied,
    GitError,
    HostKeyMismatch,
    HostKeyUnknown,
    RemoteError,
    RepositoryMissing,
    Unauthorized,
    Unreachable,
    quoted,
)
from shared.git.known_hosts import HostKey, Known

# What paramiko's thread may die of when bytes arrive damaged, besides its own errors: it hands on anything.
_DAMAGE = (
    InvalidTag,
    InvalidSignature,
    UnsupportedAlgorithm,
    struct.error,
    zlib.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_WORDS_LIMIT = 4096  # bytes of a server's complaint that are read
_MISSING = re.compile(r"not (be )?found|does not (exist|appear to be a git repository)", re.IGNORECASE)
_DENIED = re.compile(r"denied|not (allowed|authorized)|unauthorized|forbidden", re.IGNORECASE)

# It logs a trace for whatever a server does wrong; we tell that ourselves, where people look.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SmartSsh(TraditionalGitClient):
    """The smart protocol over SSH for one URL and one key; for one thread."""

    def __init__(self, target: Target, *, timeout_s: float) -> None:
        """Prepare; nothing is sent yet.

        Args:
            timeout_s: the longest silence on the connection. The end of the whole is the caller's, who can
            kill us.

        Raises:
            AuthError: the key, its passphrase or `known_hosts` cannot be read.
        """
        super().__init__(quiet=True)
        parts = urlsplit(target.url)
        ssh = target.credentials.ssh
        if ssh is None:
            raise RemoteError("no SSH credentials for an SSH server; put them into spec.secretRef")
        self._host, self._port = parts.hostname or "", parts.port or 22
        self._command = b"git-upload-pack " + _shell_word(unquote(parts.path))
        self._ssh = ssh
        self._proxy = target.proxy
        self._timeout_s = timeout_s
        self._key = identity.signer(ssh)
        self._known = known_hosts.lookup(ssh.known_hosts, self._host, self._port)
        self._connection: paramiko.Transport | None = None
        self.received_bytes = 0  # of the server's answers, without what SSH adds

    def close(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # wakes the transport's thread, which would look every 100 ms
                self._connection.sock.shutdown(socket.SHUT_RDWR)
            self._connection.close()
            self._connection = None

    def _connect(
        self,
        cmd: bytes,  # noqa: ARG002  # always upload-pack
        path: str | bytes,  # noqa: ARG002  # the target's
        protocol_version: int | None = None,  # noqa: ARG002  # the newest that both know
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        with self._explained():
            if self._connection is None:
                self._connection = self._logged_in()
            channel = self._connection.open_session(timeout=self._timeout_s)
            channel.settimeout(self._timeout_s)
            # Servers may ignore it; then they list all references, and all else is the same.
            channel.set_environment_variable("GIT_PROTOCOL", "version=2")
            channel.exec_command(self._command)
        session = _Session(channel, self)
        proto = Protocol(session.read, session.write, channel.close, shutdown_write=channel.shutdown_write)
        # "Nothing to read yet" while we speak: acknowledgements come after all that we have to say.
        return proto, lambda: False, None

    def _logged_in(self) -> paramiko.Transport:
        connection = paramiko.Transport(
            connect(self._host, self._port, self._proxy, timeout_s=self._timeout_s)
        )
        try:
            self._agree(connection)
            found = connection.get_remote_server_key()
            _check_host_key(HostKey(found.get_name(), found.asbytes()), self._known)
            more = connection.auth_publickey(self._ssh.user, self._key)
        except BaseException:
            connection.close()
            raise
        if more:
            connection.close()
            raise Unauthorized(
                f"authentication required: the server wants more than a key ({', '.join(more)})"
            )
        return connection

    def _agree(self, connection: paramiko.Transport) -> None:
        """Choose algorithms; afterwards the server has proved its host key."""
        connection.banner_timeout = connection.handshake_timeout = connection.auth_timeout = self._timeout_s
        allowed = self._ssh.algorithms
        key_exchanges = allowed.usable_key_exchanges()
        # Without a known key any will do: it is shown, and then refused.
        host_keys = allowed.usable_host_keys(self._known.types)
        if not key_exchanges or not host_keys:
            field = "--ssh-hostkey-algos" if key_exchanges else "--ssh-kex-algos"
            raise RemoteError(f"'{self._known.name}': {field} of the controller leaves no algorithm to use")
        options = connection.get_security_options()
        options.kex, options.key_types = key_exchanges, host_keys
        options.ciphers, options.digests = CIPHERS, CHECKSUMS
        try:
            connection.start_client(timeout=self._timeout_s)
        except IncompatiblePeer as error:
            if "host key" not in str(error):
                raise
            listed = ", ".join(str(key) for key in self._known.trusted)
            raise HostKeyMismatch(
                f"the server at '{self._known.name}' has no host key of the types in 'known_hosts' "
                f"({listed}); if it is the right server, add its key"
            ) from error
        if not connection.initial_kex_done:
            raise TimeoutError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what sockets and paramiko raise while connecting into `GitError`."""
        try:
            yield
        except GitError:
            raise
        except paramiko.AuthenticationException as error:
            mine = HostKey(self._key.get_name(), self._key.asbytes())
            raise Unauthorized(
                f"authentication required: the server does not let '{self._ssh.user}' in with the key "
                f"{mine}; register its public half there, as a deploy key for example"
            ) from error
        except NotConnected as error:
            raise Unreachable(f"dial {self._known.name}: {error}") from error
        except TimeoutError as error:
            raise Unreachable(f"dial {self._known.name}: no answer in time") from error
        except (EOFError, OSError) as error:
            raise Unreachable(f"dial {self._known.name}: the connection broke: {_words(error)}") from error
        except paramiko.ChannelException as error:
            raise Denied(f"authorization failed: the server opens no session: {_words(error)}") from error
        except paramiko.SSHException as error:
            raise RemoteError(f"the SSH server at '{self._known.name}': {_words(error)}") from error
        except _DAMAGE as error:
            told = f"what it sends is damaged or no SSH ({type(error).__name__})"
            raise RemoteError(f"the SSH server at '{self._known.name}': {told}") from error


@dataclass(slots=True)
class _Session:
    """One run of git-upload-pack, as the blocking pair of functions that dulwich reads and writes by."""

    channel: paramiko.Channel
    client: SmartSsh
    begun: bool = False

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, less only at the end."""
        pieces = []
        missing = size
        while missing:
            piece = self._receive(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _receive(self, size: int) -> bytes:
        try:
            piece = self.channel.recv(size)
        except TimeoutError as error:
            raise Unreachable("no answer in time; the server is slow or unreachable") from error
        except OSError as error:
            raise Unreachable(f"the connection broke while receiving: {_words(error)}") from error
        if not piece and not self.begun:
            raise self._complaint()
        if not piece and not self.channel.eof_received:
            raise Unreachable("the connection broke while receiving")
        self.begun = True
        self.client.received_bytes += len(piece)
        return piece

    def write(self, data: bytes) -> int:
        try:
            self.channel.sendall(data)
        except TimeoutError as error:
            raise Unreachable("the server takes no more; it is slow or unreachable") from error
        except OSError as error:
            if not self.begun:
                raise self._complaint() from error
            raise Unreachable(f"the connection broke while sending: {_words(error)}") from error
        return len(data)

    def _complaint(self) -> GitError:
        """Why the command ended before it said anything: on its error output, if anywhere."""
        said = b""
        with suppress(OSError):
            while len(said) < _WORDS_LIMIT and (piece := self.channel.recv_stderr(_WORDS_LIMIT)):
                said += piece
        words = quoted(said[:_WORDS_LIMIT].decode("utf-8", "replace"))
        if not words:
            return Unreachable("the server ended the session without a word")
        if _MISSING.search(words):
            return RepositoryMissing(
                "repository not found: correct spec.url, or give a key that may see it "
                f"(the server says: {words})"
            )
        if _DENIED.search(words):
            return Denied(f"authorization failed: the key may not read this repository (it says: {words})")
        return RemoteError(f"the server ended the session and says: {words}")


def _check_host_key(found: HostKey, known: Known) -> None:
    """Source: sshd(8): a revoked key is never accepted; otherwise one of the listed ones must be it."""
    if found in known.revoked:
        raise HostKeyMismatch(f"the host key of '{known.name}', {found}, is marked @revoked in 'known_hosts'")
    if found in known.trusted:
        return
    if known.trusted:
        listed = ", ".join(str(key) for key in known.trusted)
        raise HostKeyMismatch(
            f"the host key of '{known.name}' is not the one in 'known_hosts': the server has {found}, known "
            f"is {listed}; somebody may be in between. If the server's key did change, correct 'known_hosts'"
        )
    why = " (its @cert-authority lines are not supported)" if known.certified else ""
    raise HostKeyUnknown(
        f"the host key of '{known.name}' is unknown: no line of 'known_hosts' is for it{why}; the server has "
        f"{found}. Compare that with what its operator publishes, and add the line"
    )


def _shell_word(path: str) -> bytes:
    """`path` as one word for the server's shell, in single quotes, as git does; "/~user/x" means that
    home."""
    if path.startswith("/~"):
        path = path[1:]
    return b"'" + re.sub(rb"(['!])", rb"'\\\1'", path.encode()) + b"'"


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return quoted(text) or type(error).__name__
