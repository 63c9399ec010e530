"""The stock kustomize binary, which an operator may put in the place of the engine's own kustomize
(`--kustomize-binary`).

The engine stays: it merges the kustomization, starts the binary on a copy of what the build may read, and
makes objects of what that prints (tools/engine/stock.go). Here is what the controller knows of it: whether it
is one, and where the copies lie.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VERSION_S = 10.0
_LONGEST_VERSION = 4096  # bytes; old releases print a record with commit, date and platform
_VERSION = re.compile(rb"v\d+\.\d+\.\d+[\w.+-]*|\(devel\)")


class UnusableBinary(ValueError):
    """What `--kustomize-binary` names is not a kustomize that runs here; names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizeBinary:
    """
    Attributes:
        program: absolute.
        copies: a folder for copies of sources, one below it for each process of the engine.
    """

    program: Path
    copies: Path

    def arguments(self, process: str) -> list[str]:
        """Of the engine's program, for its process of that name."""
        return ["stock", str(self.program), str(self._copy_of(process))]

    def discard(self, ended: Iterable[str]) -> None:
        """Remove, in a thread, the copies of processes that do not run.

        An engine removes its own after each build; one that is killed cannot, and files may be decrypted.
        """
        for name in ended:
            gone = self.copies / f"{self._copy_of(name).name}-gone"
            with contextlib.suppress(OSError):  # there is none, or an earlier one is still being removed
                # Renamed at once: the next process of this name begins with a folder that nobody empties.
                self._copy_of(name).rename(gone)
                asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, gone, True)

    def _copy_of(self, process: str) -> Path:
        return self.copies / process.replace(" ", "-")


async def version_of(program: Path) -> str:
    """What `program version` says, such as "v5.8.1".

    Raises:
        UnusableBinary: it is not there, may not be run, or is no kustomize.
    """
    if why := _why_not(program):
        raise _unusable(program, why)
    try:
        said = await _ask(program)
    except TimeoutError as error:
        raise _unusable(program, f"'version' did not end within {VERSION_S:g}s") from error
    except OSError as error:
        raise _unusable(program, f"it does not start: {error.strerror or error}") from error
    found = _VERSION.search(said)
    if found is None:
        raise _unusable(program, "it does not say which version of kustomize it is when asked by 'version'")
    return found[0].decode()


def _why_not(program: Path) -> str:
    if not program.is_file():
        return "there is no such file"
    return "" if os.access(program, os.X_OK) else "this user may not execute it"


async def _ask(program: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        str(program),
        "version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/nonexistent"},
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 (a pipe)
    try:
        async with asyncio.timeout(VERSION_S):
            said = await process.stdout.read(_LONGEST_VERSION)
            return said if await process.wait() == 0 else b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _unusable(program: Path, why: str) -> UnusableBinary:
    return UnusableBinary(
        f"--kustomize-binary {program}: {why}; name a kustomize binary, or leave the flag out"
    )
