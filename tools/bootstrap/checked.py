"""Which files were verified already. Hashing half a gigabyte takes seconds: it is done once per file state.

A verdict holds as long as inode, size, and the times of the last write and the last change of status stay as
they were. Whoever edits a file moves the last of these, and no program can set it back. What a failing disk
does to bytes at rest is not seen this way; the program itself then crashes.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from tools.bootstrap.process import answer

_Verdict = dict[str, object]


class Checked:
    """Verdicts about files, kept in a file; a lost or unreadable one means that all is verified anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._verdicts: dict[str, _Verdict] = {}
        with suppress(OSError, ValueError):
            loaded = json.loads(path.read_text())
            if isinstance(loaded, dict):
                self._verdicts = loaded

    def digest(self, file: Path) -> str | None:
        """Give the sha256 of a file's content in hex; None if it cannot be read."""
        known = self._recall(file, "sha256")
        if known is not None:
            return known
        state = _state(file)  # before the content: a change in between must void the verdict
        try:
            found = sha256_of(file)
        except OSError:
            return None
        self._remember(file, state, "sha256", found)
        return found

    def output(self, file: Path, arguments: tuple[str, ...]) -> str | None:
        """Give what a program prints for `arguments`; None if it is not there or does not run."""
        kind = " ".join(("output of", *arguments))
        known = self._recall(file, kind)
        if known is not None:
            return known
        state = _state(file)
        if not os.access(file, os.X_OK):
            return None
        found = answer([str(file), *arguments])
        if found is not None:
            self._remember(file, state, kind, found)
        return found

    def _recall(self, file: Path, kind: str) -> str | None:
        state = _state(file)
        verdict = self._verdicts.get(str(file))
        if state is None or not isinstance(verdict, dict) or verdict.get("state") != state:
            return None
        value = verdict.get(kind)
        return value if isinstance(value, str) else None

    def _remember(self, file: Path, state: list[int] | None, kind: str, value: str) -> None:
        verdict = self._verdicts.get(str(file))
        if not isinstance(verdict, dict) or verdict.get("state") != state:
            verdict = {"state": state}
        self._verdicts[str(file)] = verdict | {kind: value}
        # A cache that is complete but not ours to write works too; then each run verifies anew.
        with suppress(OSError):
            write_whole(self._path, json.dumps(self._verdicts, indent=1))


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a run after a kill, sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def _state(file: Path) -> list[int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
