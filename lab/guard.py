"""Run one command and end it, with all that it started, as soon as the pipe on standard input closes.

The pipe's other end is held by the process that wanted the command. It closes however that process ends, also
by kill -9, so nothing is left behind. PR_SET_PDEATHSIG alone would not do: it fires when the *thread* that
forked ends, and test runners fork from threads; here it only covers the guard's own death, for the guard has
one thread.

Started by `lab.processes` as `python -I -S guard.py LOG CWD REMOVE COMMAND...`; REMOVE is a folder that is
deleted at the end ("" for none). On standard output it says `pid N` once and `exit N` when the command has
ended (negative: by that signal). What the command started is left alone until the pipe closes, so that tests
can see what outlives it.
"""

import ctypes
import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    log, folder, remove, *command = sys.argv[1:]
    if sys.platform != "linux":
        sys.exit(f"The lab needs Linux, where a process can end all that it started; this is {sys.platform}.")
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of the command become ours, so `_end` finds them
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:
            os._exit(1)
        _become(command, log, folder)
    _say(f"pid {pid}")
    _watch(pid)
    _end()
    if remove:
        shutil.rmtree(remove, ignore_errors=True)


def _become(command: list[str], log: str, folder: str) -> None:
    """Turn this fork into the command: its own session, output into the log, nothing on standard input."""
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.execv(command[0], command)  # noqa: S606  # the argv list is the caller's; no shell
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
        os._exit(127)


def _watch(pid: int) -> None:
    """Return when the pipe closes; meanwhile report the command's end, once."""
    waiting: list[int] = [0, os.pidfd_open(pid)]
    while True:
        readable, _, _ = select.select(waiting, [], [])
        if 0 in readable and not os.read(0, 1024):
            return
        for descriptor in set(readable) - {0}:
            waiting.remove(descriptor)
            # WNOWAIT: the zombie keeps the number, so that no stranger is ever signalled in its place.
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            if ended is not None:
                _say(f"exit {ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status}")


def _end() -> None:
    """Kill every child until none is left: the command, what it leaves to us, what that leaves, and so on."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for child in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _say(line: str) -> None:
    with suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
