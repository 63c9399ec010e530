"""Processes of the lab: started with a log, awaited with a deadline, ended without leaving anything behind.

Each runs under a guard of its own (`lab/guard.py`) in its own session, so that it ends with the process that
wanted it, however that one ends, and so that its descendants can be counted.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_GUARD = Path(__file__).with_name("guard.py")
_POLL_S = 0.03
_GUARD_TIMEOUT_S = 20.0  # a guess: forking and killing take milliseconds, a busy machine takes longer

# Everything else of the caller's environment stays out: proxies would break loopback, KUBECONFIG and cloud
# credentials would reach a real cluster, GIT_* would change what git does.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HEADRACE_TOOLS_DIR")


class ProcessFailed(Exception):
    """A process of the lab ended, or was not ready in time; the message carries the tail of its log."""


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: no proxy, no kubeconfig, no user configuration; `extra` on top."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "HOME": str(home), "NO_PROXY": "*", "no_proxy": "*", **(extra or {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run: `argv[0]` is an absolute path; `remove` is a folder that goes when the process does."""

    name: str
    argv: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    folder: Path = Path("/")
    remove: Path | None = None


class Process:
    """One running command and its guard. Not for use from several threads at once."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._exit_code: int | None = None
        self._stopped = False
        self.pid = 0
        argv = [
            sys.executable,
            "-I",
            "-S",
            _GUARD,
            command.log,
            command.folder,
            command.remove or "",
            *command.argv,
        ]
        held, self._hold = os.pipe()  # the guard ends when our end closes, whoever closes it
        self._news, news = os.pipe()
        try:
            self._guard = subprocess.Popen(
                [str(argument) for argument in argv],
                env=dict(command.environment),
                stdin=held,
                stdout=news,
                start_new_session=True,  # Ctrl-C is for the parent, which then stops us in order
            )
        finally:
            os.close(held)
            os.close(news)
        self._await_pid()

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        while self._exit_code is None and self._listen(0):
            pass
        return self._exit_code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to what it started. Nothing happens when it has ended."""
        if self.exit_code() is None:
            os.kill(self.pid, number)  # the number cannot be a stranger's: the guard has not reaped it

    def kill(self) -> None:
        """kill -9, and wait. What it started stays, until `stop`, for tests to look at."""
        self.signal(signal.SIGKILL)
        self.wait(_GUARD_TIMEOUT_S)

    def wait(self, timeout_s: float) -> int:
        """Its exit code. Raises ProcessFailed when it still runs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code()) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise ProcessFailed(
                    f"{self.command.name} still runs after {timeout_s:g} s\n{self.log_tail()}"
                )
            self._listen(left_s)
        return code

    def stop(self, grace_s: float = 5.0) -> None:
        """SIGTERM, after `grace_s` SIGKILL, and an end to all that it started. May be repeated."""
        if self._stopped:
            return
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while self.exit_code() is None and (left_s := deadline - time.monotonic()) > 0:
            self._listen(left_s)
        os.close(self._hold)
        self._guard.wait(_GUARD_TIMEOUT_S)
        self.exit_code()
        self._stopped = True
        os.close(self._news)

    def await_ready(self, missing: Callable[[], str | None], timeout_s: float) -> float:
        """Poll `missing` until it says None; return the seconds that took.

        Raises:
            ProcessFailed: the process ended, or `missing` still names something after `timeout_s`.
        """
        began = time.monotonic()
        while True:
            if (code := self.exit_code()) is not None:
                raise ProcessFailed(
                    f"{self.command.name} ended with {code} before it was ready\n{self.log_tail()}"
                )
            reason = missing()
            took_s = time.monotonic() - began
            if reason is None:
                return took_s
            if took_s > timeout_s:
                raise ProcessFailed(
                    f"{self.command.name} is not ready after {timeout_s:g} s: {reason}\n{self.log_tail()}"
                )
            time.sleep(_POLL_S)

    def log_tail(self, lines: int = 30) -> str:
        try:
            text = self.command.log.read_text(errors="replace")
        except FileNotFoundError:
            return f"(no log at {self.command.log})"
        return "\n".join([f"--- the end of {self.command.log}", *text.splitlines()[-lines:], "---"])

    def _await_pid(self) -> None:
        while self.pid == 0:
            if not self._listen(_GUARD_TIMEOUT_S):
                raise ProcessFailed(f"the guard of {self.command.name} did not start (see its message above)")

    def _listen(self, timeout_s: float) -> bool:
        """Take in what the guard says; False when it said nothing within `timeout_s`."""
        if self._stopped or not select.select([self._news], [], [], timeout_s)[0]:
            return False
        said = os.read(self._news, 256).decode()  # lines are shorter than PIPE_BUF, so none is cut
        if not said and self._exit_code is None:
            self._exit_code = -signal.SIGKILL  # the guard itself is gone, and took the process with it
        for line in said.splitlines():
            word, _, number = line.partition(" ")
            if word == "pid":
                self.pid = int(number)
            if word == "exit":
                self._exit_code = int(number)
        return bool(said)
