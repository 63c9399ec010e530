"""Long-lived child processes that can be killed: one protocol for whatever blocks or chews on a stranger's
bytes.

A thread cannot be stopped and shares its parent's memory and interpreter lock; a child can be killed at a
deadline, and takes down nobody else when it runs out of memory. Parent and child speak JSON lines over stdin
and stdout:

    {"id": 7, "op": "build", "args": {…}}
    {"id": 7, "ok": {…}}    or    {"id": 7, "error": {"reason": "…", "message": "…", …}}

One call is in flight per child; `Pool` spreads calls over several. A child is started by its first call and
again by the first one after its death. Secrets reach it in requests only, never in arguments or environment.
The other side, for children written in Python, is shared/runtime/serve.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from shared.runtime.serve import ChildError, ChildFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MAX_ANSWER_BYTES",
    "Child",
    "ChildDied",
    "ChildError",
    "ChildFailure",
    "ChildTimeout",
    "Pool",
]

MAX_ANSWER_BYTES = 64 << 20
_STDERR_LINES_KEPT = 40
# The last one is Go's collector: it does not look whether the kernel gave memory for its own queues, and
# falls over address 0. A nil pointer in our code or kustomize's is worded otherwise ("panic: ... [signal
# SIGSEGV: ... code=").
_OUT_OF_MEMORY = (
    "out of memory",
    "cannot allocate memory",
    "errno=12",
    "SIGSEGV: segmentation violation\nPC=",
)
_LONGEST_SIGN = max(map(len, _OUT_OF_MEMORY))
_GO_SHARE = 0.8  # of the memory limit: where Go's collector starts to work harder, before the kernel refuses


class ChildTimeout(ChildFailure):
    """The call ran out of time and the process was killed."""


class ChildDied(ChildFailure):
    """The process ended, or broke the protocol, before it answered."""


class _Answer(msgspec.Struct):
    id: int
    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Child:
    """One child process.

    Args:
        argv: the program and its arguments; no shell.
        name: for messages, such as "build engine".
        env: the child's whole environment; nothing is inherited but the locale, for credentials and proxies
            of the controller are no business of a process that reads strangers' bytes.
        memory_limit_bytes: of data and heap together. Enforced by the kernel as RLIMIT_DATA: RLIMIT_AS would
            count the address space that Go and malloc reserve and never touch. Go children are told too
            (GOMEMLIMIT), so that they collect garbage before they fail.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        self.name = name
        self._argv = tuple(argv)
        self._env = {"LANG": "C.UTF-8", **(env or {})}
        self._memory_limit_bytes = memory_limit_bytes
        if memory_limit_bytes is not None:
            self._env.setdefault("GOMEMLIMIT", str(int(memory_limit_bytes * _GO_SHARE)))
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._complained_of_memory = False
        self._drain: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._last_id = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; None before the first call and after a death."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def stderr_tail(self) -> str:
        """What the process said last, for a log. It may quote a tenant's content: not for a status."""
        return "\n".join(self._stderr)

    async def call(self, op: str, args: Mapping[str, Any], *, timeout_s: float) -> msgspec.Raw:
        """The answer's `ok`, undecoded. Calls wait for each other; `timeout_s` runs from the start of this
        one.

        A cancelled call kills the process, since its answer would be taken for the next call's.

        Raises:
            ChildTimeout: the process was killed.
            ChildDied: it ended by itself, answered nonsense or more than MAX_ANSWER_BYTES.
            ChildError: it answered with an error.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    line = await self._exchange(op, args)
            except TimeoutError as error:
                await self._kill()
                raise ChildTimeout(f"{self.name}: '{op}' exceeded {timeout_s:g}s") from error
            except BaseException:
                await self._kill()
                raise
        return self._result(line)

    async def close(self) -> None:
        """End the process; a later call would start another."""
        async with self._turn:
            await self._kill()

    async def _exchange(self, op: str, args: Mapping[str, Any]) -> _Answer:
        process = await self._running()
        assert process.stdin is not None  # noqa: S101 (a pipe, see _running)
        assert process.stdout is not None  # noqa: S101 (likewise)
        self._last_id += 1
        request = msgspec.json.encode({"id": self._last_id, "op": op, "args": args})
        try:
            _write(process.stdin, request + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readuntil(b"\n")
            answer = msgspec.json.decode(line, type=_Answer)
        except asyncio.LimitOverrunError as error:
            raise ChildDied(
                f"{self.name}: answer to '{op}' is larger than {MAX_ANSWER_BYTES >> 20} MiB"
            ) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChildDied(f"{self.name} ended during '{op}' ({await self._post_mortem()})") from error
        except msgspec.DecodeError as error:
            raise ChildDied(f"{self.name}: answer to '{op}' is not of the protocol") from error
        if answer.id != self._last_id:
            raise ChildDied(f"{self.name}: answer {answer.id} to request {self._last_id}")
        return answer

    def _result(self, answer: _Answer) -> msgspec.Raw:
        if answer.error is not msgspec.UNSET:
            details = dict(answer.error)
            reason, message = str(details.pop("reason", "")), str(details.pop("message", ""))
            raise ChildError(reason, message, details)
        if answer.ok is msgspec.UNSET:
            return msgspec.Raw(b"null")
        return answer.ok

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._kill()  # collects what a death left
        self._stderr.clear()
        self._complained_of_memory = False
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
            limit=MAX_ANSWER_BYTES,
            start_new_session=True,  # so that a kill reaches whatever the child has started
        )
        if self._memory_limit_bytes is not None:
            # Set from here rather than by a preexec_fn, which runs Python between fork and exec, with threads
            # about.
            limit = (self._memory_limit_bytes, self._memory_limit_bytes)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self._process.pid, resource.RLIMIT_DATA, limit)
        self._drain = asyncio.create_task(self._keep_stderr(self._process), name=f"{self.name} stderr")
        return self._process

    async def _keep_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 (a pipe, see _running)
        before = ""  # what a sign of two chunks may begin with: Go writes a word at a time
        while chunk := await process.stderr.read(1 << 16):
            text = chunk.decode("utf-8", "replace")
            self._stderr.extend(text.splitlines())
            # Go says so first and then prints a page for each goroutine, so the last lines do not tell.
            self._complained_of_memory |= any(words in before + text for words in _OUT_OF_MEMORY)
            before = (before + text)[-_LONGEST_SIGN:]

    async def _post_mortem(self) -> str:
        assert self._process is not None  # noqa: S101 (called with a process only)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._process.wait()
        if self._drain is not None:
            await asyncio.wait({self._drain}, timeout=1)
        if self._complained_of_memory:
            return f"out of memory, limit {(self._memory_limit_bytes or 0) >> 20} MiB"
        code = self._process.returncode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    async def _kill(self) -> None:
        process, drain = self._process, self._drain
        self._process = self._drain = None
        if process is not None:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            # An end is noticed only when its pipes are read empty, and reading stops at a long line.
            await asyncio.shield(asyncio.gather(process.wait(), _discard(process.stdout)))
            if process.stdin is not None:
                process.stdin.close()
        if drain is not None:
            await asyncio.wait({drain}, timeout=1)
            drain.cancel()


async def _discard(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(1 << 20):
        pass


def _write(stdin: asyncio.StreamWriter, line: bytes) -> None:
    """Write to a process that may have closed its end already: uvloop says so by a RuntimeError.

    Raises:
        ConnectionError: it has.
    """
    try:
        stdin.write(line)
    except RuntimeError as error:
        raise BrokenPipeError(str(error)) from error


class Pool:
    """Several children of one kind; a call takes the free one that worked last: its memory is warm."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = tuple(children)
        self._free: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        for child in children:
            self._free.put_nowait(child)

    async def call(self, op: str, args: Mapping[str, Any], *, timeout_s: float) -> msgspec.Raw:
        """As `Child.call`; `timeout_s` runs from the moment that a child is free."""
        child = await self._free.get()
        try:
            return await child.call(op, args, timeout_s=timeout_s)
        finally:
            self._free.put_nowait(child)

    async def close(self) -> None:
        """End all processes."""
        for child in self._children:
            await child.close()
