"""Child processes: quiet ones with a log and a clock, and stages whose output a person reads.

Whoever stops us stops our child, which gets one SIGINT: a second one would cut short the teardown of the
first. Who stops us twice does not want to wait for that: the child is killed, and what it started with it. A
quiet child has a process group of its own, so that only we signal it; a stage stays in ours, since
it may read the terminal, which then signals it too. Either is waited for: nothing goes on behind our back.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tools.bootstrap.trouble import Trouble, meaning_of

GRACE_S = 20.0  # for a compiler to finish a file, and for tests to stop the servers that they started


class Interrupted(BaseException):
    """Ctrl-C, or SIGTERM: stop, say that nothing is lost, and leave. No Exception, like KeyboardInterrupt."""


def heed_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into Interrupted, wherever the run is."""

    def raise_interrupted(_number: int, _frame: object) -> NoReturn:
        raise Interrupted

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `./run | head` ends quietly
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A shell starts background jobs with SIGINT ignored, nohup ignores SIGHUP; that is kept.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, raise_interrupted)


def quietly(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path, tick: Callable[[], None], what: str
) -> None:
    """Run `argv` with its output in `log`; call `tick` about twice a second.

    Raises:
        Trouble: it could not be started, or failed: the end of its output and what that means.
    """
    with log.open("w") as output:
        try:
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except OSError as error:
            raise Trouble(
                f"{what}: {argv[0]} does not start: {error.strerror}.", meaning_of(str(error))
            ) from error
        code = _wait(
            child,
            tick,
            stop=lambda: os.killpg(child.pid, _stop_signal()),
            kill=lambda: os.killpg(child.pid, signal.SIGKILL),
        )
    if code:
        text = log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-12:]
        tail = "".join(f"\n    | {line[:300]}" for line in lines)
        raise Trouble(f"{what} failed (exit {code}; all output: {log}):{tail}", meaning_of(text))


def openly(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run `argv` with our own input and output; give its exit code."""
    child = subprocess.Popen(argv, cwd=cwd, env=env)
    return _wait(
        child,
        lambda: None,
        stop=lambda: None if _on_terminal() else child.send_signal(_stop_signal()),
        kill=child.kill,
    )


def answer(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 20.0
) -> str | None:
    """Give what a short command prints; None if it cannot be run, fails or hangs."""
    try:
        done = subprocess.run(
            argv,
            env=os.environ if env is None else env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _wait(
    child: subprocess.Popen[bytes],
    tick: Callable[[], None],
    *,
    stop: Callable[[], None],
    kill: Callable[[], None],
) -> int:
    """Give the child's exit code. Interrupted once, `stop` and wait for it; twice or in vain, `kill`."""
    try:
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                tick()
    except Interrupted:
        # Go's command stops its compilers on SIGINT and leaves its cache whole; pytest runs its teardowns.
        try:
            with suppress(ProcessLookupError):
                stop()
            child.wait(timeout=GRACE_S)
        except (subprocess.TimeoutExpired, Interrupted):
            with suppress(ProcessLookupError):
                kill()
            child.wait()
        raise


def _stop_signal() -> signal.Signals:
    # Our children inherit it if we were started with SIGINT ignored, as a shell's background jobs are.
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT


def _on_terminal() -> bool:
    """Tell whether we are what a terminal's Ctrl-C goes to: then it went to all of our process group."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
