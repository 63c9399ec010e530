"""A stack that outlives who started it: held by a process of its own, found again through `lab.state`."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.processes import ProcessFailed
from lab.stack import PHASES, Phase, Place
from lab.state import Running, find, state_file

_ROOT = Path(__file__).parent.parent
_GRACE_S = 40.0  # the holder's own graces, one after the other, add up to less


class Background:
    """A lab (see `lab.stack.Lab`) in a process that goes on after this one. Started by its first phase."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._file = state_file(environ)
        self._holder: subprocess.Popen[str] | None = None

    def phases(self) -> tuple[Phase, ...]:
        return tuple(Phase(title, about, self._await_phase) for title, about in PHASES)

    @property
    def place(self) -> Place:
        running = find(self._file)
        if running is None or running.place is None:
            raise ProcessFailed("the lab in the background has ended; start it again")
        return running.place

    def stop(self, *, keep_logs: bool = False) -> None:  # noqa: ARG002  # the holder keeps them by itself
        """End what this object started; what somebody else started stays."""
        if self._holder is None:
            return
        self._holder.terminate()
        _await_end(self._holder)

    def _await_phase(self) -> None:
        """Wait for one more phase. Raises ProcessFailed with what the holder says went wrong."""
        if self._holder is None:
            self._holder = self._start()
        assert self._holder.stdout is not None  # noqa: S101  # it is a pipe
        line = self._holder.stdout.readline()
        said = json.loads(line) if line else {"failed": "the process that holds the lab has ended"}
        if "failed" in said:
            raise ProcessFailed(said["failed"])

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.hold"],
            cwd=_ROOT,
            env={**self._environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its starter's terminal may be gone by then
            start_new_session=True,  # Ctrl-C in the starter's terminal is not meant for it
            text=True,
        )


def end(environ: Mapping[str, str] = os.environ) -> Running | None:
    """End what runs in the background, however it was started; return what that was, None: nothing.

    A holder that does not end in time is killed; its processes end with it all the same.
    """
    file = state_file(environ)
    running = find(file)
    if running is None:
        return None
    try:
        holder = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return None
    try:
        # The holder lived after the descriptor was opened, so that cannot mean a stranger with its number.
        if find(file) != running:
            return end(environ)
        signal.pidfd_send_signal(holder, signal.SIGTERM)
        if not select.select([holder], [], [], _GRACE_S)[0]:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(holder, signal.SIGKILL)
            select.select([holder], [], [], _GRACE_S)
            shutil.rmtree(running.folder, ignore_errors=True)
    finally:
        os.close(holder)
    return running


def _await_end(holder: "subprocess.Popen[str]") -> None:
    try:
        holder.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        holder.kill()  # its guards then end the rest
        holder.wait()
