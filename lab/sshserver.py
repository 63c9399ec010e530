"""A real SSH server for Git: asyncssh on loopback, which runs git-upload-pack on bare repositories.

It shares the repositories of a `GitServer`: "/apps.git" is the folder's "apps.git", as at a hosting service.
Users log in with keys that were allowed before, or not at all. Every session is written down with its bytes.
"""

import asyncio
import shlex
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

from lab.processes import clean_environment

_PIECE = 65536
_STOP_S = 10.0
ED25519, RSA, ECDSA = "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"


def new_key(algorithm: str = ED25519) -> asyncssh.SSHKey:
    """A new private key. RSA keys have 2,048 bits, for larger ones take long to make."""
    if algorithm == RSA:
        return asyncssh.generate_private_key(algorithm, key_size=2048)
    return asyncssh.generate_private_key(algorithm)


def public_line(key: asyncssh.SSHKey) -> str:
    """The public half as `<type> <base64>`, the form of identity.pub and known_hosts."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command that a client ran."""

    user: str
    repository: str
    protocol: str  # the variable GIT_PROTOCOL, "" without one
    exit_status: int
    sent_bytes: int


@dataclass(slots=True)
class _State:
    """What the loop's thread and the test's share."""

    lock: threading.Condition = field(default_factory=threading.Condition)
    allowed: set[tuple[str, str]] = field(default_factory=set)  # user and public key
    sessions: list[Session] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)  # users, also of those who were turned away
    under_way: int = 0
    mute: bool = False
    complaint: bytes = b""


class SshServer:
    """Serves the bare repositories in `folder` on 127.0.0.1; a context manager.

    Args:
        host_keys: one Ed25519 key without.
        options: of asyncssh's `listen`, such as `kex_algs`.
        ignores_protocol: drop the variable GIT_PROTOCOL, as an sshd does that was not told to accept it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host_keys: Sequence[asyncssh.SSHKey] = (),
        ignores_protocol: bool = False,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.host_keys = tuple(host_keys) or (new_key(),)
        self._ignores_protocol = ignores_protocol
        self._options = options
        self._state = _State()
        self._loop = asyncio.new_event_loop()
        self._listener: asyncssh.SSHAcceptor | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._loop.run_forever, name="ssh-server", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_STOP_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def port(self) -> int:
        assert self._listener is not None, "the server does not run"  # noqa: S101
        return int(self._listener.get_port())

    def url(self, name: str, user: str = "git") -> str:
        return f"ssh://{user}@127.0.0.1:{self.port}/{name}.git"

    def known_hosts(self) -> str:
        """Lines that vouch for this server, as ssh-keyscan writes them."""
        return "".join(f"[127.0.0.1]:{self.port} {public_line(key)}\n" for key in self.host_keys)

    def allow(self, key: asyncssh.SSHKey, user: str = "git") -> None:
        """From now on `user` may log in with this key."""
        with self._state.lock:
            self._state.allowed.add((user, public_line(key)))

    def fall_silent(self, *, mute: bool = True) -> None:
        """From now on commands start and never answer."""
        with self._state.lock:
            self._state.mute = mute

    def complain(self, words: bytes) -> None:
        """From now on commands say only this on their error output, and fail; b"": they run."""
        with self._state.lock:
            self._state.complaint = words

    def sessions(self) -> list[Session]:
        """All commands so far, after those under way have ended."""
        with self._state.lock:
            self._state.lock.wait_for(lambda: self._state.under_way == 0, _STOP_S)
            return list(self._state.sessions)

    def forget(self) -> None:
        self.sessions()
        with self._state.lock:
            self._state.sessions.clear()
            self._state.logins.clear()

    @property
    def logins(self) -> list[str]:
        """The users whose keys were looked at."""
        with self._state.lock:
            return list(self._state.logins)

    async def _listen(self) -> None:
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Gate(self._state),
            server_host_keys=list(self.host_keys),
            process_factory=self._serve,
            encoding=None,
            **self._options,
        )

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # asyncssh runs this as one
        self._tasks.add(task)
        with self._state.lock:
            self._state.under_way += 1
            mute, complaint = self._state.mute, self._state.complaint
        try:
            if mute:
                await process.wait_closed()
            elif complaint:
                process.stderr.write(complaint)
                process.exit(1)
            else:
                await self._run(process)
        finally:
            self._tasks.discard(task)
            with self._state.lock:
                self._state.under_way -= 1
                self._state.lock.notify_all()

    async def _run(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        user = process.get_extra_info("username")  # gone when the client is
        program, path = shlex.split(process.command or "x x")
        name = path.strip("/").removesuffix(".git")
        bare = self.folder / f"{name}.git"
        if program != "git-upload-pack" or not bare.is_dir():
            process.stderr.write(f"fatal: '{path}' does not appear to be a git repository\n".encode())
            process.exit(128)
            return
        protocol = "" if self._ignores_protocol else process.env.get("GIT_PROTOCOL", "")
        git = await asyncio.create_subprocess_exec(
            "git",
            "upload-pack",
            str(bare),
            env=clean_environment(self.folder, {"GIT_PROTOCOL": protocol} if protocol else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        receiving = asyncio.create_task(_pump(process.stdin, git.stdin))
        sent = await _pump(git.stdout, process.stdout)
        status = await git.wait()
        process.exit(status)
        receiving.cancel()
        done = Session(user=user, repository=name, protocol=protocol, exit_status=status, sent_bytes=sent)
        with self._state.lock:
            self._state.sessions.append(done)


class _Gate(asyncssh.SSHServer):
    """Who may come in."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        with self._state.lock:
            self._state.logins.append(username)
            return (username, public_line(key)) in self._state.allowed


async def _pump(source: Any, sink: Any) -> int:
    """Pass on what `source` gives until it ends or `sink` is gone; return the bytes."""
    size = 0
    with suppress(OSError, asyncssh.Error):
        while piece := await source.read(_PIECE):
            sink.write(piece)
            await sink.drain()
            size += len(piece)
    with suppress(OSError, asyncssh.Error):
        sink.close() if hasattr(sink, "wait_closed") else sink.write_eof()
    return size
